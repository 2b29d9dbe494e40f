"""Judging a consensus proof, or that one carries a transfer, on its own, with no node: for third parties.

The questions are the answers of the calls `getconsensusproof` (as `proof`) and `gettransferproof`, with what only the
asker can know: the `network` (description.py), the `bits` that the proof must state, and for a transfer the `chain_id`.
Whoever takes these from a stranger is told what the stranger likes. That a body was a block and not a void, only a
follower of its chain can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chains.accounts.transfer import is_signed, read_transfer
from chains.parallel.body import NODE_SIZE
from chains.parallel.description import read_network
from chains.parallel.proof import ConsensusProof, InvalidProofError, read_proof
from chains.primitives import fields
from chains.primitives.fields import FieldError
from chains.primitives.hashes import sha256d
from chains.primitives.merkle import fold_branch
from chains.primitives.serialize import MalformedError

MAX_BRANCH = 32


def verify_record(record: Mapping[str, Any]) -> str:
    """`ok`, or the reason word of the first check of docs/protocol/parallel.md that fails; for a transfer also
    `transaction-size`, `merkle-branch`, `transfer-form` and `bad-signature`. Raises FieldError for a record that is
    neither question."""
    network, _ = read_network(fields.mapping(record.get("network"), "network"))
    bits = int.from_bytes(fields.hex_bytes(record, "bits", 4), "big")
    try:
        proof = read_proof(fields.hex_bytes(record, "proof"), network)
    except InvalidProofError as error:
        return error.reason
    if proof.bits != bits:
        return "bad-bits"
    return _transfer(record, proof) if "transaction" in record else "ok"


def _transfer(record: Mapping[str, Any], proof: ConsensusProof) -> str:
    context, chain_id = fields.hex_bytes(record, "context", 32), fields.hex_bytes(record, "chain_id", 32)
    listed = record.get("branch")
    if not isinstance(listed, list) or len(listed) > MAX_BRANCH:
        raise FieldError(f"branch: expected a list of at most {MAX_BRANCH} hashes")
    branch = [fields.hex_bytes({"branch": one}, "branch", 32) for one in listed]
    index = fields.integer(record, "index", 1, max(1, 2 ** len(branch) - 1))
    transaction = fields.hex_bytes(record, "transaction")
    if len(transaction) == NODE_SIZE:
        return "transaction-size"  # an inner node of the tree, taken for a transaction
    if proof.manifest.get(context) != fold_branch(sha256d(transaction), branch, index):
        return "merkle-branch"
    try:
        transfer = read_transfer(transaction)
    except MalformedError:
        return "transfer-form"
    return "ok" if is_signed(transfer, chain_id) else "bad-signature"
