"""Judging a vote, a block or a transfer on its own, with no node: what `pool verify bk` and third parties ask.

The questions are the answers of the calls `getvoteproof`, `getblockproof` and `gettransferproof`. Targets and k are the
asker's to know: they are part of the question, and whoever takes them from a stranger is told what the stranger likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chains.bk.parameters import MAGIC, SIGNING_TAG
from chains.primitives import fields
from chains.primitives.fields import FieldError
from chains.primitives.hashes import sha256d
from chains.primitives.merkle import fold_branch
from chains.primitives.serialize import MalformedError, Reader
from chains.votes.block import SIGNATURE_SIZE, SignedBlock
from chains.votes.header import BlockHeader, genesis_header, read_header
from chains.votes.rules import MAX_VOTES, VoteRules
from chains.votes.validity import block_problem, form_problem, place_problem, vote_problem
from chains.votes.vote import Vote, VoteError, make_vote

MAX_COUNT = 2**32 - 1
MAX_BRANCH = 32


def verify_record(record: Mapping[str, Any]) -> str:
    """`ok`, or the reason word of the first check of docs/protocol/bk.md that fails. Raises FieldError for a record
    that is none of the three questions."""
    if "transfer" in record:
        return _transfer(record)
    if "votes" in record:
        return _block(record)
    return _vote(record, _rules(record, 1), _target(record))[1]


def _rules(record: Mapping[str, Any], k: int) -> VoteRules:
    """Only what judging by itself needs; the rest is any."""
    context = fields.hex_bytes(record, "context", 32)
    return VoteRules(MAGIC, context, SIGNING_TAG, k, 1, genesis_header(bytes(32)), 1, 1)


def _target(record: Mapping[str, Any]) -> int:
    return int.from_bytes(fields.hex_bytes(record, "target", 32), "big")


def _vote(record: Mapping[str, Any], rules: VoteRules, target: int) -> tuple[Vote | None, str]:
    try:
        vote = make_vote(fields.hex_bytes(record, "datum"), fields.hex_bytes(record, "proof"), rules)
    except VoteError as error:
        return None, error.reason
    return vote, vote_problem(vote, target) or "ok"


def _header(record: Mapping[str, Any]) -> BlockHeader:
    reader = Reader(fields.hex_bytes(record, "header"))
    try:
        header = read_header(reader)
        reader.finish()
    except MalformedError as error:
        raise FieldError(f"header: {error}") from error
    return header


def _block(record: Mapping[str, Any]) -> str:
    rules, target = _rules(record, fields.integer(record, "k", 1, MAX_VOTES)), _target(record)
    header, signature = _header(record), fields.hex_bytes(record, "signature", SIGNATURE_SIZE)
    listed = record["votes"]
    if not isinstance(listed, list) or len(listed) > MAX_VOTES:
        raise FieldError("votes: expected a list of votes")
    votes: dict[bytes, Vote] = {}
    order: list[bytes] = []
    for one in listed:
        vote, verdict = _vote(fields.mapping(one, "votes"), rules, target)
        if vote is None:
            return verdict
        votes[vote.id] = vote
        order.append(vote.id)
    block = SignedBlock(header, signature, tuple(order))
    return (
        form_problem(block, rules)
        or place_problem(block, header.previous, header.height - 1, target)
        or block_problem(block, votes, rules)
        or "ok"
    )


def _transfer(record: Mapping[str, Any]) -> str:
    """That a block's content holds the transfer; whether it was applied there, only who keeps the accounts knows."""
    count = fields.integer(record, "count", 1, MAX_COUNT)
    index = fields.integer(record, "index", 0, count - 1)
    branch = record.get("branch")
    if not isinstance(branch, list) or len(branch) > MAX_BRANCH:
        raise FieldError("branch: expected a list of hashes")
    siblings = [fields.hex_bytes({"branch": sibling}, "branch", 32) for sibling in branch]
    if len(siblings) != (count - 1).bit_length():
        return "transfer-branch"
    root = fold_branch(sha256d(fields.hex_bytes(record, "transfer")), siblings, index)
    held = sha256d(count.to_bytes(4, "little") + root) == _header(record).tx_root
    return "ok" if held else "block-tx-root"
