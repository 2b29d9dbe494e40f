"""What is done to a pool of two processes under load, fault after fault. Within a context its fault is there."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

from fault_layer import FaultLayer
from support.devnet import PARENT, Devnet
from support.postgresql import PostgresqlServer
from support.redis import RedisServer
from support.split_devnet import SplitDevnet

HOUR_S = 3600.0
NODE_HANGS_S = 60.0
LATE_S = 1.0
SLOW_SYNC_MS = 200
FLAPS = 3
REORGANISED = 2


@dataclass
class World:
    """`layers` are of the front end and of the accountant; `postgresql` is None where the books are SQLite's."""

    devnet: Devnet
    split: SplitDevnet
    redis: RedisServer
    postgresql: PostgresqlServer | None
    front_layer: FaultLayer
    books_layer: FaultLayer

    async def restart_front_end(self) -> None:
        assert self.split.front_end is not None
        if self.split.front_end.exit_code() is None:
            await self.devnet.kill(self.split.front_end)
        await self.split.start_front_end()


Begin = Callable[[World], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """`serves`: shares are accepted meanwhile. `stays`: no connection ends by it. `refuses`: shares may be refused."""

    name: str
    begin: Begin
    serves: bool = True
    stays: bool = True
    refuses: bool = False
    needs_postgresql: bool = False


@asynccontextmanager
async def _redis_hangs(world: World) -> AsyncIterator[None]:
    world.redis.pause()
    yield
    world.redis.go_on()


@asynccontextmanager
async def _redis_is_emptied(world: World) -> AsyncIterator[None]:
    world.redis.ask("flushall")
    yield
    world.redis.ask("flushall")


@asynccontextmanager
async def _redis_is_full(world: World) -> AsyncIterator[None]:
    world.redis.ask("config", "set", "maxmemory", "1kb")
    yield
    world.redis.ask("config", "set", "maxmemory", "0")


@asynccontextmanager
async def _redis_is_away(world: World) -> AsyncIterator[None]:
    world.redis.kill()
    yield
    await asyncio.to_thread(world.redis.start)


@asynccontextmanager
async def _postgresql_hangs(world: World) -> AsyncIterator[None]:
    assert world.postgresql is not None
    world.postgresql.pause()
    yield
    world.postgresql.go_on()


@asynccontextmanager
async def _postgresql_is_away(world: World) -> AsyncIterator[None]:
    assert world.postgresql is not None
    await asyncio.to_thread(world.postgresql.stop)
    yield
    await asyncio.to_thread(world.postgresql.start)


@asynccontextmanager
async def _front_end_dies(world: World) -> AsyncIterator[None]:
    await world.restart_front_end()
    yield


@asynccontextmanager
async def _accountant_dies(world: World) -> AsyncIterator[None]:
    await world.devnet.kill_pool()
    yield
    world.devnet.pool = world.devnet.spawn_pool()


def _node(*names: str, **fault: object) -> Begin:
    @asynccontextmanager
    async def begin(world: World) -> AsyncIterator[None]:
        for name in names:
            await world.devnet.fault(name, **fault)
        yield
        for name in names:
            await world.devnet.rpc(name, "devnet_clear")

    return begin


@asynccontextmanager
async def _node_flaps(world: World) -> AsyncIterator[None]:
    for _ in range(FLAPS):
        await world.devnet.kill_node(PARENT)
        await asyncio.sleep(0.3)
        await world.devnet.start_node(PARENT)
        await asyncio.sleep(0.3)
    yield


@asynccontextmanager
async def _node_changes_its_branch(world: World) -> AsyncIterator[None]:
    # The pool's own next block may come in between, and the branch is too short then.
    with suppress(Exception):
        await world.devnet.rpc(PARENT, "devnet_reorganise", REORGANISED)
    yield


@asynccontextmanager
async def _all_auxiliary_chains_in_trouble(world: World) -> AsyncIterator[None]:
    devnet = world.devnet
    await devnet.fault("regnmc", hang_s=NODE_HANGS_S)
    await devnet.fault("regdoge", http_500=True)
    await devnet.fault("alpha", garbage=True)
    await devnet.fault("beta", syncing=True)
    yield
    for name in ("regnmc", "regdoge", "alpha", "beta"):
        await devnet.rpc(name, "devnet_clear")


def _clock(step_s: float) -> Begin:
    @asynccontextmanager
    async def begin(world: World) -> AsyncIterator[None]:
        for layer in (world.front_layer, world.books_layer):
            layer.set(clock_s=step_s)
        yield
        for layer in (world.front_layer, world.books_layer):
            layer.set()

    return begin


@asynccontextmanager
async def _disk_is_slow(world: World) -> AsyncIterator[None]:
    world.front_layer.set(sync_ms=SLOW_SYNC_MS)
    yield
    world.front_layer.set()


def _disk_fails(**error: int) -> Begin:
    @asynccontextmanager
    async def begin(world: World) -> AsyncIterator[None]:
        world.front_layer.set(**error)
        child = world.split.front_end
        assert child is not None
        code = await world.devnet.exit_code_of(child)
        assert code == 1, f"the front end ended with {code} by a disk that fails"
        yield
        world.front_layer.set()
        await world.split.start_front_end()

    return begin


FAULTS = [
    Fault("Redis hangs", _redis_hangs),
    Fault("Redis is emptied", _redis_is_emptied),
    Fault("Redis is full", _redis_is_full),
    Fault("Redis is killed and stays away", _redis_is_away),
    Fault("PostgreSQL hangs", _postgresql_hangs, needs_postgresql=True),
    Fault("PostgreSQL is stopped", _postgresql_is_away, needs_postgresql=True),
    Fault("the accountant is killed and stays away", _accountant_dies),
    Fault("the front end is killed", _front_end_dies, stays=False),
    Fault("the parent's node hangs", _node(PARENT, hang_s=NODE_HANGS_S)),
    Fault("the parent's node answers a second late", _node(PARENT, hang_s=LATE_S)),
    Fault("the parent's node answers nonsense", _node(PARENT, garbage=True)),
    Fault("the parent's node answers with HTTP 500", _node(PARENT, http_500=True)),
    Fault("the parent's node flaps", _node_flaps),
    Fault("the parent changes its branch", _node_changes_its_branch),
    Fault("all auxiliary chains are in trouble", _all_auxiliary_chains_in_trouble),
    Fault("the clock goes forward an hour", _clock(HOUR_S)),
    Fault("the clock goes back an hour", _clock(-HOUR_S)),
    Fault("each sync of the disk takes 200 ms", _disk_is_slow),
    Fault("the disk is full", _disk_fails(write_error=errno.ENOSPC), serves=False, stays=False, refuses=True),
    Fault("a sync of the disk fails", _disk_fails(sync_error=errno.EIO), serves=False, stays=False, refuses=True),
]
