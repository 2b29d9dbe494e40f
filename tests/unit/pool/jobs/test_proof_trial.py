"""Jobs tried before they are solved: good ones hold, and what is planted between template and miner is found."""

from __future__ import annotations

import json
from dataclasses import replace
from types import MappingProxyType

import pytest
from support.job_factory import KINDS, SCRIPT, JobFactory, aux_template, parent_template

from chains.auxpow import proof as auxpow_proof
from chains.auxpow.commitment import AuxPowSlot
from chains.mm2_proof.tree import MerkleLink
from chains.primitives.header import parse_header
from chains.primitives.target import bits_to_target, meets
from chains.reference import mm2_rules
from pool.jobs.commitments import Commitments
from pool.jobs.job import ROLLING_MASK, Job
from pool.jobs.proof_trial import EASIEST_BITS, Trial, TrialTerms, proof_shape, solve, try_job, unsolved_payload

ALL = ("regnmc", "regdoge", "alpha", "beta")
TERMS = TrialTerms(KINDS, "sha256d", SCRIPT, frozenset({"regnmc", "regdoge"}))


def made(*names: str, parent=None, **options) -> Job:
    templates = [aux_template(name, number + 1) for number, name in enumerate(names)]
    return JobFactory().make(parent, *templates, **options)


def problems(job: Job, terms: TrialTerms = TERMS) -> dict[str, str]:
    return {chain: problem for chain, problem in try_job(job, terms) if problem}


def with_line(job: Job, **changes: object) -> Job:
    """The job whose line to the miners says something else: p1 is the second parameter."""
    line = json.loads(job.layouts[4].offer.notify)
    for place, value in changes.items():
        line["params"][int(place[1:])] = value
    job.layouts[4].offer.notify = json.dumps(line).encode()
    return job


@pytest.mark.parametrize("names", [(), ALL[:1], ALL[:2], ALL[2:3], ALL[2:], ALL])
@pytest.mark.parametrize("sizes", [(4,), (8,), (4, 8)])
def test_trial_of_a_good_job_holds_on_every_chain(names, sizes):
    job = made(*names, extranonce2_sizes=sizes)
    assert try_job(job, TERMS) == [Trial(chain, "") for chain in ("regbtc", *names)]


def test_trial_holds_over_scrypt_and_without_transactions_or_witness():
    job = made(*ALL, parent=parent_template(merkle_branch=(), witness_commitment=None))
    assert problems(job, TERMS._replace(pow_name="scrypt")) == {}


def test_trial_is_solved_at_the_easiest_target_with_the_bits_a_miner_may_roll():
    job = made(*ALL)
    header = parse_header(solve(job, 4, "sha256d", rolled=job.version_mask).header)
    assert meets(header.hash, bits_to_target(EASIEST_BITS))
    assert header.version == job.version | job.version_mask
    assert header.previous_hash == job.previous_hash


def test_trial_finds_a_slot_that_is_another_chains():
    job = made(*ALL)
    slots = dict(job.commitments.slots)
    slots["regnmc"], slots["regdoge"] = slots["regdoge"], slots["regnmc"]
    job.commitments = replace(job.commitments, slots=slots)
    assert problems(job) == dict.fromkeys(("regnmc", "regdoge"), "missing chain merkle root in parent coinbase")


def test_trial_finds_an_index_that_the_chain_id_does_not_give():
    job = made(*ALL[:2])
    slot = job.commitments.slots["regnmc"]
    wrong = AuxPowSlot(slot.index ^ 2, slot.branch, slot.nonce)
    job.commitments = replace(job.commitments, slots={**job.commitments.slots, "regnmc": wrong})
    assert problems(job) == {"regnmc": "wrong index"}


def test_trial_finds_a_root_that_is_not_the_one_of_the_tree():
    job = made(*ALL[2:])
    link = job.commitments.slots["alpha"]
    wrong = MerkleLink(link.sides, (bytes(32),) * len(link.branch))
    job.commitments = replace(job.commitments, slots={**job.commitments.slots, "alpha": wrong})
    assert problems(job)["alpha"].startswith("no proof can be made: ValueError")


def test_trial_finds_a_chain_without_a_place():
    job = made(*ALL[:1])
    job.commitments = Commitments(job.commitments.script_sig, (), job.commitments.root, MappingProxyType({}))
    assert problems(job) == {"regnmc": "no proof can be made: KeyError('regnmc')"}


