"""What a start learns from the share log: where the last process ended, and which shares it had accepted lately."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pool.shares.log_segment import cut_torn_tail, read_frames, segment_numbers, segment_path
from pool.shares.record import Position, SegmentStart, ShareLine
from pool.shares.share_log_reader import Line

log = logging.getLogger("parapool.shares")


def recover(directory: Path) -> tuple[int, int]:
    """Cuts the torn tail, zeros without a word; returns (last segment, highest sequence that may have been handed out),
    zeros for a new log.

    Raises CorruptShareLog when the last segment is not a share log's.
    """
    numbers = segment_numbers(directory)
    if not numbers:
        return 0, 0
    last = segment_path(directory, numbers[-1])
    cut = cut_torn_tail(last)
    if cut:
        log.warning("share log torn tail cut file=%s bytes=%d", last.name, cut)
    decoder: msgspec.msgpack.Decoder[Line] = msgspec.msgpack.Decoder(Line)
    for number in reversed(numbers):
        highest = 0
        for _, payload in read_frames(segment_path(directory, number), 0):
            line = decoder.decode(payload)
            if isinstance(line, ShareLine):
                highest = line.sequence
            elif isinstance(line, SegmentStart):
                highest = line.first_sequence
        if highest:
            return numbers[-1], highest
    return numbers[-1], 0


def recent_header_hashes(directory: Path, durable: Position, since_ms: int) -> Iterator[bytes]:
    """The header hashes of the durable shares received at or after `since_ms`, newest segment first."""
    decoder: msgspec.msgpack.Decoder[Line] = msgspec.msgpack.Decoder(Line)
    for number in reversed([number for number in segment_numbers(directory) if number <= durable.segment]):
        end = durable.offset if number == durable.segment else None
        older = recent = False
        for _, payload in read_frames(segment_path(directory, number), 0, end):
            line = decoder.decode(payload)
            if isinstance(line, ShareLine):
                if line.time_ms >= since_ms:
                    recent = True
                    yield line.header_hash
                else:
                    older = True
        if older and not recent:
            return
