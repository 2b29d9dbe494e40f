"""Calls that change something: each takes the node and the call's parameters, and returns the answer.

Refusals that are the caller's own fault raise CallRefusedError; what became of a proof is an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chains.accounts import wallet
from chains.accounts.mempool import Refused
from chains.accounts.wallet import (
    DESERIALIZATION,
    INVALID_PARAMETER,
    VERIFY_REJECTED,
    WALLET_ERROR,
    CallRefusedError,
    parse,
)
from chains.parallel.body import MAX_BODY_SIZE, Body, block_id, form_problem, root_of, serialize_body
from chains.parallel.manifest import manifest_of
from chains.parallel.offers import Candidate, bodies_for, chain_named, describe, time_now_s
from chains.parallel.parameters import Mode
from chains.parallel.proof import AuxDatum, InvalidProofError, aux_wire, read_proof
from chains.parallel.tree import Entry
from chains.peers.core import Tell
from chains.primitives.hashes import displayed, from_displayed

if TYPE_CHECKING:
    from chains.parallel.core import ParallelCore

MAX_CANDIDATES = 256
FRESH_S = 30  # how long a datum's time may lag while nothing else has changed


def submit_consensus_proof(
    node: ParallelCore, proof_hex: str, bodies: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Any]:
    """A solved proof (wire form) with all its bodies, by chain name or context hex, as lists of transactions in hex.
    `result` is `accepted` when it is the best proof now, `inconclusive` when it is not, or not yet, for `missing`
    bodies; `duplicate`; or the reason why it is none. `blocks` names the parallel blocks and what became of each."""
    try:
        proof_wire = bytes.fromhex(proof_hex)
        given = {_context(node, name): _body(name, body) for name, body in (bodies or {}).items()}
    except (ValueError, TypeError) as error:
        raise CallRefusedError(DESERIALIZATION, f"not hex: {error}") from error
    return _submit(node, proof_wire, given)


def _submit(node: ParallelCore, proof_wire: bytes, bodies: Mapping[bytes, Body]) -> dict[str, Any]:
    try:
        proof = read_proof(proof_wire, node.parameters)
        for context, body in bodies.items():
            if proof.manifest.get(context) != root_of(body):
                raise CallRefusedError(INVALID_PARAMETER, f"the body of {context.hex()} has not the manifest's root")
        known = proof.id in node.tree
        entry = node.intake.proof(proof_wire).entry
    except InvalidProofError as error:
        if error.reason == "orphan":
            node.known.spare(bodies.values())
        return {"result": error.reason, "id": None, "missing": [], "blocks": []}
    for body in bodies.values():
        node.intake.keep_body(root_of(body), body)
    node.follow()
    result = "accepted" if entry is node.tree.best else "inconclusive"
    return {
        "result": "duplicate" if known else result,
        "id": displayed(entry.id),
        "missing": sorted(context.hex() for context, root in entry.carried.items() if root in entry.missing),
        "blocks": _blocks(node, entry),
    }


def _blocks(node: ParallelCore, entry: Entry) -> list[dict[str, Any]]:
    assert entry.proof is not None
    told = []
    for context, root in entry.proof.manifest.roots:
        name = block_id(entry.id, context, root)
        chain = node.chains.get(context)
        state = chain.status(name).state if chain is not None else "unknown"
        told.append({"context": context.hex(), "id": displayed(name), "state": state})
    return told


def _context(node: ParallelCore, name: str) -> bytes:
    """A chain's context, followed or not."""
    for chain in node.chains.values():
        if chain.parameters.name == name:
            return chain.context
    context = bytes.fromhex(name)
    if len(context) != 32:
        raise ValueError(f"{name[:70]!r} is neither a followed chain nor a context")
    return context


def _body(name: str, transactions: Sequence[str]) -> Body:
    body = tuple(bytes.fromhex(one) for one in transactions)
    problem = form_problem(body)
    if problem is None and len(serialize_body(body)) > MAX_BODY_SIZE:
        problem = "body-size"
    if problem is not None:
        raise CallRefusedError(DESERIALIZATION, f"{name[:70]}: {problem}")
    return body


