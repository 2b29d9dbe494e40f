"""The line between a maker of jobs and other machines when Redis talks nonsense, and makers take turns."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import msgspec
import pytest
from support.machine_ends import RECORD, Machine, Maker, running, until, wall_ms
from support.machine_line import MemoryLine

from pool.blocks.stream_entry import TransportAwayError
from pool.services import job_following, job_publishing
from pool.services.block_messages import BlockFound
from pool.services.block_relay import BlockRelay
from pool.services.front_end_messages import Announcement
from pool.services.maker_messages import FromMaker
from pool.services.submission_ending import Ending


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = [one for one in caplog.records if one.name == "parapool.machines"]
    return [one.getMessage() for one in ours if one.levelno >= logging.ERROR]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (job_publishing, job_following):
        monkeypatch.setattr(module, "RETRY_S", 0.02)
        monkeypatch.setattr(module, "CLAIM_AGAIN_S", 0.05)
    monkeypatch.setattr(job_publishing, "WHOLE_DELAY_S", 0.02)
    monkeypatch.setattr(job_following, "LOOK_S", 0.02)


async def test_machine_line_a_maker_that_stands_by_leaves_its_process_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_publishing, "CLAIM_AGAIN_S", 1.0)
    line = MemoryLine()
    line.claims["maker"] = "somebody else"
    maker = Maker(line, "b", wall_ms)
    async with running(maker.publisher):
        await asyncio.sleep(0.05)
        maker.job()
        await asyncio.sleep(0.1)  # the whole piece would be due now
        turns, until_s = 0, time.monotonic() + 0.4
        while time.monotonic() < until_s:
            await asyncio.sleep(0.01)
            turns += 1
    assert maker.publisher.epoch == 0
    assert turns >= 4, "its miners waited while it asked itself whether to publish"


async def test_machine_line_the_next_maker_knows_that_a_block_may_have_been_submitted() -> None:
    """A node forgets an auxiliary template with the block that it took: "stale" would be booked as a lost block."""
    line = MemoryLine()
    machine, first, second = Machine(line), Maker(line, "a", wall_ms), Maker(line, "b", wall_ms)
    async with running(machine.follower):
        first.blocks.open.clear()
        async with running(first.publisher):
            await until(lambda: first.publisher.epoch)
            await asyncio.sleep(0.05)  # it has read that nothing was there
            waiting = asyncio.ensure_future(machine.relay.submit(RECORD, time.monotonic() + 60, again=False))
            await until(lambda: first.blocks.asked)
        assert first.blocks.asked == [(RECORD, False)]
        await first.publisher.leave()
        second.job()
        async with running(second.publisher):
            assert await waiting == Ending("accepted", "accepted")
        assert second.blocks.asked == [(RECORD, True)]


async def test_machine_line_what_is_told_once_more_may_have_been_submitted() -> None:
    told: list[BlockFound] = []
    relay = BlockRelay(told.append, again_s=0.02)
    await relay.submit(RECORD, time.monotonic() + 0.1, again=False)
    assert [found.again for found in told[:2]] == [False, True]


@pytest.mark.parametrize("call", ["whole", "pieces_from", "pieces_after", "claim_machine"])
async def test_machine_line_nonsense_of_redis_does_not_end_a_machine(
    call: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    line = MemoryLine()
    maker, machine = Maker(line, "a", wall_ms), Machine(line)
    good = getattr(line, call)

    async def nonsense(*given: Any) -> Any:
        await asyncio.sleep(0.005)
        raise AttributeError("'int' object has no attribute 'decode'")

    monkeypatch.setattr(line, call, nonsense)
    async with running(maker.publisher, machine.follower):
        ids = [maker.job()]
        await until(lambda: errors(caplog))
        monkeypatch.setattr(line, call, good)
        await until(lambda: machine.jobs == ids)
    assert len(errors(caplog)) == len(set(errors(caplog))), "told once"


async def test_machine_line_nonsense_of_redis_does_not_end_the_maker(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    line = MemoryLine()
    maker, machine = Maker(line, "a", wall_ms), Machine(line)
    good = line.found

    async def nonsense(ticket: str) -> Any:
        return await good(ticket) if ticket != "odd" else 7

    monkeypatch.setattr(line, "found", nonsense)
    async with running(maker.publisher, machine.follower):
        maker.job()
        await line.tell("odd", b"")
        assert await machine.relay.submit(RECORD, time.monotonic() + 60, again=False) == Ending("accepted", "accepted")
    assert len(errors(caplog)) == 1


async def test_machine_line_a_message_that_cannot_be_used_does_not_end_a_machine(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A maker of another release may say more than we understand."""
    line = MemoryLine()
    maker, machine = Maker(line, "a", wall_ms), Machine(line)
    heard = machine._hear

    def hear(message: FromMaker) -> None:
        if isinstance(message, Announcement):
            raise TypeError("unexpected keyword argument")
        heard(message)

    machine.follower._hear = hear
    async with running(maker.publisher, machine.follower):
        ids = [maker.job()]
        await until(lambda: machine.jobs == ids)
        maker.publisher.announce("once", {"a"})
        ids.append(maker.job())
        await until(lambda: machine.jobs == ids)
    assert machine.follower.refused == 1 and "unexpected keyword" in caplog.text


