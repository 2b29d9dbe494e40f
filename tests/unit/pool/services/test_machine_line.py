"""The line between a maker of jobs and other machines: in order, without gaps, from nobody else; blocks get through."""

from __future__ import annotations

import asyncio
import logging
import time
from types import SimpleNamespace
from typing import Any

import pytest
from support.machine_ends import KEY, LIMIT_S, POOL, RECORD, Machine, Maker, running, until, wall_ms
from support.machine_line import MemoryLine

from pool.services import feed_seal, job_following, job_publishing
from pool.services.block_messages import BlockAnswered, BlockFound
from pool.services.block_nodes import BlockNodes
from pool.services.block_relay import BlockRelay, RelayedBlocks
from pool.services.feed_seal import FEED_VERSION, FeedPiece, Seal, Told
from pool.services.front_end_messages import ParentNews
from pool.services.maker_messages import maker_frame
from pool.services.submission_ending import Ending


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (job_publishing, job_following):
        monkeypatch.setattr(module, "RETRY_S", 0.02)
        monkeypatch.setattr(module, "CLAIM_AGAIN_S", 0.05)
    monkeypatch.setattr(job_publishing, "WHOLE_DELAY_S", 0.2)
    monkeypatch.setattr(job_following, "LOOK_S", 0.02)
    monkeypatch.setattr(job_following, "AGAIN_S", 0.1)


def sealed(epoch: int, sequence: int, frames: bytes = b"", *, whole: bool = False, key: bytes = KEY) -> bytes:
    return Seal(key, POOL, FeedPiece).close(FeedPiece(FEED_VERSION, epoch, sequence, whole, wall_ms(), frames))


async def test_machine_line_jobs_come_in_order_and_a_late_machine_hears_what_is_still_mined() -> None:
    line = MemoryLine()
    maker, first, late = Maker(line, "a", wall_ms), Machine(line), Machine(line, number=2)
    async with running(maker.publisher, first.follower):
        ids = [maker.job() for _ in range(3)]
        await until(lambda: first.jobs == ids)
        ids += [maker.job(102), maker.job(102)]
        await until(lambda: first.jobs == ids)
        async with running(late.follower):
            await until(lambda: late.jobs[-2:] == ids[3:])
            ids.append(maker.job(102))
            await until(lambda: first.jobs == ids and late.jobs[-3:] == ids[3:])
        pieces = len(line.pieces)
        await until(lambda: len(line.pieces) < pieces)
        newest = Machine(line, number=3)
        async with running(newest.follower):
            await until(lambda: newest.jobs == ids[3:])
    assert first.follower.gaps == first.follower.refused == late.follower.gaps == 0
    assert first.follower.age_s is not None and first.follower.age_s < LIMIT_S
    assert sum(isinstance(message, ParentNews) for message in first.heard) == 2, "a template is sent once"


async def test_machine_line_a_gap_leads_back_to_the_whole(caplog: pytest.LogCaptureFixture) -> None:
    line = MemoryLine()
    maker, machine = Maker(line, "a", wall_ms), Machine(line)
    async with running(maker.publisher, machine.follower):
        ids = [maker.job()]
        await until(lambda: machine.jobs == ids)
        epoch = maker.publisher.epoch
        line.say(sealed(epoch, 50, maker_frame(BlockAnswered("lost", "accepted", "accepted", ""))))
        await until(lambda: machine.follower.gaps > 0)
        line.pieces.pop()
        ids.append(maker.job())
        await until(lambda: machine.jobs[-1] == ids[-1])
    assert "lost" not in [message.ticket for message in machine.heard if isinstance(message, BlockAnswered)]
    assert caplog.text.count("something of the maker's is missing") >= 1


async def test_machine_line_what_others_say_is_told_once_and_not_heeded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_seal, "MAX_SEALED_BYTES", 200_000)
    line = MemoryLine()
    maker, machine = Maker(line, "a", wall_ms), Machine(line)
    async with running(maker.publisher, machine.follower):
        ids = [maker.job()]
        await until(lambda: machine.jobs == ids)
        epoch, sequence = maker.publisher.epoch, maker.publisher._sequence
        other_pool = Seal(KEY, "other", FeedPiece).close(FeedPiece(FEED_VERSION, epoch + 1, 1, True, 0, b""))
        found = Seal(KEY, POOL, Told).close(Told(FEED_VERSION, b"x"))
        changed = bytearray(sealed(epoch + 1, 1, whole=True))
        changed[-1] ^= 1
        version = Seal(KEY, POOL, FeedPiece).close(FeedPiece(FEED_VERSION + 1, epoch + 1, 1, True, 0, b""))
        bad = [b"", b"short", b"x" * 300_000, sealed(epoch + 1, 1, whole=True, key=b"q" * 32), other_pool, found,
               bytes(changed), version, b"", b"short"]  # fmt: skip
        for content in bad:
            line.say(content)
        line.say(sealed(epoch - 1, 1, b"old", whole=True))
        line.say(sealed(epoch, sequence, b"again"))
        ids.append(maker.job())
        await until(lambda: machine.jobs == ids)
        assert machine.follower.refused == len(bad) and machine.follower.gaps == 0
        line.say(sealed(epoch, sequence + 2, b"\0\0\0\1\xc1"))  # sealed, and nonsense
        await until(lambda: machine.follower.refused == len(bad) + 1)
    alarms = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert 4 <= len(alarms) < len(bad)
    assert caplog.text.count("an earlier maker of jobs is not heard") == 1


