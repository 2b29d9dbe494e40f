"""The operator's bans: in force at the ports, and in a file, so that a restart pardons nobody.

Beside them stand those that the pool itself imposes for invalid shares, which end within minutes and are in no file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from stratum.addresses import AddressBook
from stratum.ban_list import Ban, BanRefusedError, network_of
from stratum.server import StratumServer

log = logging.getLogger("parapool.stratum")

OPERATOR_BAN = "operator_ban"
"""Why such a connection ended, for the metrics."""

INVALID_SHARES = "mostly invalid shares"
MOST_BYTES = 8 * 2**20  # the longest list there can be, with the longest reasons, has half of it


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class BanBook:
    """All servers of a process share one book of addresses. `path` is the file."""

    def __init__(
        self,
        servers: Collection[StratumServer],
        path: Path,
        clock: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._servers = servers
        self._path = path
        self._clock = clock
        self._now_ms = now_ms
        self._writing = asyncio.Lock()

    @property
    def _addresses(self) -> AddressBook:
        return next(iter(self._servers)).addresses

    def load(self) -> None:
        """The bans of the process before. A file that is none is put aside: no miner waits for it."""
        try:
            with self._path.open("rb") as file:
                entries = json.loads(file.read(MOST_BYTES))
            bans = [
                self._ban(entry["network"], int(entry["until_ms"]), str(entry["reason"])) for entry in entries
            ]
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.error("the operator's bans cannot be read and are put aside file=%s: %s", self._path, error)
            self._put_aside()
            return
        now, book = self._clock(), self._addresses.bans
        for ban in bans:
            if ban.until > now:
                book.add(ban)
        log.info("bans of the operator taken up count=%d", len(book))

    def all(self) -> list[dict[str, Any]]:
        """Those of the operator, the oldest first, then those for invalid shares."""
        now, addresses = self._clock(), self._addresses
        bans = [
            {"network": str(ban.network), "reason": ban.reason, "until_ms": ban.until_ms, "by": "operator"}
            for ban in addresses.bans
            if ban.until > now
        ]
        bans += [
            {"network": key, "reason": INVALID_SHARES, "until_ms": self._wall(until), "by": "pool"}
            for key, until in addresses.banned(now)
        ]
        return bans

    async def add(self, text: str, seconds: int, reason: str) -> dict[str, Any]:
        """Ban an address or a network; who is connected from there goes. Raises BanRefusedError, or OSError when the
        ban is in force but not on disk."""
        ban = self._ban(text, self._now_ms() + seconds * 1000, reason)
        self._addresses.bans.add(ban)
        ended = 0
        for server in self._servers:
            for one in list(server.connections):
                if self._addresses.bans.covering(one.remote_address, self._clock()) is not None:
                    one.close(OPERATOR_BAN)
                    ended += 1
        await self._write()
        return {"network": str(ban.network), "until_ms": ban.until_ms, "reason": reason, "connections_ended": ended}

    async def remove(self, text: str) -> bool:
        """End a ban, whoever imposed it; whether there was one. Raises BanRefusedError, or OSError when it is over but
        still on disk."""
        network = network_of(text)
        single = network.num_addresses == 1
        pardoned = self._addresses.pardon(str(network.network_address if single else network), self._clock())
        removed = self._addresses.bans.remove(network)
        if removed:
            await self._write()
        return removed or pardoned

    def _ban(self, text: str, until_ms: int, reason: str) -> Ban:
        return Ban(network_of(text), self._clock() + (until_ms - self._now_ms()) / 1000, reason, until_ms)

    def _wall(self, until: float) -> int:
        return self._now_ms() + round((until - self._clock()) * 1000)

    async def _write(self) -> None:
        """The list as it is once its turn comes, in a thread: a disk may take its time."""
        async with self._writing:
            entries = [entry for entry in self.all() if entry["by"] == "operator"]
            await asyncio.to_thread(_replace, self._path, json.dumps(entries))

    def _put_aside(self) -> None:
        try:
            self._path.rename(self._path.with_suffix(".broken"))
        except OSError as error:
            log.warning("a file cannot be put aside file=%s: %s", self._path, error)


def _replace(path: Path, text: str) -> None:
    """A file with another content, or the one it had: nothing in between."""
    waiting = path.with_suffix(".new")
    descriptor = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    waiting.replace(path)


__all__ = ["BanBook", "BanRefusedError"]
