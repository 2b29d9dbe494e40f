"""The share log: what was acknowledged is on disk, once, whatever happens to the process or the disk."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pool.shares import disk_thread
from pool.shares._disk_thread import DiskThread  # not there: the package was installed without a C compiler
from pool.shares.log_segment import CorruptShareLog, SegmentFile, segment_path
from pool.shares.record import BEGINNING, AccountKey, Position, Route
from pool.shares.share_log import SEQUENCE_GAP, ShareLog, ShareLogStopped

PARENT = AccountKey("miner", "0014aa", "addr-parent")
ROUTE = Route(b"r" * 16, "addr-parent", {"regbtc": PARENT, "alpha": AccountKey("held", "0014aa", "addr-parent")})
OTHER = Route(b"o" * 16, "addr-other", {"regbtc": AccountKey("miner", "0014bb", "addr-other")})
CHAINS = ("regbtc", "alpha")


@pytest.fixture(params=["C", "Python"], autouse=True)
def writer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test with the writer of either language; a disk that fails has to be one of Python's."""
    monkeypatch.setattr(disk_thread, "NativeThread", DiskThread if request.param == "C" else None)
    return str(request.param)


class Books:
    """Collects what the log tells the loop."""

    def __init__(self) -> None:
        self.durable: list[int] = []
        self.errors: list[BaseException] = []

    def open(self, directory: Path, **options: Any) -> ShareLog:
        return ShareLog(
            directory,
            loop=asyncio.get_running_loop(),
            on_durable=self.durable.append,
            on_error=self.errors.append,
            **options,
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.001)


def header_hash(number: int) -> bytes:
    return number.to_bytes(32, "little")


def append(log: ShareLog, number: int, route: Route = ROUTE, **options: Any) -> int:
    return log.append(route, f"rig{number % 3}", 1000 + number, 7, CHAINS, header_hash(number), **options)


def numbers(log: ShareLog, position: Position = BEGINNING) -> list[int]:
    return [int.from_bytes(item.share.header_hash, "little") for item in log.read_from(position)]


async def test_share_log_gives_back_what_was_appended(tmp_path: Path) -> None:
    books = Books()
    log = books.open(tmp_path)
    first = append(log, 1)
    second = append(log, 2, route=OTHER, stale=True, solved=(("alpha", b"b" * 32),))
    await books.until(lambda: bool(books.durable) and books.durable[-1] == second)
    items = list(log.read_from(BEGINNING))
    assert [item.share.sequence for item in items] == [first, second] == [1, 2]
    assert items[0].route == ROUTE
    assert items[0].share.chains == CHAINS
    assert not items[0].share.stale
    assert items[1].route == OTHER
    assert items[1].share.stale
    assert items[1].share.solved == (("alpha", b"b" * 32),)
    assert items[1].share.weight == 7
    assert items[1].share.time_ms == 1002
    assert log.pending == 0
    assert log.last_fsync_s > 0
    log.close()


async def test_share_log_tells_the_loop_once_per_batch(tmp_path: Path) -> None:
    books = Books()
    log = books.open(tmp_path, interval_s=0.02)
    for number in range(1, 501):
        append(log, number)
    await books.until(lambda: bool(books.durable) and books.durable[-1] == 500)
    assert len(books.durable) < 10
    assert books.durable == sorted(books.durable)
    log.close()


async def test_share_log_reads_on_from_any_position(tmp_path: Path) -> None:
    books = Books()
    log = books.open(tmp_path, segment_bytes=2000)
    for number in range(100):
        append(log, number, route=ROUTE if number % 2 else OTHER)
    log.close()
    items = list(log.read_from(BEGINNING))
    assert len({item.position.segment for item in items}) > 3
    for index in (0, 1, 17, 50, 98, 99):
        # A fresh reader has to collect the definitions before the position, the log's own has just passed there.
        rest = list(log.reader().read_from(items[index].position))
        assert rest == items[index + 1 :]
        assert list(log.read_from(items[index].position)) == rest


async def test_share_log_reader_follows_the_writer(tmp_path: Path) -> None:
    books = Books()
    log = books.open(tmp_path, segment_bytes=3000, interval_s=0.0)
    seen: list[int] = []

    def follow() -> None:
        position = BEGINNING
        while len(seen) < 400:
            for item in log.read_from(position):
                position = item.position
                seen.append(int.from_bytes(item.share.header_hash, "little"))

    following = asyncio.get_running_loop().run_in_executor(None, follow)
    for number in range(400):
        append(log, number)
        if number % 20 == 0:
            await asyncio.sleep(0.002)
    async with asyncio.timeout(20):
        await following
    assert seen == list(range(400))
    log.close()


