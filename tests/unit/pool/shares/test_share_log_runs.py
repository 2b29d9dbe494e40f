"""The share log read in runs: the same shares as one by one, whatever lies between them, and no share behind damage."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pool.shares import log_segment
from pool.shares.log_segment import CorruptShareLog, frame, segment_path
from pool.shares.record import BEGINNING, AccountKey, ChainSet, LoggedShare, Position, Route, SegmentStart, ShareLine
from pool.shares.share_log_reader import ShareLogReader

encode = msgspec.msgpack.Encoder().encode


def route(number: int) -> Route:
    return Route(number.to_bytes(16, "big"), f"miner{number}", {"a": AccountKey("miner", "00", f"miner{number}")})


def share(sequence: int, of_route: int, chain_set: int = 0) -> ShareLine:
    hashed = sequence.to_bytes(32, "little")
    solved = (("a", hashed),) if sequence % 7 == 0 else ()
    digest = route(of_route).digest
    return ShareLine(sequence, 1000 + sequence, digest, f"w{of_route}", 2**33, chain_set, hashed, False, solved)


def write(folder: Path, seed: int) -> Position:
    """Some segments with definitions between the shares; where the log is durable, somewhere in the last one."""
    chance = random.Random(seed)
    sequence = 0
    ends = [BEGINNING]
    for segment in range(1, chance.randrange(2, 5)):
        data = frame(encode(SegmentStart(1, segment, sequence + 1, 5)))
        known: dict[tuple[str, ...], int] = {}
        routes: set[int] = set()
        for _ in range(chance.randrange(0, 30)):
            sequence += chance.choice((1, 1, 1, 1_000_000))
            number, chains = chance.randrange(5), chance.choice((("a",), ("a", "b"), ("b",)))
            if number not in routes:
                routes.add(number)
                data += frame(encode(route(number)))
            if chains not in known:
                known[chains] = len(known)
                data += frame(encode(ChainSet(known[chains], chains)))
            data += frame(encode(share(sequence, number, known[chains])))
            ends.append(Position(segment, len(data)))
        segment_path(folder, segment).write_bytes(data)
    return chance.choice(ends[-5:])


def one_by_one(reader: ShareLogReader, position: Position) -> list[LoggedShare]:
    return list(reader.read_from(position))


def in_runs(reader: ShareLogReader, position: Position, limits: random.Random) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    while (run := reader.read_run(position, limits.randrange(1, 12))) is not None:
        assert run.lines, "a run has a share"
        found += [(run.record(line), run.routes[line.route]) for line in run.lines]
        position = run.end
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_share_log_runs_are_the_shares_one_by_one(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder = tmp_path_factory.mktemp("log")
    durable = write(folder, seed)
    everything = one_by_one(ShareLogReader(folder, lambda: durable), BEGINNING)
    for start in [BEGINNING, *(logged.position for logged in everything[:: max(1, len(everything) // 4)])]:
        expected = [(logged.share, logged.route) for logged in everything if logged.position > start]
        reader = ShareLogReader(folder, lambda: durable)
        assert in_runs(reader, start, random.Random(seed)) == expected


def test_share_log_runs_grow_with_the_log(tmp_path: Path) -> None:
    head = frame(encode(SegmentStart(1, 1, 1, 5))) + frame(encode(route(1))) + frame(encode(ChainSet(0, ("a",))))
    path = segment_path(tmp_path, 1)
    path.write_bytes(head)
    durable = Position(1, len(head))
    reader = ShareLogReader(tmp_path, lambda: durable)
    assert reader.read_run(BEGINNING, 10) is None
    path.write_bytes(head + frame(encode(share(1, 1))) + frame(encode(share(2, 1))))
    durable = Position(1, len(head) + len(frame(encode(share(1, 1)))))
    run = reader.read_run(BEGINNING, 10)
    assert run is not None
    assert ([line.sequence for line in run.lines], run.end) == ([1], durable), "what is not durable is not read"
    assert reader.read_run(run.end, 10) is None


def test_share_log_runs_of_more_than_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_segment, "READ_CHUNK", 200)
    durable = write(tmp_path, 4)
    expected = one_by_one(ShareLogReader(tmp_path, lambda: durable), BEGINNING)
    assert len(expected) > 5
    reader = ShareLogReader(tmp_path, lambda: durable)
    assert in_runs(reader, BEGINNING, random.Random(1)) == [(logged.share, logged.route) for logged in expected]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data, at: data[: at + 20] + b"\xff" + data[at + 21 :], "checksum"),
        (lambda data, at: data[:at] + bytes(8) + data[at + 8 :], "cannot be 0 bytes"),
        (lambda data, at: data[: at + 30], "cut short"),
        (lambda data, at: data[:at] + frame(b"\xc0") + data[at:], "cannot be decoded"),
        (lambda data, at: data[:at] + frame(encode(share(9, 3))) + data[at:], "not defined"),
    ],
)
def test_share_log_runs_end_before_damage(tmp_path: Path, damage: object, message: str) -> None:
    """What is whole is given first where the frames tell it; a record that cannot be read stops its run."""
    data = frame(encode(SegmentStart(1, 1, 1, 5))) + frame(encode(route(1))) + frame(encode(ChainSet(0, ("a",))))
    data += frame(encode(share(1, 1)))
    first = Position(1, len(data))
    data += frame(encode(share(2, 1)))
    spoilt = damage(data, first.offset)  # type: ignore[operator]
    segment_path(tmp_path, 1).write_bytes(spoilt)
    reader = ShareLogReader(tmp_path, lambda: Position(1, len(data)))
    if message in ("checksum", "cannot be 0 bytes", "cut short"):
        run = reader.read_run(BEGINNING, 100)
        assert run is not None
        assert ([line.sequence for line in run.lines], run.end) == ([1], first)
    for start in (first, first):
        with pytest.raises(CorruptShareLog, match=message) as found:
            reader.read_run(start, 100)
        assert found.value.offset >= first.offset
