"""A devnet whose pool is two processes: a front end without a database, and an accountant, with Redis between them."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import select

from pool.devnet.demo.children import Child
from pool.mining_client.client import StratumError
from pool.storage import tables
from support.devnet import PARENT, Devnet, steps
from support.ports import free_port
from support.postgresql import PostgresqlServer
from support.redis import RedisServer
from support.rig import Rig


class SplitDevnet:
    """`devnet` answers for the accountant; miners connect to the front end."""

    def __init__(self, devnet: Devnet, redis: RedisServer) -> None:
        self.devnet = devnet
        self.redis = redis
        self.front_end: Child | None = None
        self._http_port = free_port()

    @staticmethod
    def edit(redis: RedisServer, folder: Path, url: str) -> Any:
        """What the file of both processes says: the accountant's role, which the front end's command line replaces."""
        url_file = folder / "redis-url"
        url_file.write_text(redis.url + "\n")
        url_file.chmod(0o600)

        def edit(config: dict[str, Any]) -> None:
            config["pool"] |= {"role": "accountant", "front_end": "books", "database_url": url}
            config["transport"] = {"kind": "redis", "redis_url_file": str(url_file)}

        return edit

    async def start(self) -> None:
        await self.devnet.start_nodes()
        await self.devnet.start_pool()
        await self.start_front_end()
        await self.devnet.all_chains_mined()

    async def start_front_end(self) -> None:
        self.front_end = self.devnet.spawn_pool(
            "front-end",
            pool__role="frontend",
            pool__front_end="main",
            pool__data_dir=str(self.devnet.directory / "front-end"),
            http__bind=f"127.0.0.1:{self._http_port}",
        )
        child = self.front_end
        await self.devnet.until(lambda: "pool started" in child.log_text(), "the front end runs", 90)
        await self.devnet.until(self._serves, "the front end has work", 90)

    async def _serves(self) -> bool:
        config = self.devnet.config
        rig = Rig(*config.stratum.ports[0].address, config.chains[PARENT].address + ".look", "x")
        try:
            await rig.connect()
            await rig.job_where(lambda job: True, 1)
        except (OSError, StratumError, TimeoutError, AssertionError):
            return False
        finally:
            await rig.close()
        return True

    async def kill(self, what: str, postgresql: PostgresqlServer | None = None) -> None:
        """kill -9, and start it again."""
        steps.info("kill -9 %s", what)
        if what == "front end":
            assert self.front_end is not None
            await self.devnet.kill(self.front_end)
            await self.start_front_end()
        elif what == "accountant":
            await self.devnet.kill_pool()
            self.devnet.pool = self.devnet.spawn_pool()
            await self.devnet.until(self.devnet._pool_answers, "the accountant answers", 90)
        elif what == "redis":
            self.redis.kill()
            await asyncio.to_thread(self.redis.start)
        else:
            assert postgresql is not None
            await asyncio.to_thread(kill_postgresql, postgresql)

    def stored(self) -> list[bytes]:
        with self.devnet.database() as connection:
            return list(connection.execute(select(tables.shares.c.header_hash)).scalars())

    async def all_stored(self, *rigs: Rig, limit_s: float = 40) -> list[bytes]:
        """Every answered share is in SQL, once, and nothing that nobody sent; what is stored."""
        answered = {header_hash for rig in rigs for header_hash in rig.accepted}
        await self.devnet.until(
            lambda: answered <= set(self.stored()), f"the {len(answered)} answered shares are in SQL", limit_s
        )
        stored = self.stored()
        assert len(stored) == len(set(stored)), "a share is counted twice"
        unanswered = {header_hash for rig in rigs for header_hash in rig.unanswered}
        assert set(stored) - answered <= unanswered, "a share that nobody sent"
        return stored


def kill_postgresql(server: PostgresqlServer) -> None:
    """The server and all its sessions at once, then a start, which recovers."""
    child = server._child
    assert child is not None
    sessions = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    child.process.kill()
    for pid in sessions:
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    child.process.wait()
    server.start()


async def stream(rig: Rig) -> None:
    """Shares without a pause until the connection ends."""
    try:
        while True:
            await rig.submit(await rig.find())
    except StratumError:
        return
