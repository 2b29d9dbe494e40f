"""The faults of the layer meet the share log's writer, whichever call of the system it makes; and what it does then."""

from __future__ import annotations

import asyncio
import errno
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fault_layer import FaultLayer, compiled

from pool.shares.log_segment import read_frames, segment_path

CHILD = """
    import asyncio, sys
    from pathlib import Path
    from pool.shares import disk_thread
    from pool.shares.record import AccountKey, Route
    from pool.shares.share_log import ShareLog, ShareLogStopped

    assert disk_thread.NativeThread is not None
    if sys.argv[2] == "Python":
        disk_thread.NativeThread = None

    async def main():
        route = Route(b"r" * 16, "a", {"c": AccountKey("miner", "00", "a")})
        durable, errors, number = [0], [], 0
        log = ShareLog(Path(sys.argv[1]), loop=asyncio.get_running_loop(), on_durable=durable.append,
                       on_error=errors.append)
        print("ready", flush=True)
        while line := sys.stdin.readline().split():
            for last in map(int, line):
                try:
                    while number < last:  # together
                        number += 1
                        log.append(route, "w", number, 1, ("c",), number.to_bytes(32, "little"))
                except ShareLogStopped:
                    print("stopped", end=" ")
                    continue
                while durable[-1] < last and not errors:
                    await asyncio.sleep(0.001)
            await asyncio.sleep(0.02)  # zeros are written
            print(durable[-1], [error.errno for error in errors], round(log.last_fsync_s, 3), flush=True)
        log.close()

    asyncio.run(main())
"""


class Writer:
    """A share log in a process of its own, under the layer. `say` appends up to each number, commit by commit."""

    def __init__(self, folder: Path, language: str) -> None:
        self.directory = folder / "shares"
        self.layer = FaultLayer(compiled(folder), folder / "faults")
        self._words = [sys.executable, "-c", textwrap.dedent(CHILD), str(self.directory), language]

    async def begin(self) -> None:
        pipe = asyncio.subprocess.PIPE
        self._child = await asyncio.create_subprocess_exec(*self.layer.command(self._words), stdin=pipe, stdout=pipe)
        assert await self._line() == "ready"

    async def say(self, *numbers: int) -> str:
        assert self._child.stdin is not None
        self._child.stdin.write((" ".join(map(str, numbers)) + "\n").encode())
        return await self._line()

    async def _line(self) -> str:
        assert self._child.stdout is not None
        async with asyncio.timeout(30):
            return (await self._child.stdout.readline()).decode().strip()

    async def end(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        async with asyncio.timeout(30):
            assert await self._child.wait() == 0

    @property
    def records(self) -> int:
        """Whole ones in the segment, which has to hold nothing else; the first three are no shares."""
        return sum(1 for _ in read_frames(segment_path(self.directory, 1), 0)) - 3


@pytest.fixture(params=["C", "Python"])
async def writer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Writer]:
    made = Writer(tmp_path, request.param)
    await made.begin()
    yield made
    await made.end()


@pytest.mark.parametrize(
    ("fault", "code"),
    [("sync_error", errno.EIO), ("write_error", errno.EIO), ("write_error", errno.ENOSPC)],
)
@pytest.mark.parametrize("unknown", [0, errno.ENOSYS, errno.EOPNOTSUPP])
async def test_fault_layer_stops_the_share_log(writer: Writer, fault: str, code: int, unknown: int) -> None:
    """With one call for write and sync, and where that call is not known."""
    writer.layer.set(unknown_error=unknown)
    assert (await writer.say(1, 2)).startswith("2 [] ")
    writer.layer.set(unknown_error=unknown, **{fault: code})
    assert (await writer.say(3)).startswith(f"2 [{code}] ")
    writer.layer.set(unknown_error=unknown)
    assert (await writer.say(4)).startswith(f"stopped 2 [{code}] "), "never again, though the disk is well"


@pytest.mark.parametrize("unknown", [0, errno.EOPNOTSUPP])
async def test_fault_layer_makes_a_commit_slow(writer: Writer, unknown: int) -> None:
    writer.layer.set(unknown_error=unknown, sync_ms=150)
    durable, errors, sync_s = (await writer.say(1)).split()
    assert (durable, errors) == ("1", "[]") and float(sync_s) >= 0.15


async def test_fault_layer_without_the_one_call_loses_nothing(tmp_path: Path) -> None:
    """Each way a kernel, a file system or a sandbox says at the first commit that it does not know the call. Later no
    such answer is believed: the call was known."""
    for code in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM):
        folder = tmp_path / errno.errorcode[code]
        folder.mkdir()
        writer = Writer(folder, "C")
        writer.layer.set(unknown_error=code)
        await writer.begin()
        assert (await writer.say(1, 2)).startswith("2 [] ")
        writer.layer.set()
        assert (await writer.say(3)).startswith("3 [] ")
        await writer.end()
        assert writer.records == 3
    late = Writer(tmp_path / "late", "C")
    await late.begin()
    assert (await late.say(1)).startswith("1 [] ")
    late.layer.set(unknown_error=errno.EOPNOTSUPP)
    assert (await late.say(2)).startswith(f"1 [{errno.EOPNOTSUPP}] ")
    await late.end()


async def test_fault_layer_zeros_that_the_disk_refuses_end_the_log_after_their_commit(tmp_path: Path) -> None:
    """They are synced by a call of their own, when the commit before them was answered."""
    writer = Writer(tmp_path, "C")
    await writer.begin()
    writer.layer.set(plain_sync_error=errno.EIO)
    assert (await writer.say(1)).startswith(f"1 [{errno.EIO}] ")
    writer.layer.set()
    assert (await writer.say(2)).startswith(f"stopped 1 [{errno.EIO}] ")
    await writer.end()


async def test_fault_layer_zeros_that_find_no_room_are_no_error(tmp_path: Path) -> None:
    writer = Writer(tmp_path, "C")
    await writer.begin()
    writer.layer.set(plain_sync_error=errno.ENOSPC)
    assert (await writer.say(1)).startswith("1 [] ")
    writer.layer.set()
    assert (await writer.say(2, 3)).startswith("3 [] ")
    await writer.end()
    assert writer.records == 3


async def test_fault_layer_a_commit_of_several_writes_is_synced_whole(tmp_path: Path) -> None:
    """The one call covers the bytes that it writes itself, so it is not made for the last of several writes."""
    writer = Writer(tmp_path, "C")
    await writer.begin()
    assert (await writer.say(1)).startswith("1 [] ")
    writer.layer.set(unknown_error=errno.EOPNOTSUPP)
    assert (await writer.say(20_000)).startswith("20000 [] ")
    writer.layer.set(sync_error=errno.EIO)
    assert (await writer.say(40_000)).startswith(f"20000 [{errno.EIO}] ")
    await writer.end()
    assert segment_path(writer.directory, 1).stat().st_size > 2 << 20
