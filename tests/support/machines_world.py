"""A devnet whose jobs one process makes for several machines: loopback addresses, Redis or a link to it between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pool.devnet.demo.children import Child
from support.devnet import CHAINS, PARENT, Devnet, steps
from support.ports import free_port
from support.redis import RedisServer
from support.rig import Rig

KEY = "0123456789abcdef" * 4


class Link:
    """A way to Redis that can be cut: then nothing passes, and nobody is told, as in a partition of a network."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._target = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """The URL of this side."""
        self._open.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return self._url.replace(f":{self._target.port}/", f":{port}/")

    def cut(self) -> None:
        self._open.clear()

    def mend(self) -> None:
        self._open.set()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there, here = await asyncio.open_connection(self._target.hostname, self._target.port)
            for task in (asyncio.ensure_future(self._carry(reader, here)),
                         asyncio.ensure_future(self._carry(there, writer))):  # fmt: skip
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                await self._open.wait()
                sink.write(data)
                await sink.drain()
        sink.close()


class MachinesWorld:
    """`devnet` answers for the maker of jobs, which keeps the books and serves no miner."""

    def __init__(self, devnet: Devnet, redis: RedisServer) -> None:
        self.devnet = devnet
        self.redis = redis
        self.machines: dict[str, Child] = {}
        self.http_ports: dict[str, int] = {}

    @staticmethod
    def edit(redis: RedisServer, folder: Path, url: str, binds: Sequence[str]) -> Any:
        """What the file of all processes says: the maker's part, which the machines' command lines replace."""
        url_file, key_file = folder / "redis-url", folder / "jobs-key"
        for file, text in ((url_file, redis.url), (key_file, KEY)):
            file.write_text(text + "\n")
            file.chmod(0o600)

        def edit(config: dict[str, Any]) -> None:
            config["pool"] |= {"role": "accountant", "front_end": "books", "database_url": url}
            config["transport"] = {
                "kind": "redis", "redis_url_file": str(url_file), "jobs": "publish", "jobs_key_file": str(key_file),
            }  # fmt: skip
            port = config["stratum"]["ports"][0]
            config["stratum"]["ports"] = [port | {"bind": bind} for bind in binds]

        return edit

    async def start(self) -> None:
        await self.devnet.start_nodes()
        await self.devnet.start_pool()

    def spawn(self, name: str, number: int, **overrides: str) -> Child:
        """A machine that listens on the first port of the file, on the address in `overrides`."""
        self.http_ports.setdefault(name, free_port())
        chains = {f"chains__{chain}__nodes": "[]" for chain in CHAINS}
        child = self.machines[name] = self.devnet.spawn_pool(
            f"machine-{name}",
            pool__role="stratum",
            pool__front_end=name,
            pool__data_dir=str(self.devnet.directory / f"machine-{name}"),
            http__bind=f"127.0.0.1:{self.http_ports[name]}",
            transport__jobs="follow",
            transport__machine=str(number),
            **{**chains, **overrides},
        )
        return child

    async def machine(self, name: str, number: int, **overrides: str) -> Child:
        """One that is ready for miners."""
        child = self.spawn(name, number, **overrides)
        await self.devnet.until(lambda: "pool started" in child.log_text(), f"machine {name} runs", 90)
        await self.devnet.until(lambda: self.is_ready(name), f"machine {name} is ready", 90)
        return child

    async def is_ready(self, name: str) -> bool:
        status, _ = await self.ask(name, "/readyz")
        return status == 200

    async def ask(self, name: str, path: str) -> tuple[int, str]:
        async with self.devnet.session.get(f"http://127.0.0.1:{self.http_ports[name]}{path}") as answer:
            return answer.status, await answer.text()

    async def kill(self, name: str) -> None:
        steps.info("kill -9 machine %s", name)
        await self.devnet.kill(self.machines[name])

    async def rig(self, login: str, bind: str, **options: Any) -> Rig:
        host, _, port = bind.rpartition(":")
        rig = Rig(host, int(port), login, "x", **options)
        self.devnet.rigs.append(rig)
        await rig.connect()
        return rig

    async def tip(self) -> str:
        return str(await self.devnet.rpc(PARENT, "getbestblockhash"))
