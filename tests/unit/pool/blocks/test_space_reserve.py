"""Space set aside for found blocks: a full disk takes them for as long as there is any of it left."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest

from pool.blocks import solution_store
from pool.blocks.solution_store import SolutionRecord, SolutionStore
from pool.blocks.space_reserve import STEP_BYTES

RESERVE = 3 * STEP_BYTES


def solution(number: int) -> SolutionRecord:
    return SolutionRecord(
        chain="regbtc", block_hash_hex=f"{number:064x}", height=7, payload={"block": "00ff"}, nodes=["node1"],
        share_sequence=42, found_ms=1000, reward_hint=None, stale=False, target_hex="7f" + "ff" * 31, share_weight=2,
    )  # fmt: skip


class FullDisk:
    """Takes a file only when the reserve has shrunk since the last one, by no less than the file has."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, reserve: Path, error: int = errno.ENOSPC) -> None:
        self.reserve, self.error = reserve, error
        self.size = reserve.stat().st_size
        self._really_write = solution_store._write_bytes
        monkeypatch.setattr(solution_store, "_write_bytes", self.write)

    def write(self, path: Path, content: bytes) -> None:
        freed, self.size = self.size - self.reserve.stat().st_size, self.reserve.stat().st_size
        if freed < len(content):
            raise OSError(self.error, os.strerror(self.error))
        self._really_write(path, content)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_space_reserve_gives_way_to_found_blocks_until_it_is_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    store = SolutionStore(tmp_path, reserve_bytes=RESERVE)
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= RESERVE
    FullDisk(monkeypatch, tmp_path / "reserve", error)
    for number in range(3):
        assert store.put(solution(number))
    with pytest.raises(OSError, match=os.strerror(error)):
        store.put(solution(3))
    assert len(store.open_records()) == 3


def test_space_reserve_is_filled_again_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SolutionStore(tmp_path, reserve_bytes=RESERVE)
    with monkeypatch.context() as full:
        FullDisk(full, tmp_path / "reserve")
        store.put(solution(0))
    assert (tmp_path / "reserve").stat().st_size < RESERVE
    again = SolutionStore(tmp_path, reserve_bytes=RESERVE)
    assert (tmp_path / "reserve").stat().st_size == RESERVE
    assert [record.block_hash_hex for record in again.open_records()] == [f"{0:064x}"]


def test_space_reserve_is_kept_when_the_disk_fails_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SolutionStore(tmp_path, reserve_bytes=RESERVE)
    FullDisk(monkeypatch, tmp_path / "reserve", errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        store.put(solution(0))
    assert (tmp_path / "reserve").stat().st_size == RESERVE


def test_space_reserve_that_finds_no_room_is_told_and_the_blocks_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    SolutionStore(tmp_path).put(solution(0))

    def _full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", _full)
    store = SolutionStore(tmp_path, reserve_bytes=RESERVE)
    assert len(store.open_records()) == 1
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "no space can be set aside for found blocks: [Errno 28] No space left on device")
    ]
