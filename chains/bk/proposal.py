"""A block that our key is asked to lead: read from a node's answer, and held against itself before anything is signed.

What is signed and what it is promised to follow from the header and the votes alone. A node that could name a slot or
a digest of its own choice could have two blocks signed for one vote.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chains.bk.parameters import SIGNING_TAG
from chains.primitives import fields
from chains.primitives.fields import FieldError
from chains.primitives.hashes import displayed, from_displayed
from chains.primitives.serialize import MalformedError, Reader
from chains.votes.block import signing_digest
from chains.votes.header import HEADER_SIZE, BlockHeader, read_header, votes_root

PURPOSE = "bk/block"
"""What a leader's key promises: at most one block for each slot."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A header to be signed, with the votes that it has and its body. `votes` are displayed, the leader's first."""

    header: BlockHeader
    votes: tuple[str, ...]
    body: bytes

    @property
    def height(self) -> int:
        return self.header.height

    @property
    def hash_hex(self) -> str:
        return displayed(self.header.id)

    @property
    def slot(self) -> bytes:
        """For what at most one digest is ever signed: the block voted for ‖ the leading vote."""
        return self.header.previous + from_displayed(self.votes[0])

    @property
    def digest(self) -> bytes:
        return signing_digest(self.header, SIGNING_TAG)


def proposal_of(header: bytes, votes: tuple[str, ...], body: bytes) -> Proposal:
    """Raises ValueError when the header is none or not of these votes."""
    reader = Reader(header)
    try:
        parsed = read_header(reader)
        reader.finish()
    except MalformedError as error:
        raise FieldError(f"header: {error}") from error
    if not votes or votes_root(tuple(from_displayed(vote) for vote in votes)) != parsed.votes_root:
        raise FieldError("votes: they are not those of the header")
    return Proposal(parsed, votes, body)


def read_proposal(answer: Any) -> Proposal:
    """That of a getproposal or waitforproposal answer. Raises ValueError, naming the field."""
    record = fields.mapping(answer, "waitforproposal")
    votes = record.get("votes")
    if not isinstance(votes, list) or not all(isinstance(vote, str) for vote in votes):
        raise FieldError("votes: expected a list of hashes")
    header = fields.hex_bytes(record, "header", HEADER_SIZE)
    proposal = proposal_of(header, tuple(votes), fields.hex_bytes(record, "body"))
    if fields.hex_bytes(record, "digest", 32) != proposal.digest:
        raise FieldError("digest: it is not that of the header")
    return proposal
