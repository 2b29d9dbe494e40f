"""A pool of two processes over Redis, as an operator runs them: one of role stratum, which serves miners and submits
what they find, and one of role accountant, which keeps the books."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp

from pool.devnet.demo.children import Child, pool_command, stop
from support.ports import free_port
from support.real_pool import START_S, TRACEBACK, RealPool, until
from support.redis import RedisServer


class SplitPool(RealPool):
    """What RealPool says of the books is the accountant's, `get` included; `front_end` is the other one. It has
    `directory/data`, with the key that leads."""

    def __init__(self, directory: Path, *args: Any, redis: RedisServer, **options: Any) -> None:
        super().__init__(directory, *args, **options)
        url_file = directory / "redis-url"
        url_file.write_text(redis.url + "\n")
        url_file.chmod(0o600)
        config = json.loads(self.config_path.read_text())
        config["pool"]["name"] = f"split-{self.stratum_port}"  # a Redis may serve several tests
        config["pool"] |= {"role": "accountant", "front_end": "books", "data_dir": str(directory / "books")}
        config["transport"] = {"kind": "redis", "redis_url_file": str(url_file)}
        self.config_path.write_text(json.dumps(config, indent=1))
        self.front_end: Child | None = None
        self._front_port = free_port()

    async def start(self) -> None:
        """The accountant first: it must know a new front end before that serves anybody."""
        await super().start()
        await self.start_front_end()

    async def start_front_end(self) -> None:
        overrides = {
            "pool.front_end": "eu", "pool.data_dir": str(self.directory / "data"),
            "http.bind": f"127.0.0.1:{self._front_port}",
        }  # fmt: skip
        words = [word for key, value in overrides.items() for word in ("--set", f"{key}={value}")]
        command = pool_command("run", "-c", str(self.config_path), "--role", "stratum", *words)
        child = self.front_end = Child("front-end", command, self.directory / "front-end.log")

        async def serves() -> bool:
            assert child.exit_code() is None, child.log_text()[-3000:]
            return await self._front("/healthz") is not None

        await until(serves, "the front end serves", START_S)

    async def ask_front_end(self, path: str) -> Any:
        """Its JSON answer, None without one."""
        answer = await self._front(path)
        return None if answer is None else json.loads(answer)

    async def _front(self, path: str) -> str | None:
        assert self._session is not None
        try:
            async with self._session.get(f"http://127.0.0.1:{self._front_port}{path}") as answer:
                return await answer.text() if answer.status == 200 else None
        except aiohttp.ClientError:
            return None

    async def in_tree(self, names: Iterable[str]) -> None:
        """Jobs are the front end's."""
        wanted = set(names)

        async def mined() -> bool:
            items = (await self.ask_front_end("/api/v1/chains") or {"items": []})["items"]
            return wanted <= {chain["name"] for chain in items if chain["in_tree"] and chain["state"] == "ok"}

        await until(mined, f"{', '.join(sorted(wanted))} are mined")

    async def kill_accountant(self) -> None:
        """kill -9, and another start: miners go on meanwhile."""
        assert self.child is not None
        self.child.process.kill()
        await asyncio.to_thread(self.child.process.wait)
        self.child = Child("pool", pool_command("run", "-c", str(self.config_path)), self.directory / "pool.log")
        await until(self._healthy, "the accountant is back", START_S)

    async def kill_front_end(self) -> None:
        """kill -9; its miners are gone. Start it again."""
        for miner in self._miners:
            await miner.client.close()
        self._miners.clear()
        assert self.front_end is not None
        self.front_end.process.kill()
        await asyncio.to_thread(self.front_end.process.wait)

    async def stop(self) -> None:
        """The front end first, as at any orderly end: what it has is in Redis then."""
        for miner in self._miners:
            await miner.client.close()
        self._miners.clear()
        if self.front_end is not None:
            killed = await asyncio.to_thread(stop, [self.front_end])
            text = self.front_end.log_text()
            assert not killed and self.front_end.exit_code() == 0, text[-3000:]
            assert TRACEBACK not in text, text[-5000:]
        await super().stop()
