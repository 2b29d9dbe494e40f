"""What nodes of B_k say to each other: the table of messages and their bytes. All integers are little-endian.

`block` pushes a block without its votes, which everybody has seen; as the answer to `getblocks` it carries them. A push
leaves out a body over INLINE_BODY bytes, because most who hear of a block have it already; `getbody` fetches it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chains.peers.core import MessageType
from chains.primitives.serialize import MalformedError, Reader, compact_size
from chains.votes.block import SignedBlock, read_block
from chains.votes.rules import MAX_VOTES
from chains.votes.vote import MAX_VOTE_BYTES

INLINE_BODY = 4096
MAX_BLOCKS_ASKED = 16
MAX_CHAIN = 500
MAX_LOCATOR = 64
MAX_BLOCK_MESSAGE = 2_000_000
MAX_TRANSFER_BYTES = 100_000
VOTES_MESSAGE = 200_000
"""Votes of one `votes` message, and of one `block`, in bytes; what is left is asked for again."""

ANSWERED_BYTES = 1_000_000
"""Bodies and votes that go along with the answers to one `getblocks`; the rest has to be asked for."""

_IDS = 5 + 32 * MAX_VOTES


def message_types(body_bytes: int) -> tuple[MessageType, ...]:
    """The table that a chain registers. Rates leave room for what a node asks and answers that catches up as fast as it
    may (fetching.PACE_MS); what a healthy network needs otherwise is a hundredth."""
    return (
        MessageType("tip", "the sender's preferred block and its votes for it", 69 + _IDS, 5, 100),
        MessageType("vote", "a vote that is new", MAX_VOTE_BYTES, 200, 5_000),
        MessageType("block", "a block that is new or was asked for", MAX_BLOCK_MESSAGE, 400, 4_000),
        MessageType("getvotes", "votes wanted, by id", _IDS, 100, 500),
        MessageType("votes", "votes that were asked for", VOTES_MESSAGE + MAX_VOTE_BYTES + 9, 400, 4_000),
        MessageType("getblocks", "blocks wanted, by id", 9 + 32 * MAX_BLOCKS_ASKED, 20, 100),
        MessageType("getbody", "a block's content wanted, by block id", 32, 200, 400),
        MessageType("body", "a block's content", 32 + body_bytes, 200, 400),
        MessageType("getchain", "what follows the first of these blocks that the receiver prefers too",
                    9 + 32 * MAX_LOCATOR, 5, 50),
        MessageType("chain", "ids of blocks, oldest first", 9 + 32 * MAX_CHAIN, 5, 50),
        MessageType("transfer", "a transfer that is new", MAX_TRANSFER_BYTES, 100, 2_000),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tip:
    """`wants_answer`: the receiver should tell its own, if that is better or knows more votes."""

    wants_answer: bool
    block: bytes
    height: int
    work: int
    votes: tuple[bytes, ...]

    def serialize(self) -> bytes:
        head = bytes((self.wants_answer,)) + self.block + self.height.to_bytes(4, "little")
        return head + self.work.to_bytes(32, "little") + ids(self.votes)


def read_tip(payload: bytes) -> Tip:
    """Raises MalformedError, as all of these."""
    reader = Reader(payload)
    wants_answer = reader.read(1) != b"\x00"
    block, height, work = reader.hash32(), reader.u32(), int.from_bytes(reader.read(32), "little")
    votes = _ids(reader, MAX_VOTES)
    return Tip(wants_answer, block, height, work, votes)


@dataclass(frozen=True, slots=True)
class Offer:
    """A block as it travels: perhaps with its body, and with none, some or all of its votes in wire form."""

    block: SignedBlock
    body_size: int
    body: bytes | None
    votes: tuple[bytes, ...] = ()

    @property
    def id(self) -> bytes:
        return self.block.header.id

    def serialize(self) -> bytes:
        body = b"\x00" if self.body is None else b"\x01" + self.body
        return self.block.serialize() + compact_size(self.body_size) + body + _strings(self.votes)


def read_offer(payload: bytes) -> Offer:
    reader = Reader(payload)
    block, size = read_block(reader), reader.compact_size()
    body = reader.read(size) if reader.read(1) != b"\x00" else None
    votes = _read_strings(reader)
    return Offer(block, size, body, votes)


def ids(hashes: Sequence[bytes]) -> bytes:
    """`VarInt n ‖ n × 32 bytes`: getvotes, getblocks, getchain, chain."""
    return compact_size(len(hashes)) + b"".join(hashes)


def read_ids(payload: bytes, limit: int) -> tuple[bytes, ...]:
    return _ids(Reader(payload), limit)


def vote_batches(votes: Iterable[bytes]) -> list[bytes]:
    """Votes in wire form as payloads of `votes` messages, each `VarInt n ‖ n × (VarInt length ‖ vote)`."""
    batches: list[list[bytes]] = []
    size = 0
    for vote in votes:
        if not batches or size + len(vote) > VOTES_MESSAGE:
            batches.append([])
            size = 0
        batches[-1].append(vote)
        size += len(vote) + 3
    return [_strings(batch) for batch in batches]


def read_votes(payload: bytes) -> tuple[bytes, ...]:
    return _read_strings(Reader(payload))


def _ids(reader: Reader, limit: int) -> tuple[bytes, ...]:
    hashes = reader.hashes()
    reader.finish()
    if len(hashes) > limit:
        raise MalformedError(f"{len(hashes)} ids, at most {limit}")
    return hashes


def _strings(strings: Sequence[bytes]) -> bytes:
    return compact_size(len(strings)) + b"".join(compact_size(len(one)) + one for one in strings)


def _read_strings(reader: Reader) -> tuple[bytes, ...]:
    strings = tuple(reader.many(reader.variable))
    reader.finish()
    if len(strings) > MAX_VOTES:
        raise MalformedError(f"{len(strings)} votes, at most {MAX_VOTES}")
    return strings