def create_parallel_datum(node: ParallelCore, scripts: Mapping[str, str]) -> dict[str, Any]:
    """A datum for a merge-miner's tree: `hash` (displayed) and `context` (natural) are what its leaf takes. The same
    answer while nothing has changed, so that a pool may ask often."""
    if node.parameters.mode is not Mode.AUX:
        raise CallRefusedError(INVALID_PARAMETER, "this network has its own proof of work: ask getconsensustemplate")
    made = bodies_for(node, scripts)
    answer = describe(node, made)
    manifest = manifest_of({context: one.root for context, one in made.items()})
    datum = _same_datum(node, answer) or AuxDatum(
        node.parameters.context,
        node.tree.best.id,
        manifest.commitment(),
        int(answer["bits"], 16),
        time_now_s(node),
    )
    node.candidates.pop(datum.hash, None)
    node.candidates[datum.hash] = Candidate(datum, manifest, {context: one.body for context, one in made.items()})
    while len(node.candidates) > MAX_CANDIDATES:
        del node.candidates[next(iter(node.candidates))]
    return {
        **answer,
        "hash": displayed(datum.hash),
        "context": datum.context.hex(),
        "datum": datum.wire.hex(),
        "coinbasevalue": sum(one.amount for one in made.values()),
    }


def _same_datum(node: ParallelCore, answer: Mapping[str, Any]) -> AuxDatum | None:
    """The datum handed out last for the same tip and bodies, if its time will do."""
    wanted = (node.tree.best.id, bytes.fromhex(answer["commitment"]))
    for candidate in reversed(node.candidates.values()):
        datum = candidate.datum
        if (datum.previous, datum.commitment) == wanted and time_now_s(node) - datum.time <= FRESH_S:
            return datum
    return None


def submit_parallel_datum(node: ParallelCore, hash_hex: str, proof_hex: str) -> dict[str, Any]:
    """The MM2 proof (wire form) of a datum that `createparalleldatum` gave. Answers as `submitconsensusproof`; `stale`
    when the datum is not known any more."""
    try:
        datum_hash, proof_wire = from_displayed(hash_hex), bytes.fromhex(proof_hex)
    except (ValueError, TypeError) as error:
        raise CallRefusedError(DESERIALIZATION, f"not hex: {error}") from error
    candidate = node.candidates.get(datum_hash)
    if candidate is None:
        return {"result": "stale", "id": None, "missing": [], "blocks": []}
    return _submit(node, aux_wire(candidate.datum, proof_wire, candidate.manifest), candidate.bodies)


def sign_transfer(node: ParallelCore, chain_name: str, transfer_hex: str) -> dict[str, Any]:
    """Signed with this node's key of the sender; the same bytes each time. Changes nothing, but is for the owner."""
    chain = chain_named(node, chain_name)
    secret = node.wallet.get(parse(transfer_hex, signed=False).sender)
    if secret is None:
        raise CallRefusedError(WALLET_ERROR, "the wallet does not hold the sender's key")
    return wallet.sign_transfer(chain, transfer_hex, secret)


def send_transfer(node: ParallelCore, chain_name: str, transfer_hex: str) -> dict[str, Any]:
    """Takes a signed transfer, writes it down, tells the peers. To be repeated as often as one likes: `result` is then
    `known` or `confirmed`. What the mempool refuses is refused with -26 and its word."""
    chain = chain_named(node, chain_name)
    transfer = parse(transfer_hex)
    transfer_id = transfer.id_on(chain.chain_id)
    if chain.accounts.height_of(transfer_id) is not None:
        return {"id": displayed(transfer_id), "result": "confirmed"}
    known = transfer_id in chain.mempool
    if not known:
        result = chain.mempool.add(transfer)
        if isinstance(result, Refused):
            raise CallRefusedError(VERIFY_REJECTED, result.reason)
    node.own(chain, transfer_id, transfer)
    node.emit(Tell("template"))
    return {"id": displayed(transfer_id), "result": "known" if known else "sent"}


WRITES: Mapping[str, Callable[..., dict[str, Any]]] = {
    "submitconsensusproof": submit_consensus_proof,
    "createparalleldatum": create_parallel_datum,
    "submitparalleldatum": submit_parallel_datum,
    "signtransfer": sign_transfer,
    "sendtransfer": send_transfer,
}
