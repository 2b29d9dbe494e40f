"""The solution store: a found block is on disk until the books have it, whatever step a crash interrupts."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pool.blocks import solution_store
from pool.blocks.solution_store import ClosedSolution, SolutionRecord, SolutionStore, SolvingShare
from pool.shares.record import AccountKey, Route

HASH = "ab" * 32


def solution(chain: str = "regbtc", block_hash_hex: str = HASH, **options: Any) -> SolutionRecord:
    values: dict[str, Any] = {
        "chain": chain,
        "block_hash_hex": block_hash_hex,
        "height": 7,
        "payload": {"block": "00ff"},
        "nodes": ["node1"],
        "share_sequence": 42,
        "found_ms": 1000,
        "reward_hint": 5_000_000_000,
        "stale": False,
        "target_hex": "7f" + "ff" * 31,
        "share_weight": 2,
    }
    return SolutionRecord(**(values | options))


def test_solution_store_keeps_a_record_through_a_restart(tmp_path: Path) -> None:
    route = Route(b"r" * 16, "addr", {"regbtc": AccountKey("miner", "00", "addr")})
    record = solution(solving_share=SolvingShare(route, "rig", 999, ("regbtc",), b"h" * 32))
    assert SolutionStore(tmp_path).put(record)
    store = SolutionStore(tmp_path)
    assert store.open_records() == [record]
    assert store.open_names() == {("regbtc", HASH)}
    assert store.open_count == 1


@pytest.mark.parametrize("by_guest", [False, True])
def test_solution_store_takes_up_what_was_written_and_not_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, by_guest: bool
) -> None:
    """kill -9 after the bytes were written: the block may be on its chain already."""

    store = SolutionStore(tmp_path)
    store.write_down(solution())
    half = store.write_down(solution(block_hash_hex="ef" * 32))
    assert half is not None
    half.write_bytes(half.read_bytes()[:-1])
    (tmp_path / "closed" / f"regbtc-{'cd' * 32}.tmp").write_bytes(b"{}")
    guest = SolutionStore(tmp_path, is_guest=True)
    assert guest.open_records() == [], "its process may be writing still"
    if by_guest:
        guest.take_up()
        assert guest.open_records() == [solution()]
        (tmp_path / "closed" / f"regbtc-{'cd' * 32}.tmp").unlink()
    again = SolutionStore(tmp_path)
    assert again.open_records() == [solution()] and again.open_count == 1
    assert not list(tmp_path.glob("*/*.tmp"))
    assert "taken up chain=regbtc" in caplog.text


def test_solution_store_takes_up_nothing_that_is_known(tmp_path: Path) -> None:
    """A second proof of a block may be written down when its process is killed."""
    store = SolutionStore(tmp_path)
    hashes = [letters * 32 for letters in ("aa", "bb", "cc")]
    for hash_hex in hashes:
        assert store.write_down(solution(block_hash_hex=hash_hex)) is not None
        assert store.put(solution(block_hash_hex=hash_hex))
    for hash_hex in hashes[1:]:
        store.outcome("regbtc", hash_hex, "accepted")
    store.booked("regbtc", hashes[2])
    again = SolutionStore(tmp_path)
    assert again.open_names() == {("regbtc", hashes[0])} and again.open_count == 1
    assert [closed.record.block_hash_hex for closed in again.closed_solutions()] == [hashes[1]]
    assert not list(tmp_path.glob("*/*.tmp"))


def test_solution_store_writes_down_while_another_record_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One hash solved five chains and the process is killed: the fifth record may not wait for four flushes."""
    store = SolutionStore(tmp_path)
    flushing, going_on = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow_fsync(descriptor: int) -> None:
        flushing.set()
        assert going_on.wait(30)
        fsync(descriptor)

    monkeypatch.setattr(solution_store.os, "fsync", slow_fsync)
    putting = threading.Thread(target=store.put, args=(solution(),))
    putting.start()
    try:
        assert flushing.wait(30)
        temporary = store.write_down(solution(block_hash_hex="cd" * 32))
        assert temporary is not None and b"cdcd" in temporary.read_bytes()
        assert store.open_names() == set()
    finally:
        going_on.set()
        putting.join()
    assert store.put(solution(block_hash_hex="cd" * 32), temporary)
    assert len(store.open_names()) == 2 and store.open_count == 2
    assert store.write_down(solution()) is None and not store.put(solution())


