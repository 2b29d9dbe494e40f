"""What strangers do to a Stratum port, from as many addresses as they like: 127.2.0.1 and on.

Each attack keeps at it until it is cancelled, and keeps how long its connections lived. None knows the pool's limits.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from chains.reference.wallet import address

LOGIN = address("hostile", 0)
TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(193)
AT_ONCE = 100  # connections that are being made at the same time
AGAIN_S = {"slowloris": 5.0, "silent": 5.0}  # thousands of them would be a flood of connections of its own
SMALL_WINDOW = {"no reading": 4096}  # bytes that the stranger's side takes unread

_sources = count(1)


def source() -> str:
    """An address that nobody had yet (of some 16,000)."""
    number = next(_sources)
    return f"127.2.{number // 250 % 64}.{1 + number % 250}"


class Stranger(asyncio.Protocol):
    """One connection. Times are monotonic; `ended_at` is None while it is open."""

    def __init__(self) -> None:
        self.began_at = time.monotonic()
        self.ended_at: float | None = None
        self.received = 0
        self.tail = b""
        self.transport: Any = None
        self.over = asyncio.Event()
        self._paused = asyncio.Event()
        self._paused.set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self.tail = (self.tail + data)[-20_000:]

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended_at = time.monotonic()
        self.over.set()
        self._paused.set()

    def pause_writing(self) -> None:
        self._paused.clear()

    def resume_writing(self) -> None:
        self._paused.set()

    async def send(self, data: bytes) -> None:
        """As far as the other side takes it."""
        await self._paused.wait()
        if self.ended_at is None:
            self.transport.write(data)

    @property
    def is_open(self) -> bool:
        return self.ended_at is None

    def lived_s(self, now: float) -> float:
        return (now if self.ended_at is None else self.ended_at) - self.began_at


class Attack:
    """`strangers` are all connections so far, `ended` how many of them the pool did not keep, `sent` what is worth
    counting. So many attackers do what PLAYS has under the name."""

    def __init__(self, name: str, port: int, connections: int) -> None:
        self.name = name
        self.port = port
        self.connections = connections
        self.strangers: list[Stranger] = []
        self.refused = 0
        self.ended = 0
        self.sent = 0
        self._play = PLAYS[name]
        self._tasks: list[asyncio.Task[None]] = []
        self._turn = asyncio.Semaphore(AT_ONCE)

    def start(self) -> None:
        self._tasks = [asyncio.ensure_future(self._again()) for _ in range(self.connections)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for stranger in self.strangers:
            if stranger.is_open:
                stranger.transport.abort()

    def open_now(self) -> int:
        return sum(stranger.is_open for stranger in self.strangers)

    def lived_s(self) -> list[float]:
        """Of all connections that were made, the open ones until now."""
        now = time.monotonic()
        return [stranger.lived_s(now) for stranger in self.strangers]

    async def _again(self) -> None:
        """One attacker: as soon as a connection ends the next one begins, from another address."""
        while True:
            try:
                async with self._turn:
                    stranger = await self.connect(buffer=SMALL_WINDOW.get(self.name, 0))
            except OSError:
                self.refused += 1
                await asyncio.sleep(0.5)
                continue
            self.strangers.append(stranger)
            play = asyncio.ensure_future(self._play(self, stranger))
            try:
                await stranger.over.wait()
            finally:
                play.cancel()
            self.ended += 1
            await asyncio.sleep(AGAIN_S.get(self.name, 0.25) * (0.5 + random.random()))

    async def connect(self, at: str = "", buffer: int = 0) -> Stranger:
        made = socket.socket()
        made.setblocking(False)
        if buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        made.bind((at or source(), 0))
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(made, ("127.0.0.1", self.port))
            _, stranger = await loop.create_connection(Stranger, sock=made)
        except OSError:
            made.close()
            raise
        return stranger


def request(number: int, method: str, params: list[Any]) -> bytes:
    return json.dumps({"id": number, "method": method, "params": params}).encode() + b"\n"


async def log_in(stranger: Stranger) -> str:
    """Until the first job; its id, or nothing when the pool hung up."""
    await stranger.send(request(1, "mining.subscribe", ["x"]) + request(2, "mining.authorize", [LOGIN, "x"]))
    while stranger.is_open:
        at = stranger.tail.find(b'"method":"mining.notify"')
        end = stranger.tail.find(b"\n", at)
        if 0 <= at < end:
            line = stranger.tail[stranger.tail.rfind(b"\n", 0, at) + 1 : end]
            return str(json.loads(line)["params"][0])
        await asyncio.sleep(0.02)
    return ""


async def slowloris(attack: Attack, stranger: Stranger) -> None:
    """A byte of a line now and then, and never its end."""
    await stranger.send(b'{"id":1,"method":"mining.subscribe","params":["' + b"a" * 3900)
    while stranger.is_open:
        await asyncio.sleep(3)
        await stranger.send(b"a")


async def silent(attack: Attack, stranger: Stranger) -> None:
    """A good first line, and no login behind it."""
    await stranger.send(request(1, "mining.subscribe", ["x"]))
    while stranger.is_open:
        await asyncio.sleep(3)
        await stranger.send(request(2, "mining.ping", []))


async def invalid_shares(attack: Attack, stranger: Stranger, per_s: float = 45.0) -> None:
    """Shares of nothing, a little slower than what counts as a flood by itself."""
    job_id = await log_in(stranger)
    number = 10
    while stranger.is_open:
        number += 1
        await stranger.send(request(number, "mining.submit", [LOGIN, job_id, f"{number:08x}", "ffffffff", "00000000"]))
        attack.sent += 1
        await asyncio.sleep(1 / per_s)


async def long_lines(attack: Attack, stranger: Stranger) -> None:
    """64 kB and no end of a line."""
    for _ in range(16):
        await stranger.send(b'{"id":1,"params":"' + b"a" * 4096)
        await asyncio.sleep(0.02)


async def no_reading(attack: Attack, stranger: Stranger) -> None:
    """Questions whose answers nobody takes."""
    stranger.transport.pause_reading()
    await stranger.send(request(1, "mining.subscribe", ["x"]) + request(2, "mining.authorize", [LOGIN, "x"]))
    number = 10
    while stranger.is_open:
        lines = b"".join(request(number + more, "a" * 300, ["a" * 300]) for more in range(20))
        number += 20
        await stranger.send(lines)
        # A paused transport does not see the end of the connection: a write does.
        await asyncio.sleep(0.5)


async def logins(attack: Attack, stranger: Stranger) -> None:
    """Fifteen logins in each packet, all of other workers."""
    await stranger.send(request(1, "mining.subscribe", ["x"]))
    number = 10
    while stranger.is_open:
        lines = b""
        for _ in range(15):
            number += 1
            lines += request(number, "mining.authorize", [f"{LOGIN}.{random.getrandbits(48):x}", "x"])
        await stranger.send(lines)
        attack.sent += 15
        await asyncio.sleep(0.1)


async def tls_hello(attack: Attack, stranger: Stranger) -> None:
    """A client that takes the plain port for one with TLS."""
    await stranger.send(TLS_HELLO)


async def garbage(attack: Attack, stranger: Stranger) -> None:
    await stranger.send(random.randbytes(3000) + b"\n")


PLAYS: dict[str, Callable[[Attack, Stranger], Awaitable[None]]] = {
    "slowloris": slowloris,
    "silent": silent,
    "invalid shares": invalid_shares,
    "long lines": long_lines,
    "no reading": no_reading,
    "logins": logins,
    "TLS hellos": tls_hello,
    "garbage": garbage,
}