def test_trial_finds_a_line_that_is_not_the_jobs():
    other_tip = dict.fromkeys(("regbtc", "regnmc"), "no share can be made: the line that miners get tells another tip "
                              "or target than the template")  # fmt: skip
    assert problems(with_line(made("regnmc"), p1="00" * 32)) == other_tip
    assert problems(with_line(made("regnmc"), p6="1d00ffff")) == other_tip
    branch = problems(with_line(made("regnmc", "alpha"), p4=["00" * 32]))
    assert branch.pop("regnmc") == "merkle root incorrect"
    assert branch in ({"alpha": "the proof is of another header"}, {"alpha": "high-hash"}), "by the luck of its hash"


def test_trial_finds_a_coinbase_that_pays_somebody_else_or_another_amount():
    stranger = TERMS._replace(payout_script=b"\x51")
    assert problems(made(), stranger) == {
        "regbtc": "the coinbase does not pay the configured address what the template gives"
    }
    job = made("alpha")
    job.templates = replace(job.templates, parent=replace(job.templates.parent, value_sat=1))
    assert set(problems(job)) == {"regbtc"}


def test_trial_finds_a_coinbase_of_another_height_or_without_its_witness_commitment():
    job = made()
    job.templates = replace(job.templates, parent=replace(job.templates.parent, height=70_000))
    assert problems(job) == {"regbtc": "the coinbase does not begin with the height"}
    job = made(parent=parent_template(witness_commitment=None))
    job.templates = replace(job.templates, parent=parent_template())
    assert problems(job) == {"regbtc": "the coinbase lacks the witness commitment"}


@pytest.mark.parametrize("version", [0x20000000, 0x20240000])
def test_trial_finds_version_bits_that_become_a_strict_chains_own_id(version):
    """Fractal's id is 0x2024, which a miner may roll its version to unless a bit is taken out of the mask."""
    template = replace(aux_template("regnmc"), chain_id=0x2024)
    job = JobFactory().make(parent_template(version=version), template)
    assert problems(job) == {"regnmc": "parent has our chain id"}
    tolerant = TERMS._replace(strict_chains=frozenset())
    assert problems(job, tolerant) == {}


def test_trial_holds_when_the_bit_is_taken_out():
    template = replace(aux_template("regnmc"), chain_id=0x2024)
    assert problems(JobFactory().make(None, template, fixed_version_bits=1 << 18)) == {}


def test_trial_believes_the_second_verifier_when_the_first_is_wrong(monkeypatch):
    job = made(*ALL[:2])
    slot = job.commitments.slots["regnmc"]
    wrong = AuxPowSlot(slot.index ^ 2, slot.branch, slot.nonce)
    job.commitments = replace(job.commitments, slots={**job.commitments.slots, "regnmc": wrong})
    monkeypatch.setattr(auxpow_proof, "verify", lambda *_, **__: "ok")
    assert problems(job) == {"regnmc": "wrong index (the second verifier)"}


@pytest.mark.parametrize("chain", ["alpha", "beta"])
def test_trial_makes_a_proof_that_is_right_but_for_its_work(chain):
    job = made(*ALL)
    template = job.templates.aux[chain]
    payload = unsolved_payload(job, 4, template, KINDS, "sha256d")
    proof = mm2_rules.parse_proof(bytes.fromhex(payload["proof"]))
    assert mm2_rules.check_proof(proof, template.context, template.aux_hash, template.target) == "high-hash"
    assert mm2_rules.check_proof(proof, template.context, template.aux_hash, 2**256 - 1) is None


def test_shape_is_the_same_for_jobs_that_differ_in_hashes_only():
    factory = JobFactory()
    first = factory.make(None, *(aux_template(name, 1) for name in ALL))
    second = factory.make(parent_template(previous=b"n" * 32), *(aux_template(name, 2) for name in ALL))
    assert proof_shape(first) == proof_shape(second)


@pytest.mark.parametrize(
    "other",
    [
        {"names": ALL[:3]},
        {"names": ALL, "extranonce2_sizes": (4, 8)},
        {"names": ALL, "tag": b"/longer/"},
        {"names": ALL, "parent": parent_template(merkle_branch=())},
        {"names": ALL, "parent": parent_template(witness_commitment=None)},
        {"names": ALL, "fixed_version_bits": ROLLING_MASK & -ROLLING_MASK},
    ],
)
def test_shape_is_another_when_the_form_of_the_proof_is(other):
    assert proof_shape(made(*ALL)) != proof_shape(made(*other.pop("names"), **other))
