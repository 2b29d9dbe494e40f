"""The whole miner with its hashing processes against a tiny server, and its command in a process of its own."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from tiny_pool import GENESIS_HASH_HEX, GENESIS_NONCE, GENESIS_NOTIFY, TinyPool, sha256d

from pool.mining_client.miner import Miner, MinerSettings
from pool.mining_client.status import StatusLine, Tally, rate_text
from pool.mining_client.workers import Report, Unit, Worker

EASY = 1e-6  # about 4,300 hashes a share
# The genesis job with a parent target that nearly every hash meets.
EASY_BLOCK_NOTIFY = [*GENESIS_NOTIFY[:6], "207fffff", *GENESIS_NOTIFY[7:]]


def scrypt(header: bytes) -> bytes:
    return hashlib.scrypt(header, salt=header, n=1024, r=1, p=1, dklen=32)


def settings_for(pool: TinyPool, **changes: Any) -> MinerSettings:
    return MinerSettings(**{"host": "127.0.0.1", "port": pool.port, "user": "ADDRESS.rig", **changes})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_mining_miner_finds_the_genesis_nonce_of_a_known_job() -> None:
    async with TinyPool(GENESIS_NOTIFY) as pool:
        said: list[str] = []
        miner = Miner(settings_for(pool, blocks=1, duration_s=30, first_nonce=GENESIS_NONCE - 5000), said.append)
        assert await miner.run() == 0
    assert [sha256d(header)[::-1].hex() for header in pool.headers] == [GENESIS_HASH_HEX]
    assert (miner.tally.accepted, miner.tally.blocks) == (1, 1)
    assert said[-1] == f"found a block of the parent chain with nonce {GENESIS_NONCE:08x}"


async def test_mining_miner_with_two_processes_never_sends_a_share_twice() -> None:
    async with TinyPool(GENESIS_NOTIFY, difficulty=EASY, mask=0x1FFFE000) as pool:
        miner = Miner(settings_for(pool, threads=2, shares=100, duration_s=30), lambda sentence: None)
        assert await miner.run() == 0
    assert miner.tally.refused.total() == 0
    assert len(pool.headers) == len(set(pool.headers)) >= 100
    assert len({header[:4] for header in pool.headers}) >= 2, "the processes roll different versions"
    assert miner.tally.blocks == 0


async def test_mining_miner_hashes_scrypt() -> None:
    async with TinyPool(GENESIS_NOTIFY, difficulty=0.0005, pow_hash=scrypt, difficulty_1=0xFFFF << 224) as pool:
        settings = settings_for(pool, algorithm="scrypt", shares=3, duration_s=30)
        miner = Miner(settings, lambda sentence: None)
        assert await miner.run() == 0
    assert len(pool.headers) >= 3
    assert miner.tally.refused.total() == 0


async def test_mining_miner_counts_refusals_by_reason() -> None:
    answers = {"mining.submit": (None, [21, "Job not found", None])}
    async with TinyPool(GENESIS_NOTIFY, difficulty=EASY, answers=answers) as pool:
        miner = Miner(settings_for(pool, shares=1), lambda sentence: None)
        running = asyncio.ensure_future(miner.run())
        await until(lambda: miner.tally.refused.total() > 0)
        miner.stop()
        assert await running == 0
    assert miner.tally.accepted == 0
    assert list(miner.tally.refused) == ["Job not found"]


async def test_mining_miner_ends_with_1_when_the_login_is_refused() -> None:
    answers = {"mining.authorize": (None, [24, "Unauthorized worker", None])}
    async with TinyPool(GENESIS_NOTIFY, answers=answers) as pool:
        said: list[str] = []
        assert await Miner(settings_for(pool, duration_s=30), said.append).run() == 1
    assert said == ["the pool refuses the login: Unauthorized worker (24)"]


async def test_mining_miner_comes_back_after_the_pool_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pool.mining_client.miner.FIRST_BACKOFF_S", 0.05)
    async with TinyPool(GENESIS_NOTIFY, difficulty=EASY) as pool:
        said: list[str] = []
        miner = Miner(settings_for(pool), said.append)
        running = asyncio.ensure_future(miner.run())
        await until(lambda: miner.tally.accepted > 5)
        pool.drop()
        await until(lambda: pool.connections == 2)
        before = miner.tally.accepted
        await until(lambda: miner.tally.accepted > before + 5)
        miner.stop()
        assert await running == 0
    assert "no pool: the pool closed the connection; next try in 0.05 s" in said


async def test_mining_miner_waits_longer_after_each_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pool.mining_client.miner.FIRST_BACKOFF_S", 0.02)
    async with TinyPool(GENESIS_NOTIFY) as pool:
        settings = settings_for(pool, duration_s=0.5)
    said: list[str] = []
    assert await Miner(settings, said.append).run() == 1, "it never logged in"
    assert [sentence.rpartition(" in ")[2] for sentence in said[:3]] == ["0.02 s", "0.04 s", "0.08 s"]


async def test_mining_miner_obeys_a_reconnect_to_another_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pool.mining_client.miner.FIRST_BACKOFF_S", 0.02)
    async with TinyPool(GENESIS_NOTIFY) as first, TinyPool(GENESIS_NOTIFY) as second:
        miner = Miner(settings_for(first), lambda sentence: None)
        running = asyncio.ensure_future(miner.run())
        await until(lambda: miner.tally.difficulty > 0)
        first.push("client.reconnect", "", second.port, 0)
        await until(lambda: second.connections == 1)
        miner.stop()
        assert await running == 0


async def test_mining_miner_ends_with_1_when_a_hashing_process_dies() -> None:
    async with TinyPool(GENESIS_NOTIFY) as pool:
        said: list[str] = []
        miner = Miner(settings_for(pool), said.append)
        running = asyncio.ensure_future(miner.run())
        await until(lambda: miner.tally.hashes > 0)
        miner._workers[0].process.kill()
        assert await asyncio.wait_for(running, 10) == 1
    assert "a hashing process ended" in said


async def test_mining_worker_tells_when_its_nonces_are_used_up() -> None:
    worker = Worker("sha256d")
    try:
        worker.assign(Unit(9, bytes(76), 0, first_nonce=2**32 - 10))
        reports: list[Report] = []
        async with asyncio.timeout(10):
            while not reports:
                await asyncio.sleep(0.01)
                reports = worker.reports()
        assert reports == [Report(9, 10, (), True)]
    finally:
        worker.close()
    assert not worker.process.is_alive()


def children_of(pid: int) -> list[int]:
    """The hashing processes below a process: children that were spawned with a pipe, by /proc."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        children = [int(word) for word in file.read().split()]
    hashing = []
    for child in children:
        with open(f"/proc/{child}/cmdline", "rb") as file:
            if b"spawn_main" in file.read():
                hashing.append(child)
    return hashing


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def start_command(pool: TinyPool, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pool", "mine", f"stratum+tcp://127.0.0.1:{pool.port}", "-u", "ADDRESS.rig"]
    return subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_mining_command_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    async with TinyPool(GENESIS_NOTIFY, difficulty=EASY) as pool:
        process = start_command(pool)
        await asyncio.wait_for(pool.share_seen.wait(), 20)
        workers = children_of(process.pid)
        os.killpg(process.pid, number)
        output, errors = await asyncio.to_thread(process.communicate, timeout=10)
    assert process.returncode == 0
    assert errors == ""
    lines = output.splitlines()
    assert lines[0] == f"connected to 127.0.0.1:{pool.port} as ADDRESS.rig"
    assert lines[-1].startswith("hashrate=")
    assert "accepted=" in lines[-1]
    assert len(workers) == 1
    assert not is_running(workers[0])


async def test_mining_command_leaves_no_process_behind_when_it_is_killed() -> None:
    async with TinyPool(GENESIS_NOTIFY, difficulty=EASY) as pool:
        process = start_command(pool, "--threads", "2")
        await asyncio.wait_for(pool.share_seen.wait(), 20)
        workers = children_of(process.pid)
        assert len(workers) == 2
        process.kill()
        await asyncio.to_thread(process.communicate, timeout=10)
        await until(lambda: not any(is_running(worker) for worker in workers))
    assert process.returncode == -signal.SIGKILL


async def test_mining_command_stops_after_a_block() -> None:
    async with TinyPool(EASY_BLOCK_NOTIFY, difficulty=EASY) as pool:
        process = start_command(pool, "--blocks", "1", "--seconds", "30")
        output, errors = await asyncio.to_thread(process.communicate, timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert "found a block of the parent chain" in output


async def test_mining_command_ends_with_1_at_a_refused_login() -> None:
    answers = {"mining.authorize": (False, None)}
    async with TinyPool(GENESIS_NOTIFY, answers=answers) as pool:
        process = start_command(pool)
        output, errors = await asyncio.to_thread(process.communicate, timeout=30)
    assert (process.returncode, errors) == (1, "")
    assert "the pool refuses the login" in output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ClosedPipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_mining_status_counts_since_the_line_before() -> None:
    now_s = [100.0]
    stream = io.StringIO()
    status = StatusLine(stream, clock=lambda: now_s[0])
    tally = Tally(hashes=2_000_000, accepted=5, blocks=1, difficulty=0.0001)
    tally.refuse("Stale share")
    tally.refuse("Stale share")
    tally.refuse("Low difficulty share")
    now_s[0] = 110.0
    status.print(tally)
    tally.hashes += 1000
    now_s[0] = 120.0
    status.print(tally)
    status.print(tally, last=True)
    first, second, last = stream.getvalue().splitlines()
    assert first == (
        "hashrate=200 kH/s difficulty=0.0001 accepted=5 blocks=1 rejected=3 (2 Stale share, 1 Low difficulty share)"
    )
    assert second.startswith("hashrate=100 H/s ")
    assert last.startswith("hashrate=100 kH/s ")


def test_mining_status_renews_one_line_on_a_terminal() -> None:
    stream = Terminal()
    status = StatusLine(stream)
    status.print(Tally())
    status.say("hello")
    status.print(Tally(), last=True)
    text = stream.getvalue()
    assert text.count("\n") == 2
    assert text.count("\r\x1b[K") == 3


def test_mining_status_goes_on_without_a_reader() -> None:
    status = StatusLine(ClosedPipe())
    status.say("nobody reads this")
    status.print(Tally(), last=True)


def test_mining_status_bounds_and_cleans_the_reasons() -> None:
    tally = Tally()
    for number in range(100):
        tally.refuse(f"reason {number}\n\x1b")
    assert tally.refused.total() == 100
    assert len(tally.refused) == 21
    assert tally.refused["other reasons"] == 80
    assert all(reason.isprintable() for reason in tally.refused)


@pytest.mark.parametrize(
    ("rate", "text"), [(0, "0 H/s"), (999, "999 H/s"), (1.36e6, "1.36 MH/s"), (2.5e9, "2.5 GH/s"), (3e12, "3 TH/s")]
)
def test_mining_status_rate_for_people(rate: float, text: str) -> None:
    assert rate_text(rate) == text
