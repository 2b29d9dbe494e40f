"""What a node writes down: votes and blocks as they came, each with a checksum. Everything else follows from them.

A vote's proof is read once, when it comes; the checksum stands for it afterwards, or a node with a month of votes would
take minutes to start. A record that is damaged is a record that is not there: the network has it.
"""

from __future__ import annotations

import hashlib
from typing import Any

from chains.primitives.serialize import MalformedError, Reader, compact_size
from chains.votes.block import SignedBlock, read_block
from chains.votes.rules import VoteRules
from chains.votes.vote import ProvenWork, Vote, VoteError, read_vote

VOTES = "votes"
BLOCKS = "blocks"
_CHECK_SIZE = 4


def vote_record(vote: Vote) -> tuple[str, bytes, bytes]:
    """(table, key, value): the header's time in front of the wire form."""
    return VOTES, vote.id, _sealed(vote.id, vote.time_s.to_bytes(4, "little") + vote.serialize())


def block_record(block: SignedBlock, body: bytes) -> tuple[str, bytes, bytes]:
    block_id = block.header.id
    return BLOCKS, block_id, _sealed(block_id, block.serialize() + compact_size(len(body)) + body)


def read_vote_record(key: bytes, value: bytes, rules: VoteRules) -> Vote:
    """Raises MalformedError for what was not written so."""
    data = _opened(key, value)
    time_s = int.from_bytes(data[:4], "little")

    def written(*_: Any) -> ProvenWork:
        return ProvenWork(key, time_s)

    try:
        return read_vote(data[4:], rules, written)
    except VoteError as error:
        raise MalformedError(error.reason) from error


def read_block_record(key: bytes, value: bytes) -> tuple[SignedBlock, bytes]:
    """The block and its body. Raises MalformedError."""
    reader = Reader(_opened(key, value))
    block, body = read_block(reader), reader.variable()
    reader.finish()
    if block.header.id != key:
        raise MalformedError("the record is of another block")
    return block, body


def _check(key: bytes, data: bytes) -> bytes:
    return hashlib.sha256(key + data).digest()[:_CHECK_SIZE]


def _sealed(key: bytes, data: bytes) -> bytes:
    return _check(key, data) + data


def _opened(key: bytes, value: bytes) -> bytes:
    check, data = value[:_CHECK_SIZE], value[_CHECK_SIZE:]
    if check != _check(key, data):
        raise MalformedError("the checksum is wrong")
    return data