def test_solution_store_takes_a_second_writing_of_a_block_away(tmp_path: Path) -> None:
    store = SolutionStore(tmp_path)
    first, second = store.write_down(solution()), store.write_down(solution(height=8))
    assert first != second
    assert store.put(solution(), first) and not store.put(solution(height=8), second)
    assert [record.height for record in store.open_records()] == [7]
    assert not list(tmp_path.glob("*/*.tmp"))


def test_solution_store_leaves_nothing_of_a_flush_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error the kernel may have dropped the bytes: they are written anew."""
    store = SolutionStore(tmp_path)
    temporary = store.write_down(solution())

    def failing(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(solution_store.os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output"):
        store.put(solution(), temporary)
    assert not list(tmp_path.glob("*/*.tmp")) and store.open_count == 0


def test_solution_store_put_is_idempotent_in_every_state(tmp_path: Path) -> None:
    store = SolutionStore(tmp_path)
    assert store.put(solution())
    assert not store.put(solution(height=8))
    assert store.open_records()[0].height == 7
    store.outcome("regbtc", HASH, "accepted")
    assert not store.put(solution())
    store.booked("regbtc", HASH)
    assert not store.put(solution())
    assert store.open_records() == []
    assert list(store.closed_solutions()) == []


def test_solution_store_makes_a_record_durable_when_the_first_try_failed_at_its_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was renamed and its folder not synced: a power loss could still take it, so the next try syncs."""
    store, synced = SolutionStore(tmp_path), []

    def failing(folder: Path) -> None:
        raise OSError("the disk refuses")

    monkeypatch.setattr(solution_store, "_sync", failing)
    with pytest.raises(OSError, match="refuses"):
        store.put(solution())
    monkeypatch.setattr(solution_store, "_sync", synced.append)
    assert not store.put(solution())
    assert synced == [tmp_path / "open"]
    (tmp_path / "closed" / f"regbtc-{HASH}.json").write_bytes((tmp_path / "open" / f"regbtc-{HASH}.json").read_bytes())
    synced.clear()
    SolutionStore(tmp_path)
    assert synced == [tmp_path / "closed", tmp_path / "open"]


def test_solution_store_resumes_the_oldest_first(tmp_path: Path) -> None:
    store = SolutionStore(tmp_path)
    store.put(solution(found_ms=2000, block_hash_hex="01" * 32))
    store.put(solution(found_ms=1000, block_hash_hex="02" * 32))
    assert [record.found_ms for record in store.open_records()] == [1000, 2000]


def test_solution_store_keeps_the_first_outcome(tmp_path: Path) -> None:
    store = SolutionStore(tmp_path, wall_s=lambda: 5.0)
    store.put(solution())
    assert store.outcome("regbtc", HASH, "rejected", "bad-cb-height")
    assert not store.outcome("regbtc", HASH, "accepted")
    assert list(store.closed_solutions()) == [ClosedSolution(solution(), "rejected", "bad-cb-height", 5000)]
    assert store.open_records() == []
    assert store.open_count == 0


def test_solution_store_outcome_of_an_unknown_block_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="no solution regbtc-abab"):
        SolutionStore(tmp_path).outcome("regbtc", HASH, "accepted")


def test_solution_store_drops_the_bytes_of_an_accepted_block_only_once_booked(tmp_path: Path) -> None:
    store = SolutionStore(tmp_path)
    for state, block_hash_hex in (("accepted", "01" * 32), ("rejected", "02" * 32)):
        store.put(solution(block_hash_hex=block_hash_hex))
        store.outcome("regbtc", block_hash_hex, state)  # type: ignore[arg-type]
        closed = store.find("regbtc", block_hash_hex)
        assert isinstance(closed, ClosedSolution)
        assert closed.record.payload == {"block": "00ff"}
        store.booked("regbtc", block_hash_hex)
        store.booked("regbtc", block_hash_hex)
    accepted = store.find("regbtc", "01" * 32)
    rejected = store.find("regbtc", "02" * 32)
    assert isinstance(accepted, ClosedSolution)
    assert isinstance(rejected, ClosedSolution)
    assert accepted.record.payload == {}
    assert rejected.record.payload == {"block": "00ff"}
    assert list(store.closed_solutions()) == []


