"""A job's bytes: what miners get is what the parent and every child accept."""

from __future__ import annotations

import json

import pytest
from support.job_factory import KINDS, JobFactory, aux_template, parent_template

from chains.auxpow import proof as auxpow_proof
from chains.bitcoin.coinbase import CoinbaseTooLongError
from chains.kind import SolvedHeader
from chains.mm2_proof import proof as mm2_proof
from chains.primitives.hashes import displayed, sha256d
from chains.primitives.header import Header
from chains.primitives.merkle import fold_branch
from chains.primitives.transaction import parse_transaction

ALL = ("regnmc", "regdoge", "alpha", "beta")
NONCE8 = bytes(range(1, 9))


def solved(job, nonce8: bytes = NONCE8) -> SolvedHeader:
    coinbase = job.layouts[4].coinbase(nonce8)
    root = fold_branch(sha256d(coinbase), job.merkle_branch)
    header = Header(job.version, job.previous_hash, root, 1_700_000_000, job.bits, 7).serialize()
    return SolvedHeader(header, coinbase, job.merkle_branch)


def test_job_commits_to_all_chains_in_one_coinbase():
    job = JobFactory().make(None, *(aux_template(c, n + 1) for n, c in enumerate(ALL)))
    coinbase = parse_transaction(job.layouts[4].coinbase(NONCE8))
    assert coinbase.inputs[0].script_sig.count(b"\xfa\xbemm") == 1
    last = coinbase.outputs[-1]
    assert (last.amount_sat, last.script[:2], last.script[-8:]) == (0, b"\x6a\x28", NONCE8)
    assert last.script[2:34] != bytes(32)
    assert coinbase.lock_time == 0
    assert coinbase.outputs[0].amount_sat == 50 * 10**8


def test_job_of_the_same_templates_is_other_work():
    """Miners start each job at the same nonces: equal coinbases would make them find the same shares again."""
    factory = JobFactory()
    first, again = (factory.make(None, aux_template("alpha"), extranonce2_sizes=(4, 8)) for _ in range(2))
    for size in (4, 8):
        assert first.layouts[size].coinbase(bytes(4 + size)) != again.layouts[size].coinbase(bytes(4 + size))
        assert parse_transaction(first.layouts[size].coinbase(bytes(4 + size))).outputs


@pytest.mark.parametrize("chain", ["regnmc", "regdoge"])
def test_job_gives_every_mm1_child_a_proof_it_accepts(chain):
    templates = [aux_template(c, n + 1) for n, c in enumerate(ALL)]
    job = JobFactory().make(None, *templates)
    template = job.templates.aux[chain]
    payload = KINDS[chain].assemble(solved(job), template, job.commitments.slots[chain])
    assert payload["hash"] == displayed(template.aux_hash)
    proof = auxpow_proof.parse(bytes.fromhex(payload["auxpow"]))
    assert auxpow_proof.check(proof, template.aux_hash, template.chain_id) == "ok"


@pytest.mark.parametrize("chain", ["alpha", "beta"])
def test_job_gives_every_mm2_child_a_proof_it_accepts(chain):
    job = JobFactory().make(None, *(aux_template(c, n + 1) for n, c in enumerate(ALL)))
    template = job.templates.aux[chain]
    payload = KINDS[chain].assemble(solved(job), template, job.commitments.slots[chain])
    proof = mm2_proof.parse(bytes.fromhex(payload["proof"]), template.context, template.aux_hash)
    assert mm2_proof.verify(proof, template.context, 2**256 - 1) == "ok"


def test_job_without_auxiliary_chains_keeps_the_same_layout():
    coinbase = parse_transaction(JobFactory().make().layouts[4].coinbase(NONCE8))
    assert coinbase.outputs[-1].script == b"\x6a\x28" + bytes(32) + NONCE8
    assert b"\xfa\xbemm" not in coinbase.inputs[0].script_sig


