"""One maker of jobs for several machines: what a process has to do with it that publishes its jobs, or follows others'.

On one machine the same messages go over a local socket (pool/wiring/fleet_talk.py); a machine that follows and has
several processes hands on there what it hears.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from socket import gethostname
from typing import Any, NamedTuple, Protocol

from chains.kind import NodeState
from pool.blocks.stream_entry import TransportAwayError
from pool.config.configuration import Config
from pool.data_dir import StartError
from pool.jobs.job import Job
from pool.services.block_messages import BlockAnswered
from pool.services.block_relay import BlockRelay, Spawn
from pool.services.bookkeeping import wall_ms
from pool.services.chain_watch import NodeHealth
from pool.services.front_end_messages import JobNews, ParentNews
from pool.services.job_feed import FollowedJobs
from pool.services.job_following import CLAIM_MS, JobFollower
from pool.services.job_publishing import JobPublisher
from pool.services.maker_messages import FromMaker
from pool.storage.redis_feed import RedisFeed
from pool.wiring.following_mining import FollowingMining
from pool.wiring.mining import Mining

log = logging.getLogger("parapool.machines")

LOOK_S = 1.0


class Station(NamedTuple):
    """What the process says and hears through. `owner` is what it calls itself there."""

    feed: RedisFeed
    key: bytes
    owner: str


class MachineLine(Protocol):
    """What a process has to do with other machines."""

    def open(self) -> None:
        """From here on; whoever else on this machine hears of jobs goes on doing so."""

    def work(self) -> Iterator[Coroutine[Any, Any, Any]]:
        """What goes on for as long as the process runs."""

    async def leave(self) -> None: ...


async def station_of(config: Config) -> Station | None:
    """None for a process that makes its jobs itself and for nobody else. A machine that follows another's jobs has its
    number then, and nobody else has it: two with one would have their miners do the same work. Raises StartError."""
    if config.transport.jobs == "own":
        return None
    try:
        feed, key = RedisFeed(config.transport.redis_url(), config.pool.name), config.transport.jobs_key()
    except ValueError as error:
        raise StartError(str(error)) from error
    family = own_family(config.pool.data_dir)
    station = Station(feed, key, f"{family} {config.pool.front_end}@{gethostname()} {secrets.token_hex(4)}")
    number = config.transport.machine
    if config.transport.jobs == "publish" or number is None:
        return station
    try:
        holder = await feed.claim_machine(number, family, station.owner, CLAIM_MS)
    except TransportAwayError as error:
        raise StartError(f"a machine that follows another's jobs needs Redis to start: {error}") from error
    if holder != station.owner:
        name = holder.split()[1] if len(holder.split()) == 3 else "another process"
        raise StartError(
            f"machine {number} of this pool is {name}: give this one another transport.machine (a number is free an "
            "hour after its process was last heard of)"
        )
    return station


def machine_line(
    station: Station | None, config: Config, mining: Mining, spawn: Spawn, fail: Callable[[str], None]
) -> MachineLine | None:
    if station is None:
        return None
    if isinstance(mining, FollowingMining):
        return Following(config, mining, station, fail)
    return Publishing(config, mining, station, spawn)


def mining_class(config: Config) -> type[Mining]:
    return FollowingMining if config.transport.jobs == "follow" else Mining


class Publishing:
    """The maker's."""

    def __init__(self, config: Config, mining: Mining, station: Station, spawn: Spawn) -> None:
        self._mining = mining
        self.publisher = JobPublisher(
            station.feed, config.pool.name, station.key, station.owner, mining.blocks, spawn, wall_ms
        )

    def open(self) -> None:
        on_job, on_announcement = self._mining.on_job, self._mining.on_announcement

        def job(job: Job) -> None:
            parent = self._mining.newest_parent
            assert parent is not None, "a job was made of it"
            self.publisher.job(job, parent, frozenset(self._mining.jobs.uncapped))
            on_job(job)

        def announce(text: str, realms: set[str]) -> None:
            self.publisher.announce(text, realms)
            on_announcement(text, realms)

        self._mining.on_job, self._mining.on_announcement = job, announce

    def work(self) -> Iterator[Coroutine[Any, Any, Any]]:
        yield self.publisher.run()

    async def leave(self) -> None:
        with suppress(TransportAwayError):
            await self.publisher.leave()


