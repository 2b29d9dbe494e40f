"""A job solved for trial: would every chain take the proof that this very job leads to?

What a miner reads in its `mining.notify` is put together as a miner does it and solved at the easiest target there is.
Each chain's proof of it is then given to two verifiers: the pool's own (chains/auxpow, chains/mm2) and the reference
nodes', written a second time from the rules alone (chains/reference). So a mistake between templates and miners (bytes,
order, places in the trees, version bits) shows before a block is lost to it. No node is asked and nothing is submitted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from chains.auxpow import proof as auxpow_proof
from chains.auxpow.slots import CHAIN_ID_SHIFT
from chains.kind import AuxKind, AuxTemplate, ParentTemplate, SolvedHeader
from chains.mm2_proof import proof as mm2_proof
from chains.primitives.hashes import POW_HASHES, displayed, sha256d
from chains.primitives.header import Header
from chains.primitives.merkle import fold_branch
from chains.primitives.script import MAX_SCRIPT_SIG, height_push
from chains.primitives.serialize import MalformedError, Reader
from chains.primitives.target import bits_to_target, meets
from chains.primitives.transaction import parse_transaction
from chains.reference import auxpow_rules, mm2_rules
from pool.jobs.job import EXTRANONCE1_SIZE, Job
from pool.jobs.template_set import Shape

EASIEST_BITS = 0x207FFFFF
"""Regtest's (Bitcoin Core, chainparams.cpp): about every second hash meets it."""

MOST_TRIES = 10_000
"""Of a header's nonce. That so many hashes all miss the easiest target does not happen."""

OWN_ID = "parent has our chain id"  # chains/auxpow/proof.py's words, which not every chain minds


@dataclass(frozen=True, slots=True)
class ProofShape:
    """What of a job decides about the form of its proofs: jobs of one shape are proven in the same way.

    `chains` are the auxiliary chains with their chain id or context; `layouts` the sizes of extranonce2, each with the
    lengths of what stands before and behind the extranonces; `branch_length` the parent's merkle branch.
    """

    chains: tuple[tuple[str, int | bytes | None], ...]
    layouts: tuple[tuple[int, int, int], ...]
    branch_length: int
    version: int
    version_mask: int
    block: Shape


class Trial(NamedTuple):
    """A chain and the first thing wrong with its proof, "" when every verifier takes it."""

    chain: str
    problem: str


class TrialTerms(NamedTuple):
    """What a job does not say of itself: the kinds of its chains, the proof of work, the script that the parent's block
    pays, and the MM1 chains that refuse a parent version with their own chain id."""

    kinds: Mapping[str, AuxKind]
    pow_name: str
    payout_script: bytes
    strict_chains: frozenset[str] = frozenset()


def proof_shape(job: Job) -> ProofShape:
    return ProofShape(
        chains=tuple((name, _place(template)) for name, template in job.templates.aux.items()),
        layouts=tuple((size, len(layout.coinb1), len(layout.coinb2)) for size, layout in job.layouts.items()),
        branch_length=len(job.merkle_branch),
        version=job.version,
        version_mask=job.version_mask,
        block=job.shape,
    )


def _place(template: AuxTemplate) -> int | bytes | None:
    return template.chain_id if template.context is None else template.context


def try_job(job: Job, terms: TrialTerms, pause: Callable[[], None] = lambda: None) -> list[Trial]:
    """Every chain of the job, the parent first, with what is wrong in any of its layouts. Each is solved with no
    version bit rolled, with all of them, and with those nearest to the id of a chain that refuses its own. A chain's
    part costs up to 5 ms of Python; `pause` is called after each."""
    problems = dict.fromkeys(job.templates.chains(), "")
    for size in job.layouts:
        for rolled in _rolled(job, terms):
            try:
                solved = solve(job, size, terms.pow_name, rolled=rolled)
            except ValueError as error:
                return [Trial(chain, found or f"no share can be made: {error}") for chain, found in problems.items()]
            for chain, problem in _problems(job, solved, terms):
                problems[chain] = problems[chain] or problem
                pause()
    return [Trial(chain, problem) for chain, problem in problems.items()]


def _rolled(job: Job, terms: TrialTerms) -> list[int]:
    strict = [template for name, template in job.templates.aux.items() if name in terms.strict_chains]
    ids = [template.chain_id for template in strict if template.chain_id is not None]
    return sorted({0, job.version_mask, *(chain_id << CHAIN_ID_SHIFT & job.version_mask for chain_id in ids)})


def _problems(job: Job, solved: SolvedHeader, terms: TrialTerms) -> Iterator[Trial]:
    templates = job.templates
    yield Trial(templates.parent.chain, coinbase_problem(solved.coinbase, templates.parent, terms.payout_script))
    for name, template in templates.aux.items():
        yield Trial(name, proof_problem(job, solved, template, terms))


