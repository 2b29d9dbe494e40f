"""Nodes of our own networks as real processes, and links between them that a test can cut and make lossy."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chains.node_rpc import JsonRpc, NodeUnavailableError
from chains.peers.frames import HEAD

ROOT = Path(__file__).parents[2]
WAIT_S = 90.0  # of every wait: far more than a loaded machine needs
HANDSHAKE_FRAMES = 2  # hello and proof always pass: what is lost is messages

Command = Callable[["NodeChild"], list[str]]


async def until(probe: Callable[[], Any], what: str, timeout_s: float = WAIT_S) -> Any:
    """The probe's first answer that is neither None nor False. Raises AssertionError with `what` was waited for."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        answer = await probe()
        if answer is not None and answer is not False:
            return answer
        assert time.monotonic() < deadline_s, f"after {timeout_s:g} s still not so: {what}"
        await asyncio.sleep(0.1)


class NodeChild:
    """One node. `command` gets data folder, ports and peers when it starts."""

    def __init__(self, name: str, folder: Path, port: int, rpc_port: int, command: Command) -> None:
        self.name = name
        self.data = folder / name
        self.port = port
        self.rpc_port = rpc_port
        self.peers: list[str] = []
        self.log_path = folder / f"{name}.log"
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self.rpc = JsonRpc(f"http://127.0.0.1:{rpc_port}", user="user", password="secret", timeout_s=30, name=name)

    def spawn(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._starts = log.tell()
            environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PYTHONUNBUFFERED": "1"}
            self._process = subprocess.Popen(
                self._command(self), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
            )

    async def start(self) -> None:
        self.spawn()
        await self.ready()

    async def ready(self) -> None:
        async def is_ready() -> bool:
            assert self.exit_code() is None, f"{self.name} ended: {self.log()[-2000:]}"
            return "READY" in self.log()

        await until(is_ready, f"{self.name} is ready")

    def exit_code(self) -> int | None:
        assert self._process is not None
        return self._process.poll()

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def terminate(self) -> None:
        assert self._process is not None
        self._process.terminate()

    async def stop(self) -> int:
        """In order; its exit code."""
        await self.rpc.close()
        if self._process is None or self._process.poll() is not None:
            return 0 if self._process is None else self._process.returncode
        self._process.terminate()
        try:
            return await asyncio.to_thread(self._process.wait, WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def log(self) -> str:
        """Since the last start."""
        with self.log_path.open("rb") as file:
            file.seek(self._starts)
            return file.read().decode("utf-8", "replace")

    async def call(self, method: str, *parameters: Any) -> Any:
        return await self.rpc.call(method, *parameters)

    async def peer_count(self) -> int:
        try:
            return int(await self.call("getconnectioncount"))
        except NodeUnavailableError:
            return -1


class Link:
    """A TCP link to a node's port that may be cut, and that loses whole messages."""

    def __init__(self, target_port: int, loss: float = 0.0, seed: int = 0) -> None:
        self.target_port = target_port
        self.loss = loss
        self.cut = False
        self.lost = 0
        self.port = 0
        self._random = random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._hang_up()

    def set_cut(self, cut: bool) -> None:
        """Cut: connections end, new ones are refused by ending at once."""
        self.cut = cut
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut:
            writer.close()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))
        finally:
            for one in (writer, far_writer):
                one.close()
                self._writers.discard(one)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = 0
        try:
            while True:
                head = await reader.readexactly(HEAD.size)
                body = await reader.readexactly(HEAD.unpack(head)[0])
                frames += 1
                if frames > HANDSHAKE_FRAMES and self._random.random() < self.loss:
                    self.lost += 1
                    continue
                writer.write(head + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


class RealNetwork:
    """So many nodes, each linked to each by a link of its own (`links[i, j]`: i dials j). An asynchronous context
    manager: ends what it started, and each node that was not killed must have ended with 0."""

    def __init__(
        self, folder: Path, count: int, ports: Callable[[], int], command: Command, loss: float = 0.0
    ) -> None:
        self.nodes = [NodeChild(f"node{number}", folder, ports(), ports(), command) for number in range(count)]
        self.links: dict[tuple[int, int], Link] = {}
        self._loss = loss

    async def __aenter__(self) -> RealNetwork:
        for i in range(len(self.nodes)):
            for j in range(i):
                link = self.links[i, j] = Link(self.nodes[j].port, self._loss, seed=i * 100 + j)
                await link.start()
                self.nodes[i].peers.append(f"127.0.0.1:{link.port}")
        for node in self.nodes:
            node.spawn()
        try:
            for node in self.nodes:
                await node.ready()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        codes = await self._end()
        if exception[0] is None:
            assert set(codes.values()) <= {0, -signal.SIGKILL}, codes

    async def _end(self) -> dict[str, int]:
        codes = {node.name: await node.stop() for node in self.nodes}
        for link in self.links.values():
            await link.close()
        return codes

    def partition(self, *groups: Sequence[int]) -> None:
        """Cut the links between the groups."""
        side = {index: number for number, group in enumerate(groups) for index in group}
        for (i, j), link in self.links.items():
            link.set_cut(side[i] != side[j])

    def heal(self) -> None:
        for link in self.links.values():
            link.set_cut(False)

    def set_loss(self, loss: float) -> None:
        for link in self.links.values():
            link.loss = loss


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def kind_command(file: Path) -> Command:
    """How a node of the network in this file is started; the calls' login is user:secret."""

    def command(node: NodeChild) -> list[str]:
        login = node.data / "login"
        if not login.exists():
            login.touch(0o600)
            login.write_text("user:secret\n")
        peers = [word for peer in node.peers for word in ("--peer", peer)]
        return python(
            "-m", "chains.network_run", "--network", str(file), "--data", str(node.data), "--port", str(node.port),
            "--rpc-port", str(node.rpc_port), "--devnet", "--wallet", "--login", str(login), *peers,
        )  # fmt: skip

    return command


def miner_command(kind: str, nodes: Sequence[NodeChild], rate: int = 20_000) -> list[str]:
    places = [f"{node.rpc_port}:{node.data}" for node in nodes]
    return python("-P", "-m", "pool.devnet.network_miner", "--kind", kind, "--rate", str(rate), *places)


async def chain_view(node: NodeChild) -> dict[str, Any]:
    """Tip, height, and what has been issued on each chain, of a node of any kind."""
    found = await node.call("getchainview")
    if "bestblockhash" in found:
        return {"tip": found["bestblockhash"], "height": found["blocks"], "issued": [found["issued"]]}
    issued = [chain["issued"] for chain in found["chains"]]
    return {"tip": found["tip"], "height": found["height"], "issued": issued}
