"""A segment whose room is written ahead with zeros: what is left of it after a stop, a crash and on a full disk."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pool.shares import disk_thread
from pool.shares._disk_thread import DiskThread  # not there: installed without a C compiler
from pool.shares.log_recovery import recent_header_hashes
from pool.shares.log_segment import frame, segment_path, whole_length
from pool.shares.record import BEGINNING, AccountKey, Position, Route
from pool.shares.share_log import ShareLog
from pool.simulation.sources import from_log

ROUTE = Route(b"r" * 16, "addr", {"alpha": AccountKey("miner", "0014aa", "addr")})
PAGE = 4096


class Writing:
    """A log that is written, and what it told."""

    def __init__(self, directory: Path, segment_bytes: int = 1 << 20) -> None:
        self.durable = 0
        self.log = ShareLog(
            directory, loop=asyncio.get_running_loop(), on_durable=self._hear, on_error=self._fail,
            segment_bytes=segment_bytes,
        )  # fmt: skip
        self._first = self.log.durable_sequence

    def _hear(self, sequence: int) -> None:
        self.durable = sequence

    def _fail(self, error: BaseException) -> None:
        raise AssertionError(error)

    async def append(self, *hashes: int) -> None:
        """Durable when it returns."""
        last = 0
        for number in hashes:
            last = self.log.append(ROUTE, "rig", 1000 + number, 7, ("alpha",), number.to_bytes(32, "little"))
        async with asyncio.timeout(10):
            while self.durable < last:
                await asyncio.sleep(0.001)


def numbers(log: ShareLog) -> list[int]:
    return [int.from_bytes(item.share.header_hash, "little") for item in log.read_from(BEGINNING)]


async def reopened(directory: Path) -> list[int]:
    writing = Writing(directory)
    writing.log.close()
    return numbers(writing.log)


async def written(directory: Path, shares: int) -> bytes:
    """The records of segment 1."""
    writing = Writing(directory)
    await writing.append(*range(shares))
    writing.log.close()
    return segment_path(directory, 1).read_bytes()


async def until_ahead(path: Path) -> None:
    """The zeros of a commit are written after its answers."""

    def ahead() -> bool:
        return path.stat().st_size > whole_length(path)

    async with asyncio.timeout(10):
        while not ahead():
            await asyncio.sleep(0.001)


async def test_segment_file_ends_in_zeros_while_it_is_written_and_in_records_afterwards(tmp_path: Path) -> None:
    writing = Writing(tmp_path)
    path = segment_path(tmp_path, 1)
    await writing.append(1)
    await until_ahead(path)
    await writing.append(2)
    end = writing.log.durable_position.offset
    ahead = path.read_bytes()[end:]
    assert len(ahead) >= 64 << 10 and not any(ahead)
    assert whole_length(path) == end and numbers(writing.log) == [1, 2]
    writing.log.close()
    assert path.stat().st_size == end


async def test_segment_file_goes_on_over_zeros_for_as_long_as_it_is_written(tmp_path: Path) -> None:
    """Far more than is written ahead at once, in commits that do not end where pages do."""
    writing = Writing(tmp_path)
    for first in range(0, 6000, 60):
        await writing.append(*range(first, first + 60))
    position = writing.log.durable_position
    assert position.segment == 1 and position.offset > 400_000
    writing.log.close()
    assert segment_path(tmp_path, 1).stat().st_size == position.offset
    assert numbers(writing.log) == list(range(6000))


async def test_segment_file_is_cut_before_the_next_one_is_made(tmp_path: Path) -> None:
    writing = Writing(tmp_path, segment_bytes=2000)
    for number in range(100):
        await writing.append(number)
    segments = [segment_path(tmp_path, number) for number in range(1, writing.log.durable_position.segment + 1)]
    assert len(segments) > 3
    assert [path.stat().st_size for path in segments[:-1]] == [whole_length(path) for path in segments[:-1]]
    await until_ahead(segments[-1])
    writing.log.close()
    assert segments[-1].stat().st_size == whole_length(segments[-1])


async def test_segment_file_as_a_killed_process_leaves_it_is_cut_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, copy = tmp_path / "log", tmp_path / "copy"
    writing = Writing(folder)
    await writing.append(*range(10))
    await until_ahead(segment_path(folder, 1))
    shutil.copytree(folder, copy)
    writing.log.close()
    assert len(from_log(copy, "alpha")) == 10, "who reads the log of a pool that is not there any more"
    with caplog.at_level(logging.INFO, "parapool.shares"):
        assert await reopened(copy) == list(range(10))
    assert not caplog.records and sorted(path.name for path in copy.iterdir()) == ["00000001.log", "00000002.log"]
    assert segment_path(copy, 1).read_bytes() == segment_path(folder, 1).read_bytes()


@pytest.mark.parametrize("zeros", [1, 7, 8, PAGE, 3 << 20])
async def test_segment_file_that_ends_in_zeros(tmp_path: Path, zeros: int, caplog: pytest.LogCaptureFixture) -> None:
    records = await written(tmp_path, 3)
    segment_path(tmp_path, 1).write_bytes(records + bytes(zeros))
    assert await reopened(tmp_path) == [0, 1, 2]
    assert segment_path(tmp_path, 1).read_bytes() == records
    assert sorted(os.listdir(tmp_path)) == ["00000001.log", "00000002.log"] and "torn" not in caplog.text


@pytest.mark.parametrize("lost", range(1, 60, 7))
async def test_segment_file_with_a_torn_record_before_zeros(
    tmp_path: Path, lost: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What was torn is kept, without the zeros behind it."""
    records = await written(tmp_path, 3)
    torn = frame(b"a payload that ends in no zero at all, and is longer than what is lost")[:-lost]
    segment_path(tmp_path, 1).write_bytes(records + torn + bytes(1 << 20))
    assert await reopened(tmp_path) == [0, 1, 2]
    assert segment_path(tmp_path, 1).read_bytes() == records
    assert (tmp_path / f"00000001.log.torn-{len(records)}").read_bytes() == torn
    assert f"share log torn tail cut file=00000001.log bytes={len(torn)}" in caplog.text