async def test_share_log_continues_after_a_restart_without_reusing_a_sequence(tmp_path: Path) -> None:
    books = Books()
    log = books.open(tmp_path)
    last = append(log, 1)
    log.close()
    log = books.open(tmp_path)
    assert log.durable_sequence == last + SEQUENCE_GAP
    log.close()
    log = books.open(tmp_path)
    third = append(log, 2)
    assert third > last + 2 * SEQUENCE_GAP
    log.close()
    assert numbers(log) == [1, 2]


async def test_share_log_starts_after_what_the_books_know_when_its_files_are_gone(tmp_path: Path) -> None:
    books = Books()
    consumed = Position(7, 4000)
    log = books.open(tmp_path, consumed=(consumed, 5000))
    assert append(log, 1) > 5000
    log.close()
    assert numbers(log, consumed) == [1]


async def test_share_log_cuts_a_torn_tail_of_every_length(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    books = Books()
    log = books.open(tmp_path)
    for number in range(3):
        append(log, number)
    log.close()
    path = segment_path(tmp_path, 1)
    whole = path.read_bytes()
    ends = [item.position.offset for item in log.read_from(BEGINNING)]
    assert ends[-1] == len(whole)
    for length in range(ends[0], len(whole)):
        directory = tmp_path / f"cut{length}"
        directory.mkdir()
        segment_path(directory, 1).write_bytes(whole[:length])
        caplog.clear()
        with caplog.at_level(logging.WARNING, "parapool.shares"):
            reopened = books.open(directory)
        reopened.close()
        kept = sum(1 for end in ends if end <= length)
        assert numbers(reopened) == list(range(kept))
        torn = len(whole[ends[kept - 1] : length].rstrip(b"\0"))
        assert [record.message for record in caplog.records] == (
            [f"share log torn tail cut file=00000001.log bytes={torn}"] if torn else []
        )


async def test_share_log_cuts_zeros_left_by_a_power_loss(tmp_path: Path) -> None:
    books = Books()
    log = books.open(tmp_path)
    append(log, 1)
    log.close()
    with segment_path(tmp_path, 1).open("ab") as file:
        file.write(bytes(4096))
    log = books.open(tmp_path)
    append(log, 2)
    log.close()
    assert numbers(log) == [1, 2]


async def test_share_log_opens_after_a_crash_before_the_first_record(tmp_path: Path) -> None:
    books = Books()
    log = books.open(tmp_path)
    append(log, 1)
    log.close()
    segment_path(tmp_path, 2).write_bytes(b"\x01")
    log = books.open(tmp_path)
    assert append(log, 2) > SEQUENCE_GAP
    log.close()
    assert numbers(log) == [1, 2]


async def test_share_log_names_the_place_of_damage_in_an_old_segment(tmp_path: Path) -> None:
    books = Books()
    log = books.open(tmp_path)
    for number in range(3):
        append(log, number)
    log.close()
    books.open(tmp_path).close()
    ends = [item.position.offset for item in log.read_from(BEGINNING)]
    path = segment_path(tmp_path, 1)
    damaged = bytearray(path.read_bytes())
    damaged[ends[0] + 12] ^= 1
    path.write_bytes(damaged)
    log = books.open(tmp_path)
    log.close()
    with pytest.raises(CorruptShareLog, match=f"00000001.log: offset {ends[0]}: the checksum") as caught:
        numbers(log)
    assert caught.value.offset == ends[0]


async def test_share_log_older_than_the_books_is_read_from_its_beginning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    books = Books()
    log = books.open(tmp_path)
    append(log, 1)
    log.close()
    for _ in range(3):
        assert numbers(log, Position(9, 100)) == [1]
    assert caplog.text.count("share log is older than the books") == 1


async def test_share_log_goes_on_after_segments_that_are_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    books = Books()
    for number in range(3):
        log = books.open(tmp_path)
        append(log, number)
        log.close()
    segment_path(tmp_path, 1).unlink()
    segment_path(tmp_path, 2).unlink()
    for _ in range(3):
        assert numbers(log, Position(1, 100)) == [2]
    assert caplog.text.count("share log segments are missing") == 1


async def test_share_log_reseeds_the_dedupe(tmp_path: Path) -> None:
    books = Books()
    log = books.open(tmp_path, segment_bytes=1000)
    for number in range(50):
        append(log, number)
    log.close()
    log = books.open(tmp_path)
    assert set(log.recent_header_hashes(1040)) == {header_hash(number) for number in range(40, 50)}
    assert len(set(log.recent_header_hashes(0))) == 50
    log.close()


async def test_share_log_trims_only_old_segments_before_the_position(tmp_path: Path) -> None:
    books = Books()
    now = {"s": 0.0}
    log = books.open(tmp_path, segment_bytes=500, wall_s=lambda: now["s"])
    for number in range(60):
        append(log, number)
    log.close()
    items = list(log.read_from(BEGINNING))
    half = items[len(items) // 2].position
    last = items[-1].position
    now["s"] = os.stat(segment_path(tmp_path, 1)).st_mtime + 60
    assert log.trim(last) == 0
    now["s"] += 4000
    assert log.trim(half) == half.segment - 1
    assert list(log.reader().read_from(half)) == items[len(items) // 2 + 1 :]
    assert log.trim(last) == last.segment - 4 - (half.segment - 1)


class FaultyFile(SegmentFile):
    """A segment whose disk fails at the given call: an error of the write, of a part of it, or of the flush."""

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(path)
        self.fault = fault
        self.armed = False
        self.calls = 0

    def write(self, data: bytes) -> None:
        self.calls += self.armed
        if self.armed and self.fault == "full":
            super().write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(data)

    def sync(self) -> None:
        if self.armed and self.fault == "io":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync()


@pytest.mark.parametrize(("fault", "code"), [("full", errno.ENOSPC), ("io", errno.EIO)])
async def test_share_log_stops_at_a_disk_error_and_never_retries(tmp_path: Path, fault: str, code: int) -> None:
    books = Books()
    files: list[FaultyFile] = []

    def open_file(path: Path) -> FaultyFile:
        files.append(FaultyFile(path, fault))
        return files[-1]

    log = books.open(tmp_path, open_file=open_file)
    good = append(log, 1)
    await books.until(lambda: books.durable == [good])
    files[0].armed = True
    append(log, 2)
    await books.until(lambda: bool(books.errors))
    assert isinstance(books.errors[0], OSError)
    assert books.errors[0].errno == code
    with pytest.raises(ShareLogStopped):
        append(log, 3)
    log.close()
    assert files[0].calls == 1
    assert books.durable == [good]
    assert len(books.errors) == 1
    assert numbers(log) == [1]
    # After the restart the acknowledged share is there once; the others may be or not, but never twice.
    log = books.open(tmp_path)
    log.close()
    kept = numbers(log)
    assert kept[0] == 1
    assert len(kept) == len(set(kept)) <= 2


def put_in_place_of(path: Path, other: str) -> None:
    """From now on whoever has this file open writes to another one."""
    for link in Path("/proc/self/fd").iterdir():
        if os.path.exists(link) and os.path.realpath(link) == str(path):
            descriptor = os.open(other, os.O_WRONLY)
            os.dup2(descriptor, int(link.name))
            os.close(descriptor)


async def test_share_log_stops_when_the_system_cannot_write(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    books = Books()
    log = books.open(tmp_path)
    put_in_place_of(segment_path(tmp_path, 1), "/dev/full")
    append(log, 1)
    await books.until(lambda: bool(books.errors))
    assert [getattr(error, "errno", None) for error in books.errors] == [errno.ENOSPC]
    assert caplog.text.count("share log failed, nothing is acknowledged any more segment=1") == 1
    with pytest.raises(ShareLogStopped, match="No space left"):
        append(log, 2)
    log.close()
    assert (books.durable, len(books.errors), numbers(log)) == ([], 1, [])


async def test_share_log_stops_when_no_segment_can_be_made(tmp_path: Path) -> None:
    books = Books()
    log = books.open(tmp_path, segment_bytes=2000)
    segment_path(tmp_path, 2).write_bytes(b"somebody else's")
    for number in range(100):
        append(log, number)
    await books.until(lambda: bool(books.errors))
    assert getattr(books.errors[0], "errno", None) == errno.EEXIST
    log.close()
    assert segment_path(tmp_path, 2).read_bytes() == b"somebody else's"
    assert numbers(log, BEGINNING) == list(range(books.durable[-1] if books.durable else 0))


async def test_share_log_stops_when_shares_are_not_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not handed over will never be durable, so nothing after it is answered either."""
    books = Books()
    log = books.open(tmp_path)
    monkeypatch.setattr(log, "_gathered", [("no segment", b"")])
    log._hand_over()
    with pytest.raises(ShareLogStopped):
        append(log, 1)
    await books.until(lambda: bool(books.errors))
    log.close()
    assert (books.durable, len(books.errors), numbers(log)) == ([], 1, [])


async def test_share_log_stops_when_what_was_handed_over_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = Books()
    log = books.open(tmp_path)
    monkeypatch.setattr(log, "_gathered", [("no segment", b"", 1, 1)])
    log._hand_over()
    await books.until(lambda: bool(books.errors))
    with pytest.raises(ShareLogStopped):
        append(log, 1)
    log.close()
    assert (books.durable, len(books.errors), numbers(log)) == ([], 1, [])


async def test_share_log_is_closed_from_another_thread_while_the_loop_goes_on(tmp_path: Path) -> None:
    books = Books()
    log = books.open(tmp_path)
    for number in range(500):
        append(log, number)
        if number % 100 == 0:
            await asyncio.sleep(0)
    await asyncio.get_running_loop().run_in_executor(None, log.close)
    await books.until(lambda: bool(books.durable) and books.durable[-1] == 500)
    assert (log.pending, log.durable_sequence, numbers(log)) == (0, 500, list(range(500)))


async def test_share_log_closed_twice_is_durable_after_either(tmp_path: Path) -> None:
    """A disk that hangs holds both, from two threads, until it goes on."""
    gate = threading.Event()

    class Gated(SegmentFile):
        def sync(self) -> None:
            assert gate.wait(10)
            super().sync()

    books = Books()
    gate.set()
    log = books.open(tmp_path, open_file=Gated)
    gate.clear()
    append(log, 1)
    closing = [asyncio.ensure_future(asyncio.to_thread(log.close)) for _ in range(2)]
    await asyncio.wait(closing, timeout=0.1)
    assert not any(one.done() for one in closing) and log.durable_sequence == 0
    gate.set()
    await asyncio.wait(closing, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    assert (log.durable_sequence, numbers(log)) == (1, [1])
    await asyncio.gather(*closing)
    await books.until(lambda: books.durable == [1])


async def test_share_log_tells_what_is_durable_before_the_error(tmp_path: Path) -> None:
    """The first segment's shares of a batch are durable when the second one's file cannot be made."""
    told: list[object] = []
    log = ShareLog(
        tmp_path, loop=asyncio.get_running_loop(), on_durable=told.append, on_error=told.append, segment_bytes=600
    )
    segment_path(tmp_path, 2).write_bytes(b"somebody else's")
    for number in range(20):
        append(log, number)
    async with asyncio.timeout(10):
        while not any(isinstance(what, OSError) for what in told):
            await asyncio.sleep(0.001)
    first = sum(1 for _ in log.read_from(BEGINNING))
    assert 0 < first < 20 and told[0] == first and len(told) == 2
    assert (log.durable_sequence, log.durable_position.segment) == (first, 1)
    log.close()
    await asyncio.sleep(0)
    assert len(told) == 2


async def test_share_log_refuses_shares_when_the_disk_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pool.shares.share_log.PENDING_BYTES_LIMIT", 1000)
    books = Books()
    log = books.open(tmp_path, interval_s=0.2)
    append(log, 0)
    await books.until(lambda: bool(books.durable))
    with pytest.raises(ShareLogStopped, match="does not keep up"):
        for number in range(1, 100):
            append(log, number)
    log.close()
    assert numbers(log)[0] == 0


async def test_share_log_takes_nothing_after_close(tmp_path: Path) -> None:
    log = Books().open(tmp_path)
    append(log, 1)
    log.close()
    log.close()
    with pytest.raises(ShareLogStopped, match="closed"):
        append(log, 2)
    assert numbers(log) == [1]


CHILD = """
    import asyncio, sys
    from pathlib import Path
    from pool.shares import disk_thread
    from pool.shares.record import AccountKey, Route
    from pool.shares.share_log import ShareLog

    assert disk_thread.NativeThread is not None
    if sys.argv[3] == "Python":
        disk_thread.NativeThread = None

    async def main(directory, base):
        route = Route(b"r" * 16, "a", {"c": AccountKey("miner", "00", "a")})
        numbers = {}

        def answer(durable):
            for sequence in [sequence for sequence in numbers if sequence <= durable]:
                print(numbers.pop(sequence), flush=True)

        log = ShareLog(directory, loop=asyncio.get_running_loop(), on_durable=answer, on_error=print,
                       interval_s=0.002, segment_bytes=20_000)
        number = base
        while True:
            number += 1
            numbers[log.append(route, "w", number, 1, ("c",), number.to_bytes(32, "little"))] = number
            await asyncio.sleep(0.0002)

    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


def run_and_kill(directory: Path, base: int, writer: str, after_answers: int) -> set[int]:
    """Appends in a child process, kills it in the middle, returns the shares it had answered."""
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(directory), str(base), writer]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    answered = {int(child.stdout.readline()) for _ in range(after_answers)}
    child.send_signal(signal.SIGKILL)
    answered.update(int(line) for line in child.stdout.read().splitlines())
    child.wait()
    child.stdout.close()
    return answered


async def test_share_log_keeps_every_answered_share_once_after_kill_9(tmp_path: Path, writer: str) -> None:
    answered: set[int] = set()
    for turn in range(5):
        answered |= run_and_kill(tmp_path, turn * 1_000_000, writer, 100 + 50 * turn)
    log = Books().open(tmp_path)
    log.close()
    items = list(log.read_from(BEGINNING))
    stored = [int.from_bytes(item.share.header_hash, "little") for item in items]
    sequences = [item.share.sequence for item in items]
    assert len(stored) == len(set(stored))
    assert sequences == sorted(set(sequences))
    assert answered <= set(stored)
    assert len(answered) >= 1000