def solve(
    job: Job, extranonce2_size: int, pow_name: str, *, rolled: int = 0, unsolved_at: int | None = None
) -> SolvedHeader:
    """A header of the job as a miner makes it of its line, with the job's id as extranonces and the version bits
    `rolled`. Its hash meets the easiest target; or, with `unsolved_at`, it misses that target, so that it can be no
    block there. Raises ValueError when the line is not the job's."""
    line = json.loads(job.layouts[extranonce2_size].offer.notify)
    _, previous_hex, coinb1, coinb2, branch, version, bits, time, _ = line["params"]
    previous_hash = b"".join(bytes.fromhex(previous_hex[at : at + 8])[::-1] for at in range(0, 64, 8))
    if previous_hash != job.previous_hash or int(bits, 16) != job.bits:
        raise ValueError("the line that miners get tells another tip or target than the template")
    nonce = sha256d(job.job_id.encode())[: EXTRANONCE1_SIZE + extranonce2_size]
    coinbase = bytes.fromhex(coinb1) + nonce + bytes.fromhex(coinb2)
    root = sha256d(coinbase)
    for node in branch:
        root = sha256d(root + bytes.fromhex(node))
    pow_hash = POW_HASHES[pow_name]
    target = bits_to_target(EASIEST_BITS) if unsolved_at is None else unsolved_at
    for tried in range(MOST_TRIES):
        header = Header(int(version, 16) | rolled, previous_hash, root, int(time, 16), EASIEST_BITS, tried).serialize()
        if meets(pow_hash(header), target) is (unsolved_at is None):
            return SolvedHeader(header, coinbase, job.merkle_branch)
    raise ValueError("no hash for a trial was found")


def coinbase_problem(coinbase: bytes, template: ParentTemplate, payout_script: bytes) -> str:
    """What is wrong with the parent's coinbase but for its commitments: it pays us all there is, once, and is one that
    a node would take."""
    try:
        transaction = parse_transaction(coinbase)
    except MalformedError as error:
        return f"the coinbase is no transaction: {error}"
    if not transaction.is_coinbase:
        return "the coinbase spends something"
    script_sig = transaction.inputs[0].script_sig
    if not script_sig.startswith(height_push(template.height)):
        return "the coinbase does not begin with the height"
    if not 2 <= len(script_sig) <= MAX_SCRIPT_SIG:
        return f"the coinbase's script has {len(script_sig)} bytes"
    if [o.amount_sat for o in transaction.outputs if o.script == payout_script] != [template.value_sat]:
        return "the coinbase does not pay the configured address what the template gives"
    if sum(o.amount_sat for o in transaction.outputs) != template.value_sat:
        return "the coinbase pays more than the template gives"
    if template.witness_commitment is not None and template.witness_commitment not in [
        o.script for o in transaction.outputs
    ]:
        return "the coinbase lacks the witness commitment"
    return ""


def proof_problem(job: Job, solved: SolvedHeader, template: AuxTemplate, terms: TrialTerms) -> str:
    """What is wrong with the proof that a solved header gives one auxiliary chain, as the pool would hand it in."""
    try:
        kind = terms.kinds[template.chain]
        payload = kind.assemble(solved, template, job.commitments.slots[template.chain])
        if payload["hash"] != displayed(kind.found_hash(template, sha256d(solved.header))):
            return "the proof is handed in under another hash"
        if template.datum is not None and sha256d(bytes.fromhex(payload["datum"])) != template.aux_hash:
            return "the datum handed in is not the one committed to"
        if template.context is None:
            return _auxpow_problem(bytes.fromhex(payload["auxpow"]), solved, template, terms)
        return _mm2_problem(bytes.fromhex(payload["proof"]), solved, template, template.context, terms)
    except (ValueError, KeyError) as error:  # MalformedError is a ValueError
        return f"no proof can be made: {error!r}"


def _auxpow_problem(wire: bytes, solved: SolvedHeader, template: AuxTemplate, terms: TrialTerms) -> str:
    assert template.chain_id is not None, "a template without context has a chain id"
    target = bits_to_target(EASIEST_BITS)
    strict = template.chain in terms.strict_chains
    own = auxpow_proof.verify(
        auxpow_proof.parse(wire), template.aux_hash, template.chain_id, target, terms.pow_name,
        strict_chain_id=strict, index_must_be_zero=True,
    )  # fmt: skip
    if own != "ok":
        return own
    reader = Reader(wire)
    proof = auxpow_rules.read_proof(reader)
    reader.finish()
    if proof.parent.serialize() != solved.header:
        return "the proof is of another header"
    if proof.parent.version & auxpow_rules.AUXPOW_BIT:
        return "parent has auxpow version"
    second = auxpow_rules.check_proof(proof, template.aux_hash, template.chain_id, index_is_checked=True)
    if second is not None and (strict or second != OWN_ID):
        return f"{second} (the second verifier)"
    return "" if meets(auxpow_rules.work_hash(proof, terms.pow_name), target) else "high-hash (the second verifier)"


def _mm2_problem(
    wire: bytes, solved: SolvedHeader, template: AuxTemplate, context: bytes, terms: TrialTerms
) -> str:
    target = bits_to_target(EASIEST_BITS)
    own = mm2_proof.verify_wire(wire, template.aux_hash, context, target, terms.pow_name)
    if own != "ok":
        return own
    proof = mm2_rules.parse_proof(wire)
    second = mm2_rules.check_proof(proof, context, template.aux_hash, target, terms.pow_name)
    if second is not None:
        return f"{second} (the second verifier)"
    root = fold_branch(sha256d(solved.coinbase), solved.merkle_branch)
    header = proof.header[:36] + root + proof.header[36:]
    return "" if header == solved.header else "the proof is of another header"


def unsolved_payload(
    job: Job, extranonce2_size: int, template: AuxTemplate, kinds: Mapping[str, AuxKind], pow_name: str
) -> dict[str, Any]:
    """A proof that is right in everything but its work, so that it can be no block: an MM2 node that keeps the order
    of the checks (docs/protocol/mm2.md) answers `high-hash`. Raises ValueError."""
    solved = solve(job, extranonce2_size, pow_name, unsolved_at=template.target)
    return kinds[template.chain].assemble(solved, template, job.commitments.slots[template.chain])
