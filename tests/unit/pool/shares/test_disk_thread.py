"""The share log's writer: the thread of C and its twin of Python do the same with the same entries."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pool.shares._disk_thread import DiskThread as NativeThread  # not there: installed without a C compiler
from pool.shares.disk_thread import DiskThread, Entry, create_segment
from pool.shares.log_segment import SegmentFile, segment_path


class Writer:
    """A thread over segment 1, which holds `start`, and how often it told."""

    def __init__(self, native: bool, folder: Path) -> None:
        self.native = native
        self.folder = folder
        self.threads: list[Any] = []
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def begin(self, interval_s: float = 0.0) -> Any:
        file = create_segment(self.folder, 1, SegmentFile)
        file.write(b"start")
        file.sync()
        assert isinstance(file, SegmentFile)
        durable = 1, 5, 100
        if self.native:
            folder = os.fsencode(self.folder)
            self.threads.append(NativeThread(folder, file.detach(), *durable, interval_s, self._eventfd))
        else:
            tell = partial(os.eventfd_write, self._eventfd, 1)
            self.threads.append(DiskThread(self.folder, file, *durable, interval_s, tell, SegmentFile))
        return self.threads[-1]

    def heard(self) -> bool:
        """Whether it told since this, or the progress, was asked."""
        try:
            return os.eventfd_read(self._eventfd) > 0
        except BlockingIOError:
            return False

    def segment(self, number: int) -> bytes:
        """The records; behind those of the newest there may be zeros while it is written."""
        return segment_path(self.folder, number).read_bytes().rstrip(b"\0")

    def close(self) -> None:
        for thread in self.threads:
            thread.close()
        os.close(self._eventfd)


@pytest.fixture(params=["C", "Python"])
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Writer]:
    made = Writer(request.param == "C", tmp_path)
    yield made
    made.close()


def entry(sequence: int, segment: int = 1, shares: int = 1) -> Entry:
    return segment, b"<%d>" % sequence, sequence, shares


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "never came"
        time.sleep(0.001)


def test_disk_thread_makes_durable_what_was_put(writer: Writer) -> None:
    began_s = time.monotonic()
    thread = writer.begin()
    assert thread.progress() == (1, 5, 100, 0.0, 0, 0, 0, 0, 0.0)
    thread.put([entry(101), entry(103, shares=2)], True)
    until(lambda: thread.progress()[2] == 103)
    segment, offset, sequence, sync_s, failed, shares, size, written, at_s = thread.progress()
    assert (segment, offset, sequence, failed, shares, size, written) == (1, 15, 103, 0, 0, 0, 10)
    assert sync_s > 0.0 and began_s < at_s < time.monotonic()
    assert writer.segment(1) == b"start<101><103>"


def test_disk_thread_says_what_waits(writer: Writer) -> None:
    thread = writer.begin(interval_s=60.0)
    thread.put([entry(101)], False)
    until(lambda: thread.progress()[2] == 101)
    assert thread.put([entry(102)], False)[5:8] == (1, 5, 5), "the next commit is a minute away"
    assert thread.put([entry(105, shares=3), entry(106)], False)[5:8] == (5, 15, 5)
    assert thread.progress()[5:8] == (5, 15, 5)


@pytest.mark.parametrize("tell", [True, False])
def test_disk_thread_tells_when_it_was_asked_to(writer: Writer, tell: bool) -> None:
    thread = writer.begin()
    thread.put([entry(101), entry(102, 2), entry(103, 3)], tell)
    thread.put([], True)
    thread.close()
    sizes = [segment_path(writer.folder, number).stat().st_size for number in (1, 2, 3)]
    assert sizes == [10, 5, 5], "no zeros are left"
    assert [writer.segment(number) for number in (1, 2, 3)] == [b"start<101>", b"<102>", b"<103>"]
    assert writer.heard() is tell


def test_disk_thread_tells_when_it_is_durable(writer: Writer) -> None:
    thread = writer.begin()
    for sequence in range(101, 111):
        thread.put([entry(sequence)], True)
        until(writer.heard)
        assert thread.progress()[2] == sequence


def test_disk_thread_commits_a_batch_segment_by_segment(writer: Writer) -> None:
    """A file that cannot be made ends it there: what came before is durable, nothing after is written."""
    thread = writer.begin()
    segment_path(writer.folder, 3).write_bytes(b"somebody else's")
    thread.put([entry(101), entry(102, 2), entry(103, 2), entry(104, 3), entry(105, 4)], False)
    until(writer.heard)
    segment, offset, sequence, _, failed, shares, size, written, _ = thread.progress()
    assert (segment, offset, sequence, shares, size, written) == (2, 10, 103, 2, 10, 15)
    assert getattr(failed, "errno", failed) == errno.EEXIST
    thread.put([entry(106, 4)], True)
    thread.close()
    assert thread.progress()[:3] == (2, 10, 103) and not segment_path(writer.folder, 4).exists()
    assert (writer.segment(2), writer.segment(3)) == (b"<102><103>", b"somebody else's")


def test_disk_thread_makes_commits_of_any_size_durable(writer: Writer) -> None:
    """What is more than one write comes in several: with zeros ahead of them, behind them and in their middle."""
    thread = writer.begin(interval_s=0.05)
    sizes = [10, 100_000, 600_000, 600_000, 1_300_000, 5, 0, 1 << 20, 130_000, 7]
    data = [bytes([65 + index]) * size for index, size in enumerate(sizes)]
    for index, part in enumerate(data):
        thread.put([(1, part, 101 + index, 1)], False)
        if index in (0, 1, 5, 7):
            until(lambda index=index: thread.progress()[2] == 101 + index)
            assert writer.segment(1) == b"start" + b"".join(data[: index + 1])
    thread.close()
    assert segment_path(writer.folder, 1).read_bytes() == b"start" + b"".join(data)
    assert thread.progress()[:3] == (1, 5 + sum(sizes), 110) and thread.progress()[4:8] == (0, 0, 0, sum(sizes))


def test_disk_thread_takes_all_entries_or_none(writer: Writer) -> None:
    thread = writer.begin()
    with pytest.raises((TypeError, ValueError)):
        thread.put([entry(101), (1, b"")], True)
    thread.put([entry(102)], True)
    until(lambda: thread.progress()[2] == 102)
    assert writer.segment(1) == b"start<102>" and thread.progress()[5:8] == (0, 0, 5)


def test_disk_thread_waits_between_two_commits(writer: Writer) -> None:
    thread = writer.begin(interval_s=0.2)
    thread.put([entry(101)], False)
    until(lambda: thread.progress()[2] == 101)
    first = thread.progress()
    for sequence in range(102, 112):
        thread.put([entry(sequence)], False)
    until(lambda: thread.progress()[2] == 111)
    assert thread.progress()[8] - (first[8] - first[3]) > 0.19, "from one's beginning to the next one's"


def test_disk_thread_closes_without_the_wait_and_makes_all_durable(writer: Writer) -> None:
    thread = writer.begin(interval_s=60.0)
    thread.put([entry(101)], False)
    until(lambda: thread.progress()[2] == 101)
    thread.put([entry(102), entry(103, 2)], False)
    other = threading.Thread(target=thread.close)
    began_s = time.monotonic()
    other.start()
    other.join(10)
    assert not other.is_alive() and time.monotonic() - began_s < 10
    thread.close()
    assert thread.progress()[:3] == (2, 5, 103) and thread.progress()[4:7] == (0, 0, 0)
    assert (writer.segment(1), writer.segment(2)) == (b"start<101><102>", b"<103>")


def test_disk_thread_of_python_keeps_the_error(tmp_path: Path) -> None:
    """C has the errno only; whatever a file of Python's raises is told as it is."""

    class Strange(SegmentFile):
        def sync(self) -> None:
            raise ValueError("not the disk's")

    told = threading.Event()
    file = Strange(segment_path(tmp_path, 1))
    thread = DiskThread(tmp_path, file, 1, 0, 0, 0.0, told.set, Strange)
    thread.put([entry(1)], False)
    assert told.wait(10)
    assert repr(thread.progress()[4]) == repr(ValueError("not the disk's"))
    thread.close()
    file.close()