async def test_machine_line_a_block_gets_to_the_maker_although_all_threads_wait_for_the_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = MemoryLine()
    maker, machine = Maker(line, "a", wall_ms), Machine(line)

    async def hang(*given: Any) -> Any:
        await asyncio.Event().wait()

    async with running(maker.publisher, machine.follower):
        ids = [maker.job()]
        await until(lambda: machine.jobs == ids)
        monkeypatch.setattr(asyncio, "to_thread", hang)
        async with asyncio.timeout(30):
            assert (await machine.relay.submit(RECORD, time.monotonic() + 60, again=False)).word == "accepted"


async def test_machine_line_a_redis_that_only_takes_no_blocks_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Full, or with too few rights: jobs come all the same."""
    line = MemoryLine()
    maker, machine = Maker(line, "a", wall_ms), Machine(line)
    good, tries = line.tell, []

    async def refuse(ticket: str, sealed: bytes) -> None:
        if len(sealed) < 1000:
            await good(ticket, sealed)
            return
        tries.append(ticket)
        raise TransportAwayError("OOM command not allowed")

    monkeypatch.setattr(line, "tell", refuse)
    large = msgspec.structs.replace(RECORD, payload={"block": "00" * 1000})
    async with running(maker.publisher, machine.follower):
        ids = [maker.job()]
        await until(lambda: machine.jobs == ids)
        waiting = asyncio.ensure_future(machine.relay.submit(large, time.monotonic() + 60, again=False))
        await until(lambda: len(tries) > 3)
        small = await machine.relay.submit(RECORD, time.monotonic() + 60, again=False)
        assert small.word == "accepted", "one that does not get through keeps nobody else back"
        assert errors(caplog) == ["a found block does not get to the maker: OOM command not allowed"]
        monkeypatch.setattr(line, "tell", good)
        assert (await waiting).word == "accepted"


async def test_machine_line_a_maker_that_cannot_read_blocks_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(job_publishing, "UNHEARD_S", 0.1)
    line = MemoryLine()
    maker, machine = Maker(line, "a", wall_ms), Machine(line)
    good = line.found

    async def refuse(ticket: str) -> bytes:
        raise TransportAwayError("NOPERM no permissions")

    monkeypatch.setattr(line, "found", refuse)
    async with running(maker.publisher, machine.follower):
        maker.job()
        waiting = asyncio.ensure_future(machine.relay.submit(RECORD, time.monotonic() + 60, again=False))
        await until(lambda: errors(caplog))
        await asyncio.sleep(0.2)
        assert errors(caplog) == ["found blocks of other machines cannot be read: NOPERM no permissions"]
        monkeypatch.setattr(line, "found", good)
        assert (await waiting).word == "accepted"
