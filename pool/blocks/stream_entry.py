"""What front ends tell the accountant through the transport: their shares in pieces, how far they have drained, and the
blocks they found. One entry of the stream is one of these, as msgpack.

A piece of shares names the place in its log where it begins and where it ends, so that the accountant sees when one is
missing, whatever the transport lost. It defines its routes and chain sets itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pool.blocks.solution_store import Outcome, SolutionRecord
from pool.shares.record import LoggedShare, Position, Route, ShareLine, ShareRun
from pool.shares.watermark import Watermark

ENTRY_VERSION = 1
MAXIMUM_LOG_NAME = 200
HASH_BYTES = 32


class TransportAwayError(Exception):
    """The transport did not take or give an entry: it is away, full, or no longer the master. Ask again later."""


class BadEntryError(Exception):
    """An entry that cannot be read: of another version, or not ours."""


class SharePiece(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Shares of one log from `start` to `end`; a route is named by its digest, a chain set by its place in the list."""

    version: int
    log: str
    start: Position
    end: Position
    routes: tuple[Route, ...]
    chain_sets: tuple[tuple[str, ...], ...]
    lines: tuple[ShareLine, ...]


class DrainNote(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A log is drained so far: the entries before this one hold every share of it up to `position`."""

    version: int
    log: str
    position: Position
    watermark: Watermark


class SolutionNote(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A found block, without its bytes. `answer` is None while no node has given a final one."""

    version: int
    log: str
    record: SolutionRecord
    answer: Outcome | None
    reason: str


Entry = SharePiece | DrainNote | SolutionNote

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Entry] = msgspec.msgpack.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    return _encoder.encode(entry)


def decode_entry(data: bytes) -> Entry:
    """Raises BadEntryError."""
    try:
        entry = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadEntryError(f"an entry cannot be read: {error}") from error
    if entry.version != ENTRY_VERSION:
        raise BadEntryError(f"an entry has version {entry.version}, this program reads {ENTRY_VERSION}")
    if not 0 < len(entry.log) <= MAXIMUM_LOG_NAME:
        raise BadEntryError("an entry names no share log")
    return entry


def share_piece(log: str, start: Position, shares: Sequence[LoggedShare]) -> SharePiece:
    """Shares that follow `start` in the log, of which there is at least one."""
    routes: dict[bytes, Route] = {}
    chain_sets: dict[tuple[str, ...], int] = {}
    lines = []
    for logged in shares:
        share = logged.share
        routes.setdefault(share.route, logged.route)
        chain_set = chain_sets.setdefault(share.chains, len(chain_sets))
        lines.append(
            ShareLine(
                share.sequence, share.time_ms, share.route, share.worker, share.weight, chain_set, share.header_hash,
                share.stale, share.solved,
            )
        )  # fmt: skip
    end = shares[-1].position
    return SharePiece(ENTRY_VERSION, log, start, end, tuple(routes.values()), tuple(chain_sets), tuple(lines))


def check_piece(piece: SharePiece) -> None:
    """Raises BadEntryError when the shares of a piece name what it does not define, or have no hash."""
    routes = {route.digest for route in piece.routes}
    for line in piece.lines:
        if line.route not in routes or not 0 <= line.chain_set < len(piece.chain_sets):
            raise BadEntryError(f"a share of {piece.log} names a route or chain set that its entry does not define")
        if len(line.header_hash) != HASH_BYTES:
            raise BadEntryError(f"a share of {piece.log} has a header hash of {len(line.header_hash)} bytes")


def run_of_pieces(pieces: Sequence[SharePiece]) -> ShareRun:
    """The shares of pieces of one log that were checked and follow each other; nothing may stop inside of them."""
    chain_sets: dict[tuple[str, ...], int] = {}
    routes: dict[bytes, Route] = {}
    lines: list[ShareLine] = []
    for piece in pieces:
        routes.update((route.digest, route) for route in piece.routes)
        numbers = [chain_sets.setdefault(chains, len(chain_sets)) for chains in piece.chain_sets]
        if numbers == list(range(len(numbers))):
            lines += piece.lines
        else:
            replace = msgspec.structs.replace
            lines += (replace(line, chain_set=numbers[line.chain_set]) for line in piece.lines)
    return ShareRun(lines, routes, {number: chains for chains, number in chain_sets.items()}, pieces[-1].end)


def drain_note(log: str, position: Position, watermark: Watermark) -> DrainNote:
    return DrainNote(ENTRY_VERSION, log, position, watermark)


def solution_note(log: str, record: SolutionRecord, answer: Outcome | None, reason: str) -> SolutionNote:
    """The block's bytes stay with the front end, which submits it."""
    return SolutionNote(ENTRY_VERSION, log, msgspec.structs.replace(record, payload={}), answer, reason)
