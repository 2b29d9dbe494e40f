"""A pool of several processes on one machine: all that one process does but the miners, and the fleet that has these.

SIGUSR2 begins this program anew in the same process, by the files that lie on the disk now, while its front ends go on
serving: the new one makes jobs within seconds, starts front ends of its own on the same ports and drains the old ones.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable
from typing import Any

from pool.config.configuration import Config, ConfigError
from pool.fleet_figures import FleetFigures
from pool.fleet_setup import slot_space
from pool.fleet_status import FleetStatus
from pool.live_status import LiveStatus
from pool.services.bookkeeping import Bookkeeping, Ingest
from pool.services.share_feed import ShareFeed
from pool.services.told_log import ManyIngests
from pool.wiring.fleet import Fleet
from pool.wiring.fleet_operating import FleetOperating
from pool.wiring.keeping import Keeping
from pool.wiring.next_configuration import NextConfiguration
from pool.wiring.operating import Operating
from pool.wiring.process import RunningPool
from stratum.extranonce import ExtranonceAllocator

log = logging.getLogger("parapool")


class RunningFleet(RunningPool):
    """`run` returns the exit code; with `begins_anew` the program is to be started again, in this process."""

    fleet: Fleet

    def __init__(self, config: Config, read: Callable[[], Config] | None = None) -> None:
        super().__init__(config, read)
        self.begins_anew = False
        self._figures = FleetFigures()
        self._ingests: ManyIngests | None = None
        self._main: asyncio.Task[Any] | None = None

    async def run(self) -> int:
        self._main = asyncio.current_task()
        return await super().run()

    async def begin_anew(self) -> None:
        """Leave in order; the front ends stay. A configuration that cannot be used would leave them without a mother:
        then nothing happens."""
        try:
            await asyncio.to_thread(self._read)
        except (ConfigError, OSError) as error:
            for line in error.lines if isinstance(error, ConfigError) else [str(error)]:
                log.error("no restart, the configuration cannot be used: %s", line)
            return
        log.info("restart: front ends go on, this process begins anew")
        self.begins_anew = True
        assert self._main is not None
        self._main.cancel()

    @property
    def _is_alone(self) -> bool:
        """One process again: it has the miners itself, and looks after what its former front ends left."""
        return self.config.stratum.processes == 1

    def _extranonces(self) -> ExtranonceAllocator:
        """Front ends of before may still be there, with the same jobs."""
        space = slot_space(0, self.config.transport.machine)
        return ExtranonceAllocator(secrets.randbits(32), secrets.token_bytes(32), space)

    def _ingest(self, own: Ingest) -> Ingest:
        if self.config.transport.kind != "none":
            return own
        self._ingests = ManyIngests(own)
        return self._ingests

    def _live_status(self, books: Bookkeeping | ShareFeed) -> LiveStatus:
        mining = self.mining
        status = FleetStatus(
            self.config, mining.chains, mining.intake, mining.jobs, mining.blocks, self.share_log, self.log_directory,
            books, list(mining.servers.values()),
        )  # fmt: skip
        status.join(
            self._figures,
            lambda: self.fleet.states,
            serves=lambda: self._is_alone or self.fleet.serves,
            drained=lambda: self.fleet.talk.drained,
        )
        return status

    def _build(self) -> None:
        super()._build()
        keeping: Keeping | None = vars(self).get("keeping")
        is_direct = self._ingests is not None and keeping is not None and self.books is not None
        self.fleet = Fleet(
            self.config,
            self.mining,
            self._spawn,
            self._figures,
            self.books.sql_books if is_direct and self.books is not None else None,
            self._ingests,
            keeping.bookkeeping.in_thread if keeping is not None else None,
        )

    def _operating(self, kind: type[Operating] = Operating) -> Operating | None:
        """What is asked here, the front ends do."""
        made = super()._operating(kind if self._is_alone else FleetOperating)
        if isinstance(made, FleetOperating):
            made.reach(self.fleet)
        return made

    def _serve(self) -> None:
        """Front ends listen, this process does not; it tells of their certificates."""
        if self._is_alone:
            super()._serve()
        else:
            self.mining.ports.read_certificates()

    async def _listen(self) -> None:
        await super()._listen()
        await self.fleet.open()

    def _start(self) -> None:
        super()._start()
        self._spawn(self.fleet.run())

    async def _adopt(self, following: NextConfiguration) -> None:
        self.fleet.adopt(following.change.new)
        await super()._adopt(following)

    async def _stop(self) -> None:
        fleet: Fleet | None = vars(self).get("fleet")
        if fleet is not None:
            await (fleet.leave() if self.begins_anew else fleet.stop())
        await super()._stop()
        if fleet is not None:
            await fleet.close()


def begin_anew() -> None:
    """This program from its files, in this process: same id, same command line, same place in the eyes of systemd."""
    for number in (signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # until the new one listens to them: unheard they would end it
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