def test_solution_store_keeps_a_limited_number_of_booked_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solution_store, "BOOKED_LIMIT", 3)
    store = SolutionStore(tmp_path)
    for number in range(7):
        block_hash_hex = f"{number:064x}"
        store.put(solution(block_hash_hex=block_hash_hex))
        store.outcome("regbtc", block_hash_hex, "accepted")
        store.booked("regbtc", block_hash_hex)
        os.utime(tmp_path / "booked" / f"regbtc-{block_hash_hex}.json", (number, number))
    # The newest is not dated back yet when the limit strikes.
    assert [store.find("regbtc", f"{number:064x}") is None for number in range(7)] == [True] * 4 + [False] * 3
    assert store.open_records() == []


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a b", "a\n"])
def test_solution_store_refuses_a_chain_that_cannot_name_a_file(tmp_path: Path, name: str) -> None:
    store = SolutionStore(tmp_path)
    with pytest.raises(ValueError, match="expected a chain"):
        store.put(solution(chain=name))
    with pytest.raises(ValueError, match="expected a chain"):
        store.put(solution(block_hash_hex="AB" * 32))


@pytest.mark.parametrize("damage", [b'{"chain": ', b'{"chain": "\xff\xfe"}', b""])
def test_solution_store_passes_over_a_damaged_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    store = SolutionStore(tmp_path)
    store.put(solution())
    (tmp_path / "open" / f"regbtc-{'01' * 32}.json").write_bytes(damage)
    with caplog.at_level(logging.ERROR, "parapool.blocks"):
        assert store.open_records() == [solution()]
    assert "solution file is damaged" in caplog.text


class CrashError(BaseException):
    """The process dies here."""


def test_solution_store_counts_what_the_books_have_to_hear_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SolutionStore(tmp_path)
    guest = SolutionStore(tmp_path, is_guest=True)
    seen = [store.changes]
    store.put(solution())
    seen.append(store.changes)
    store.outcome("regbtc", HASH, "accepted")
    seen.append(store.changes)
    assert len(set(seen)) == 3
    store.booked("regbtc", HASH)
    assert store.changes == seen[-1], "the books know that"
    assert guest.changes is None

    def failing(*_: Any) -> None:
        raise OSError("disk")

    monkeypatch.setattr(solution_store, "_sync", failing)
    with pytest.raises(OSError):
        store.put(solution(block_hash_hex="11" * 32))
    assert store.open_names() and store.changes != seen[-1], "it has its name although its folder was not synced"


class Crashes:
    """Counts the durable steps of the store and dies before the chosen one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 0
        self.steps = 0
        for name in ("rename", "fsync"):
            monkeypatch.setattr(solution_store.os, name, self._wrap(getattr(os, name)))
        monkeypatch.setattr(Path, "unlink", self._wrap(Path.unlink))

    def _wrap(self, call: Any) -> Any:
        def step(*arguments: Any, **options: Any) -> Any:
            self.steps += 1
            if self.steps == self.at:
                raise CrashError
            return call(*arguments, **options)

        return step


@pytest.fixture
def crashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crashes]:
    yield Crashes(monkeypatch)


def life(directory: Path, learned: list[str]) -> None:
    """One process life: find the block, get an answer, let the books commit it; each step resumes what was left."""
    store = SolutionStore(directory)
    store.put(solution())
    for record in store.open_records():
        store.outcome(record.chain, record.block_hash_hex, "accepted")
    for closed in store.closed_solutions():
        learned.append(closed.record.block_hash_hex)
        store.booked(closed.record.chain, closed.record.block_hash_hex)


def test_solution_store_survives_a_crash_at_every_step(tmp_path: Path, crashes: Crashes) -> None:
    life(tmp_path / "whole", [])
    total = crashes.steps
    assert total >= 11
    for at in range(1, total + 1):
        directory = tmp_path / f"crash{at}"
        learned: list[str] = []
        crashes.steps, crashes.at = 0, at
        with pytest.raises(CrashError):
            life(directory, learned)
        crashes.at = 0
        life(directory, learned)
        # The books insert idempotently, so being told twice is well; not being told would lose the block.
        assert 1 <= len(learned) <= 2
        store = SolutionStore(directory)
        assert store.open_records() == []
        assert list(store.closed_solutions()) == []
        booked = store.find("regbtc", HASH)
        assert isinstance(booked, ClosedSolution)
        assert booked.state == "accepted"
        assert sum(1 for path in directory.rglob("*") if path.is_file()) == 1