class Following:
    """That of a machine without nodes."""

    def __init__(
        self, config: Config, mining: FollowingMining, station: Station, fail: Callable[[str], None]
    ) -> None:
        self._mining = mining
        mining.ask = lambda chain: None  # whoever submits the block knows
        self._age_s = config.transport.jobs_age_s
        assert config.transport.machine is not None, "load() admits no following without"
        self.follower = JobFollower(
            station.feed, config.pool.name, station.key, config.transport.machine, station.owner, self._hear, fail,
            wall_ms,
        )  # fmt: skip
        self._jobs = FollowedJobs(mining.table)
        self._failure = ""
        self._failing_since: float | None = None  # no job could be made since
        self._began = time.monotonic()
        self._was_fresh = self._is_told = False
        self.relay = mining.relay_through(BlockRelay(self.follower.tell))

    def open(self) -> None:
        """Jobs are heard as soon as it works."""

    def work(self) -> Iterator[Coroutine[Any, Any, Any]]:
        yield self.follower.run()
        yield self._look_on()

    async def leave(self) -> None:
        """Its number stays its own for a while."""

    def _hear(self, message: FromMaker) -> None:
        if isinstance(message, ParentNews):
            self._jobs.take_parent(message)
            self._mining.followed_parent = self._jobs.parent
        elif isinstance(message, JobNews):
            self._take_job(message)
        elif isinstance(message, BlockAnswered):
            self.relay.heard(message)
        else:
            for server in self._mining.servers.values():
                server.announce(message.text, set(message.realms or ()))
            self._mining.on_announcement(message.text, set(message.realms or ()))

    def _take_job(self, message: JobNews) -> None:
        self._mining.jobs.uncapped = set(message.uncapped)
        try:
            job = self._jobs.take_job(message, self._mining.jobs.settings)
        except (ValueError, KeyError) as error:
            if repr(error) != self._failure:
                log.error("alarm: a job of the maker's cannot be made here, miners stay on the last one: %s", error)
            self._failure = repr(error)
            self._failing_since = self._failing_since or time.monotonic()
            return
        self._failure = ""
        if job is not None:
            self._failing_since = None
            self._mining.jobs.deliver(job)
            self._look()

    async def _look_on(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(LOOK_S)

    def _look(self) -> None:
        """The chains are as well as the newest job that could be made here says, for as long as it is not too old."""
        now, age_s, job = time.monotonic(), self.follower.age_s, self._mining.table.current
        fails = self._failing_since is not None and now - self._failing_since >= self._age_s
        is_fresh = age_s is not None and age_s < self._age_s and job is not None and not fails
        if is_fresh:
            self._was_fresh, self._is_told = True, False
        elif not self._is_told and (self._was_fresh or now - self._began >= self._age_s):
            self._is_told = True
            if fails:
                log.error("alarm: none of the maker's jobs can be made here, miners should go elsewhere")
            else:
                log.error("alarm: the maker of jobs is silent, miners should go elsewhere seconds=%d", self._age_s)
        for name, chain in self._mining.chains.items():
            template = None
            if job is not None and is_fresh:
                parent = job.templates.parent
                template = parent if name == self._mining.config.parent else job.templates.aux.get(name)
            chain.in_tree, chain.target = template is not None, None if template is None else template.target
            detail = "not in the maker's jobs" if is_fresh else "no jobs come from the maker"
            chain.health = [
                NodeHealth(NodeState.DOWN, detail=detail)
                if template is None
                else NodeHealth(NodeState.OK, max(0, template.height - 1))
            ]


def own_family(data_dir: Path) -> str:
    """What this machine's processes are known by, for the life of its data_dir. Raises OSError."""
    path = data_dir / "machine"
    family = path.read_text().strip() if path.exists() else ""
    if not family:  # also of a file that a full disk left empty: every other name begins with nothing
        family = secrets.token_hex(8)
        path.write_text(family + "\n")
    return family