def test_job_notify_says_what_the_header_is_made_of():
    job = JobFactory().make(parent_template(previous=bytes(range(32))), aux_template("alpha"))
    line = json.loads(job.layouts[4].offer.notify)
    job_id, previous, coinb1, coinb2, branch, version, bits, time, clean = line["params"]
    assert (
        job_id == job.job_id and clean is False and json.loads(job.layouts[4].offer.notify_clean)["params"][8] is True
    )
    assert bytes.fromhex(previous) == b"".join(bytes(range(i, i + 4))[::-1] for i in range(0, 32, 4))
    assert bytes.fromhex(coinb1) + NONCE8 + bytes.fromhex(coinb2) == job.layouts[4].coinbase(NONCE8)
    assert branch == [h.hex() for h in job.merkle_branch]
    assert (version, bits, time) == ("20000000", "207fffff", f"{1_700_000_000:08x}")


def test_job_easiest_target_is_that_of_its_easiest_chain():
    parent = parent_template(target=5)
    job = JobFactory().make(parent, aux_template("alpha", target=9), aux_template("regnmc", 2, target=7))
    assert job.easiest_target == 9
    assert job.targets == (("regbtc", 5), ("alpha", 9), ("regnmc", 7))


def test_job_caps_are_the_difficulties_of_chains_that_may_cap():
    aux = [aux_template("alpha", target=20), aux_template("regnmc", 2, target=7)]
    job = JobFactory().make(
        parent_template(target=5), *aux, difficulty_of=lambda t: 100 / t, uncapped=frozenset({"alpha"})
    )
    assert job.layouts[4].offer.caps == (100 / 7, 100 / 5)


def test_job_sends_rolled_version_bits_as_zero_and_keeps_fixed_ones_out_of_the_mask():
    job = JobFactory().make(parent_template(version=0x3FFFE004, fixed_version_bits=0x00002000))
    assert job.version_mask == 0x1FFFE000 & ~0x2000
    assert job.version == 0x3FFFE004 & ~job.version_mask


def test_job_refuses_a_coinbase_that_is_too_long():
    with pytest.raises(CoinbaseTooLongError, match="tag"):
        JobFactory().make(None, aux_template("regnmc"), tag=b"x" * 60)


def test_job_with_eight_bytes_of_extranonce2_keeps_every_commitment():
    job = JobFactory().make(
        None, *(aux_template(c, n + 1) for n, c in enumerate(ALL)), extranonce2_sizes=(4, 8), tag=b"/t/"
    )
    wide = job.layouts[8]
    nonce = bytes(range(12))
    coinbase = parse_transaction(wide.coinbase(nonce))
    assert coinbase.inputs[0].script_sig.endswith(b"\x0c" + nonce)
    assert coinbase.outputs[-1].script[-8:] == bytes(8)
    assert coinbase.outputs == parse_transaction(job.layouts[4].coinbase(bytes(8))).outputs
    root = fold_branch(sha256d(wide.coinbase(nonce)), job.merkle_branch)
    header = Header(job.version, job.previous_hash, root, 1_700_000_000, job.bits, 7).serialize()
    proven = SolvedHeader(header, wide.coinbase(nonce), job.merkle_branch)
    for chain in ("alpha", "beta"):
        template = job.templates.aux[chain]
        payload = KINDS[chain].assemble(proven, template, job.commitments.slots[chain])
        proof = mm2_proof.parse(bytes.fromhex(payload["proof"]), template.context, template.aux_hash)
        assert mm2_proof.verify(proof, template.context, 2**256 - 1) == "ok"
    for chain in ("regnmc", "regdoge"):
        template = job.templates.aux[chain]
        payload = KINDS[chain].assemble(proven, template, job.commitments.slots[chain])
        assert (
            auxpow_proof.check(
                auxpow_proof.parse(bytes.fromhex(payload["auxpow"])), template.aux_hash, template.chain_id
            )
            == "ok"
        )
