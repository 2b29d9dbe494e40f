"""Reads the share log while it is being written, from any thread but one at a time.

Only what is durable is read, so that the books never know a share that a crash could take back.
A segment defines routes and chain sets before their first use, so starting in its middle first collects the definitions
before that point; continuing from where the same reader stopped does not.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from pool.shares.log_segment import CorruptShareLog, read_frames, read_payloads, segment_numbers, segment_path
from pool.shares.record import (
    FORMAT_VERSION,
    ChainSet,
    LoggedShare,
    Position,
    Route,
    SegmentStart,
    ShareLine,
    ShareRecord,
    ShareRun,
)

log = logging.getLogger("parapool.shares")

Line = SegmentStart | Route | ChainSet | ShareLine
SHARE_TAG = 3
LIST_HEADER = struct.Struct(">BI")
MSGPACK_ARRAY_32 = 0xDD
"""Payloads behind each other become one msgpack array by this first byte, and are decoded in one call."""


class Definitions:
    """The routes and chain sets that one segment has defined so far."""

    def __init__(self) -> None:
        self.routes: dict[bytes, Route] = {}
        self.chain_sets: dict[int, tuple[str, ...]] = {}

    def learn(self, line: Line, path: Path, offset: int) -> None:
        if isinstance(line, Route):
            self.routes[line.digest] = line
        elif isinstance(line, ChainSet):
            self.chain_sets[line.number] = line.chains
        elif isinstance(line, SegmentStart) and line.version != FORMAT_VERSION:
            raise CorruptShareLog(path, offset, f"format version {line.version} is not {FORMAT_VERSION}")

    def resolve(self, line: ShareLine, path: Path, offset: int) -> tuple[ShareRecord, Route]:
        try:
            route = self.routes[line.route]
            chains = self.chain_sets[line.chain_set]
        except KeyError as error:
            raise CorruptShareLog(path, offset, "the share's route or chain set is not defined before it") from error
        record = ShareRecord(
            line.sequence,
            line.time_ms,
            line.route,
            line.worker,
            line.weight,
            chains,
            line.header_hash,
            line.stale,
            line.solved,
        )
        return record, route


class ShareLogReader:
    """One consumer's view of the log."""

    def __init__(self, directory: Path, durable: Callable[[], Position]) -> None:
        self._directory = directory
        self._durable = durable
        self._decoder: msgspec.msgpack.Decoder[Line] = msgspec.msgpack.Decoder(Line)
        self._list_decoder: msgspec.msgpack.Decoder[list[Line]] = msgspec.msgpack.Decoder(list[Line])
        self._resume: tuple[Position, Definitions] | None = None
        self._reported: Position | None = None

    def read_from(self, position: Position) -> Iterator[LoggedShare]:
        """Every durable share after `position`, oldest first; ends where the log is durable now.

        Raises CorruptShareLog when a record is damaged, naming file and offset.
        """
        durable = self._durable()
        numbers = [number for number in segment_numbers(self._directory) if number <= durable.segment]
        self._report_gap(position, numbers, durable)
        if position > durable:
            position = Position(0, 0)
        for number in numbers:
            if number < position.segment:
                continue
            start = position.offset if number == position.segment else 0
            end = durable.offset if number == durable.segment else None
            yield from self._read_segment(Position(number, start), end)

    def read_run(self, position: Position, limit: int) -> ShareRun | None:
        """Durable shares after `position`, at most `limit` and not beyond a segment's end; None when there are none.

        Several times as quick as `read_from`. Raises CorruptShareLog when the first record after `position` that is no
        definition is damaged; the whole ones before a damaged record come first.
        """
        durable = self._durable()
        numbers = [number for number in segment_numbers(self._directory) if number <= durable.segment]
        self._report_gap(position, numbers, durable)
        if position > durable:
            position = Position(0, 0)
        for number in numbers:
            if number < position.segment:
                continue
            start = Position(number, position.offset if number == position.segment else 0)
            end = durable.offset if number == durable.segment else None
            while (found := self._read_records(start, end, limit)) is not None:
                run, start = found
                if run.lines:
                    return run
        return None

    def _read_records(self, start: Position, end: int | None, limit: int) -> tuple[ShareRun, Position] | None:
        """Up to `limit` records of a segment, definitions among them, and the place after them; None at its end."""
        path = segment_path(self._directory, start.segment)
        definitions = self._definitions_before(path, start)
        payloads, offset = read_payloads(path, start.offset, end, limit)
        if not payloads:
            return None
        lines = []
        for line in self._decode_all(payloads, path, start.offset, offset):
            if isinstance(line, ShareLine):
                lines.append(line)
            else:
                definitions.learn(line, path, start.offset)
        routes, chain_sets = definitions.routes, definitions.chain_sets
        if not {line.route for line in lines} <= routes.keys() or not (
            {line.chain_set for line in lines} <= chain_sets.keys()
        ):
            raise CorruptShareLog(path, start.offset, "a share's route or chain set is not defined before it")
        place = Position(start.segment, offset)
        self._resume = (place, definitions)
        return ShareRun(lines, routes, chain_sets, place), place

    def _decode_all(self, payloads: list[bytes], path: Path, start: int, end: int) -> list[Line]:
        header = LIST_HEADER.pack(MSGPACK_ARRAY_32, len(payloads))
        try:
            return self._list_decoder.decode(header + b"".join(payloads))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # Record by record, which raises at the one that it is, and names its place.
            return [self._decode(payload, path, offset) for offset, payload in read_frames(path, start, end)]

    def _report_gap(self, position: Position, numbers: list[int], durable: Position) -> None:
        """Says once that the log and its consumer do not fit together."""
        if self._reported == position:
            return
        self._reported = position
        if position > durable:
            log.error(
                "share log is older than the books, reading it from its beginning consumed=%d:%d durable=%d:%d",
                *position,
                *durable,
            )
        elif position.segment > 0 and numbers and position.segment < numbers[0]:
            log.error(
                "share log segments are missing, going on after them consumed=%d:%d first=%d", *position, numbers[0]
            )

    def _read_segment(self, start: Position, end: int | None) -> Iterator[LoggedShare]:
        path = segment_path(self._directory, start.segment)
        definitions = self._definitions_before(path, start)
        for offset, payload in read_frames(path, start.offset, end):
            line = self._decode(payload, path, offset)
            if not isinstance(line, ShareLine):
                definitions.learn(line, path, offset)
                continue
            share, route = definitions.resolve(line, path, offset)
            position = Position(start.segment, offset)
            self._resume = (position, definitions)
            yield LoggedShare(position, share, route)

    def _definitions_before(self, path: Path, start: Position) -> Definitions:
        if self._resume is not None and self._resume[0] == start:
            return self._resume[1]
        definitions = Definitions()
        if start.offset:
            for offset, payload in read_frames(path, 0, start.offset):
                if payload[1] != SHARE_TAG:
                    definitions.learn(self._decode(payload, path, offset), path, offset)
        return definitions

    def _decode(self, payload: bytes, path: Path, offset: int) -> Line:
        try:
            return self._decoder.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise CorruptShareLog(path, offset, f"the record cannot be decoded: {error}") from error