@pytest.mark.parametrize("hole", [0, 1, 2])
async def test_segment_file_with_good_pages_behind_a_hole(
    tmp_path: Path, hole: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Pages of one commit reach the disk in any order. Nothing behind the first that did not was ever answered."""
    records = await written(tmp_path, 400)
    assert len(records) > 5 * PAGE
    begin = (1 + hole) * PAGE
    image = records[:begin] + bytes(PAGE) + records[begin + PAGE :] + bytes(64 << 10)
    segment_path(tmp_path, 1).write_bytes(image)
    kept = await reopened(tmp_path)
    assert kept == list(range(len(kept))) and 10 < len(kept) < 300
    good = segment_path(tmp_path, 1).stat().st_size
    assert begin - 200 < good <= begin and records.startswith(segment_path(tmp_path, 1).read_bytes())
    assert (tmp_path / f"00000001.log.torn-{good}").read_bytes() == image[good : len(records)]
    assert f"bytes={len(records) - good}" in caplog.text


async def test_segment_file_of_zeros_alone_is_the_last_one(tmp_path: Path) -> None:
    """A power loss before the first record of a new segment; the one before tells how far the numbers are."""
    await written(tmp_path, 3)
    segment_path(tmp_path, 2).write_bytes(bytes(PAGE))
    writing = Writing(tmp_path)
    await writing.append(9)
    assert writing.log.durable_sequence > 1_000_003
    writing.log.close()
    assert numbers(writing.log) == [0, 1, 2, 9]


async def test_segment_file_after_the_durable_one_is_not_read_for_known_hashes(tmp_path: Path) -> None:
    """The loop may hear later than the disk's thread that there is a new segment, which ends in zeros."""
    records = await written(tmp_path, 3)
    segment_path(tmp_path, 2).write_bytes(records + bytes(PAGE))
    assert len(list(recent_header_hashes(tmp_path, Position(1, len(records)), 0))) == 3


async def test_segment_file_appended_by_python_is_the_same_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for name, native in (("C", DiskThread), ("Python", None)):
        monkeypatch.setattr(disk_thread, "NativeThread", native)
        folder = tmp_path / name
        log = ShareLog(
            folder, loop=asyncio.get_running_loop(), on_durable=lambda sequence: None, on_error=lambda error: None,
            segment_bytes=3000, wall_s=lambda: 5.0,
        )  # fmt: skip
        for number in range(100):
            log.append(ROUTE, "rig", number, 7, ("alpha",), number.to_bytes(32, "little"))
        log.close()
        files.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert files[0] == files[1] and len(files[0]) > 2


ON_A_FULL_DISK = """
    import asyncio, os, resource, sys
    from pathlib import Path
    from pool.shares.disk_thread import NativeThread
    from pool.shares.record import AccountKey, Route
    from pool.shares.share_log import ShareLog, ShareLogStopped

    assert NativeThread is not None
    limit = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    async def main(directory):
        route = Route(b"r" * 16, "a", {"c": AccountKey("miner", "00", "a")})
        durable, errors = [0], []
        log = ShareLog(directory, loop=asyncio.get_running_loop(), on_durable=durable.append, on_error=errors.append)
        number = 0
        try:
            while not errors:
                number += 1
                log.append(route, "w", number, 1, ("c",), number.to_bytes(32, "little"))
                while durable[-1] < number and not errors:
                    await asyncio.sleep(0)
        except ShareLogStopped:
            pass
        sizes = [path.stat().st_size for path in directory.iterdir()]
        log.close()
        print(durable[-1], errors[0].errno, *sizes)

    asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("limit", [20_000, 70_001, 140_000])
async def test_segment_file_without_room_for_zeros_takes_shares_as_long_as_there_is_room_for_them(
    tmp_path: Path, limit: int
) -> None:
    """No file may be larger than this. Zeros that find no room are no error; a record that finds none is, and was
    never answered."""
    command = [sys.executable, "-c", textwrap.dedent(ON_A_FULL_DISK), str(tmp_path), str(limit)]
    child = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120, check=True)
    answered, code, *sizes = map(int, child.stdout.split())
    assert (code, len(sizes)) == (errno.EFBIG, 1) and limit - 1 <= sizes[0] <= limit
    assert answered > (limit - 1000) // 100
    kept = await reopened(tmp_path)
    assert kept == list(range(1, answered + 1))