async def test_machine_line_the_next_maker_is_heard_and_the_former_is_not() -> None:
    line = MemoryLine()
    first, second, machine = Maker(line, "a", wall_ms), Maker(line, "b", lambda: 1000), Machine(line)
    async with running(machine.follower):
        async with running(first.publisher):
            ids = [first.job()]
            await until(lambda: machine.jobs == ids)
            async with running(second.publisher):
                second.job(102)
                await asyncio.sleep(0.1)
                assert machine.jobs == ids and second.publisher.epoch == 0, "one publishes at a time"
        former = first.publisher.epoch
        await first.publisher.leave()
        async with running(second.publisher):
            await until(lambda: second.publisher.epoch > former)
            await until(lambda: len(machine.jobs) == 2)
            line.say(sealed(former, 99, maker_frame(BlockAnswered("old", "accepted", "accepted", ""))))
            ids.append(second.job(102))
            await until(lambda: machine.jobs[-1] == ids[-1])
    assert not [message for message in machine.heard if isinstance(message, BlockAnswered)]
    assert machine.follower.gaps == 0


async def test_machine_line_an_emptied_or_absent_redis_is_made_up_for() -> None:
    line = MemoryLine()
    maker, machine = Maker(line, "a", wall_ms), Machine(line)
    async with running(maker.publisher, machine.follower):
        ids = [maker.job()]
        await until(lambda: machine.jobs == ids)
        line.flush()
        ids.append(maker.job())
        await until(lambda: machine.jobs[-1] == ids[-1])
        await until(lambda: line.place_of_whole is not None)
        line.is_away = True
        await asyncio.sleep(0.1)
        ids += [maker.job(), maker.job(102)]
        await asyncio.sleep(0.1)
        assert machine.jobs[-1] == ids[1]
        line.is_away = False
        await until(lambda: machine.jobs[-1] == ids[-1])


async def test_machine_line_a_number_is_one_machines() -> None:
    line = MemoryLine()
    machine = Machine(line, "one eu@here 1")
    async with running(machine.follower):
        await until(lambda: line.claims)
        assert not machine.lost
        line.claims["1"] = "another us@there 1"
        await until(lambda: machine.lost)
    assert "transport.machine" in machine.lost[0]
    copied = Machine(line, "one eu@here 2")
    line.claims["1"] = "one eu@here 3"
    async with running(copied.follower):
        await until(lambda: copied.lost)


async def test_machine_line_blocks_are_submitted_once_and_answered() -> None:
    line = MemoryLine()
    maker, machine = Maker(line, "a", wall_ms), Machine(line)
    async with running(maker.publisher, machine.follower):
        maker.job()
        await until(lambda: maker.publisher.epoch)
        await asyncio.sleep(0.1)  # what was there before it may have been submitted before
        maker.blocks.open.clear()
        waiting = asyncio.ensure_future(machine.relay.submit(RECORD, time.monotonic() + 60, again=False))
        await until(lambda: maker.blocks.asked)
        await asyncio.sleep(0.3)  # longer than until it asks again
        assert maker.blocks.asked == [(RECORD, False)]
        maker.blocks.open.set()
        assert await waiting == Ending("accepted", "accepted")
        await until(lambda: not line.blocks and not line.tickets)
    assert maker.blocks.outcomes == ["regbtc"]


async def test_machine_line_blocks_outlive_the_maker_and_an_emptied_redis() -> None:
    line = MemoryLine()
    machine = Machine(line)
    async with running(machine.follower):
        waiting = asyncio.ensure_future(machine.relay.submit(RECORD, time.monotonic() + 60, again=False))
        await until(lambda: line.tickets)
        first = Maker(line, "a", wall_ms)
        first.blocks.open.clear()
        async with running(first.publisher):
            await until(lambda: first.blocks.asked)
        line.flush()  # what the first one had is nowhere else
        second = Maker(line, "b", wall_ms)
        second.job()
        async with running(second.publisher):
            assert await waiting == Ending("accepted", "accepted")
        assert second.blocks.asked == [(RECORD, True)], "the first one may have submitted it"


async def test_machine_line_a_ticket_of_another_name_is_not_taken() -> None:
    line = MemoryLine()
    maker = Maker(line, "a", wall_ms)
    content = Told(FEED_VERSION, b"nonsense")
    async with running(maker.publisher):
        await line.tell("one", Seal(KEY, POOL, Told).close(content))
        await line.tell("two", b"rubbish")
        await until(lambda: not line.blocks)
    assert maker.blocks.asked == []


async def test_machine_line_relayed_blocks_of_a_chain_that_left_wait() -> None:
    blocks: Any = SimpleNamespace(nodes=BlockNodes({}, {}, "regbtc"))
    relayed = RelayedBlocks(blocks, lambda answer: None, asyncio.ensure_future)
    relayed.take(BlockFound("one", RECORD, False))
    assert relayed._under_way == set()


async def test_machine_line_a_relay_gives_up_in_the_end_and_passes_on_what_others_wait_for() -> None:
    told: list[BlockFound] = []
    relay = BlockRelay(told.append, again_s=0.02)
    ending = await relay.submit(RECORD, time.monotonic() + 0.1, again=False)
    assert ending.word == "given_up" and ending.outcome == "unknown" and len(told) > 1
    assert len({found.ticket for found in told}) == 1
    others: list[BlockAnswered] = []
    relay.on_other = others.append
    relay.heard(BlockAnswered("other", "accepted", "accepted", ""))
    assert [answer.ticket for answer in others] == ["other"]
