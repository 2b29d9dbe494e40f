"""A Stratum V1 client: one connection to a pool, its jobs, and the answers to its shares.

The bundled miner uses it, and so do tests, which mine a block on regtest in a few lines:

    client = StratumClient("127.0.0.1", 3333, "ADDRESS.worker", "x")
    await client.connect()
    job = await client.next_job()
    solution = await client.solve(job)
    accepted, error = await client.submit(job, solution.extranonce2, solution.ntime, solution.nonce)

As the protocol wants it, a new difficulty or extranonce holds from the next job on.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from chains.primitives.hashes import POW_HASHES
from pool.mining_client.search import NONCES, SEARCHES
from pool.mining_client.work import Job, WorkError, header_for, parse_notify

__all__ = [
    "Job",
    "LoginRefusedError",
    "Refusal",
    "Solution",
    "StratumClient",
    "StratumError",
    "header_for",
]

MAX_LINE_BYTES = 1_048_576  # a notify of a full block has about 2 kB; mining.get_transactions answers are longer
MAX_WAITING_JOBS = 1000  # nobody reads them all; the oldest go first
WANTED_VERSION_MASK = 0x1FFFE000  # BIP320
# Nonces between two looks at the loop, about 2 ms each, so that a pool in the same process goes on answering.
SLICE = {"sha256d": 2000, "scrypt": 5}


class StratumError(Exception):
    """The connection ended or the pool does not speak the protocol."""


class LoginRefusedError(StratumError):
    """The pool refuses this user; trying again would not help."""


class Refusal(NamedTuple):
    """The error of an answer: code (20 to 25, or -3 for an unknown method) and text."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Solution:
    """A find: what to submit, the header's proof-of-work hash (natural order) and whether it is a parent block."""

    extranonce2: bytes
    ntime: int
    nonce: int
    version_bits: int | None
    pow_hash: bytes
    is_block: bool


class StratumClient:
    """One connection. `jobs` is a queue of every job in order; `difficulty`, `extranonce1`, `extranonce2_size` and
    `version_mask` are the present terms (a job carries those it came under). `messages` keeps what the pool showed.

    With `version_rolling` false the connection asks for none. `say` is called with a sentence for people.
    """

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        password: str = "x",
        *,
        algorithm: str = "sha256d",
        version_rolling: bool = True,
        timeout_s: float = 15.0,
        user_agent: str = "parapool-miner/0.1",
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.host, self.port, self.user = host, port, user
        self.algorithm = algorithm
        self.jobs: asyncio.Queue[Job] = asyncio.Queue()
        self.difficulty = 1.0
        self.extranonce1 = b""
        self.extranonce2_size = 4
        self.version_mask = 0
        self.messages: list[str] = []
        self.closed = asyncio.Event()
        self.close_reason = ""
        self.reconnect_wanted: tuple[int, float] | None = None  # port and seconds to wait, once the pool asked
        self._password = password
        self._version_rolling = version_rolling
        self._timeout_s = timeout_s
        self._user_agent = user_agent
        self._say = say or (lambda sentence: None)
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reader_task: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self) -> None:
        """Connect, negotiate version rolling, subscribe and log in. Raises OSError, StratumError, LoginRefusedError."""
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, self._writer = await asyncio.open_connection(self.host, self.port, limit=MAX_LINE_BYTES)
        except TimeoutError:
            raise StratumError(f"no connection within {self._timeout_s:g} s") from None
        self._reader_task = asyncio.create_task(self._read(reader))
        try:
            await self._handshake()
        except ValueError as error:
            await self.close()
            raise StratumError(f"the pool answered what is no Stratum: {error}") from error
        except BaseException:
            await self.close()
            raise

    async def _handshake(self) -> None:
        if self._version_rolling:
            options = {"version-rolling.mask": f"{WANTED_VERSION_MASK:08x}", "version-rolling.min-bit-count": 2}
            answer, _ = await self.request("mining.configure", ["version-rolling"], options)
            if isinstance(answer, dict) and answer.get("version-rolling") is True:
                self._take_version_mask([answer.get("version-rolling.mask")])
        answer, error = await self.request("mining.subscribe", self._user_agent)
        if error is not None:
            raise StratumError(f"the pool refuses to be subscribed to: {error.message} ({error.code})")
        if not isinstance(answer, list) or len(answer) < 3:
            raise StratumError("the answer to mining.subscribe is no list of three")
        self._take_extranonce(answer[1:3])
        answer, error = await self.request("mining.authorize", self.user, self._password)
        if error is not None or answer is not True:
            raise LoginRefusedError(f"{error.message} ({error.code})" if error is not None else "the login is refused")
        await self.request("mining.extranonce.subscribe")  # a pool without it answers an error, which is as good

    async def request(self, method: str, *params: Any) -> tuple[Any, Refusal | None]:
        """Result and error of any request. Raises StratumError when the connection ends or no answer comes."""
        if self._writer is None or self.closed.is_set():
            raise StratumError(self.close_reason or "not connected")
        request_id = next(self._ids)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answer
        self._send({"id": request_id, "method": method, "params": list(params)})
        try:
            async with asyncio.timeout(self._timeout_s):
                result, error = await answer
        except TimeoutError:
            raise StratumError(f"no answer to {method} within {self._timeout_s:g} s") from None
        finally:
            self._waiting.pop(request_id, None)
        return result, _refusal(error)

    async def next_job(self, timeout_s: float | None = None) -> Job:
        """The next job. Raises StratumError when the connection ends first, TimeoutError when the time is over."""
        job_task = asyncio.ensure_future(self.jobs.get())
        closed_task = asyncio.ensure_future(self.closed.wait())
        try:
            await asyncio.wait({job_task, closed_task}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if job_task.done():
                return job_task.result()
            if closed_task.done():
                raise StratumError(self.close_reason)
            raise TimeoutError(f"no job within {timeout_s} s")
        finally:
            job_task.cancel()
            closed_task.cancel()

    async def solve(
        self,
        job: Job,
        target: int | None = None,
        start_nonce: int = 0,
        *,
        extranonce2: bytes | None = None,
        version_bits: int | None = None,
        ntime: int | None = None,
    ) -> Solution:
        """The first nonce from `start_nonce` whose header meets the target, by default the job's share target. Runs in
        this process between the loop's other work. Raises ValueError when no nonce does."""
        target = job.share_target(self.algorithm) if target is None else target
        extranonce2 = bytes(job.extranonce2_size) if extranonce2 is None else extranonce2
        ntime = job.time if ntime is None else ntime
        head = header_for(job, job.extranonce1, extranonce2, ntime, 0, version_bits)[:76]
        size, search = SLICE[self.algorithm], SEARCHES[self.algorithm]
        for first in range(start_nonce, NONCES, size):
            _, found = search(head, target, first, size)
            if found:
                pow_hash = POW_HASHES[self.algorithm](head + found[0].to_bytes(4, "little"))
                is_block = int.from_bytes(pow_hash, "little") <= job.block_target()
                return Solution(extranonce2, ntime, found[0], version_bits, pow_hash, is_block)
            await asyncio.sleep(0)
        raise ValueError("no nonce meets the target")

    async def submit(
        self, job: Job | str, extranonce2: bytes, ntime: int, nonce: int, version_bits: int | None = None
    ) -> tuple[bool, Refusal | None]:
        """Send a share; whether it was accepted, and the error if not. Raises StratumError."""
        job_id = job if isinstance(job, str) else job.job_id
        params = [self.user, job_id, extranonce2.hex(), f"{ntime:08x}", f"{nonce:08x}"]
        if version_bits is not None:
            params.append(f"{version_bits:08x}")
        answer, error = await self.request("mining.submit", *params)
        return answer is True and error is None, error

    async def close(self) -> None:
        """End the connection; requests under way fail."""
        self._end("closed by us")
        if self._reader_task is not None:
            self._reader_task.cancel()
            await asyncio.gather(self._reader_task, return_exceptions=True)
            self._reader_task = None

    def _send(self, message: dict[str, Any]) -> None:
        if self._writer is not None:
            self._writer.write(json.dumps(message).encode() + b"\n")

    def _end(self, reason: str) -> None:
        if self.closed.is_set():
            return
        self.close_reason = reason
        self.closed.set()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(StratumError(reason))
        if self._writer is not None:
            self._writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        reason = "the pool closed the connection"
        try:
            while line := await reader.readline():
                self._take_line(line)
        except OSError as error:
            reason = f"connection lost: {error.strerror or type(error).__name__}"
        except (ValueError, RecursionError) as error:  # a line that is too long, no JSON, or no proper message
            reason = f"the pool sent what is no Stratum: {error}"
        finally:
            self._end(reason)

    def _take_line(self, line: bytes) -> None:
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("a line that is no object")
        if "method" in message:
            self._take_call(message)
            return
        waiting = self._waiting.get(message.get("id", -1)) if isinstance(message.get("id"), int) else None
        if waiting is not None and not waiting.done():
            waiting.set_result((message.get("result"), message.get("error")))

    def _take_call(self, message: dict[str, Any]) -> None:
        """What a pool sends unasked; anything unknown that wants an answer gets the error of an unknown method."""
        params = message.get("params")
        params = params if isinstance(params, list) else []
        result: Any = True
        match message["method"]:
            case "mining.notify":
                self._take_job(params)
            case "mining.set_difficulty":
                self._take_difficulty(params)
            case "mining.set_extranonce":
                self._take_extranonce(params)
            case "mining.set_version_mask":
                self._take_version_mask(params)
            case "client.show_message":
                text = "".join(c if c.isprintable() else " " for c in str(params[0] if params else ""))[:500]
                self.messages = [*self.messages[-99:], text]
                self._say(f"the pool says: {text}")
            case "client.reconnect":
                self._take_reconnect(params)
            case "client.get_version":
                result = self._user_agent
            case "mining.ping":
                result = "pong"
            case _:
                self._answer(message, None, [-3, "Method not found", None])
                return
        self._answer(message, result, None)

    def _answer(self, message: dict[str, Any], result: Any, error: Any) -> None:
        if message.get("id") is not None:
            self._send({"id": message["id"], "result": result, "error": error})

    def _take_job(self, params: list[Any]) -> None:
        try:
            job = parse_notify(
                params,
                difficulty=self.difficulty,
                extranonce1=self.extranonce1,
                extranonce2_size=self.extranonce2_size,
                version_mask=self.version_mask,
            )
        except WorkError as error:
            raise ValueError(f"mining.notify: {error}") from error
        if self.jobs.qsize() >= MAX_WAITING_JOBS:
            self.jobs.get_nowait()
        self.jobs.put_nowait(job)

    def _take_difficulty(self, params: list[Any]) -> None:
        value = params[0] if params else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            raise ValueError("mining.set_difficulty without a difficulty")
        self.difficulty = float(value)

    def _take_extranonce(self, params: list[Any]) -> None:
        extranonce1, size = [*params, None, None][:2]
        if not isinstance(extranonce1, str) or type(size) is not int or not 1 <= size <= 16:
            raise ValueError("an extranonce that is none")
        self.extranonce1, self.extranonce2_size = bytes.fromhex(extranonce1), size

    def _take_version_mask(self, params: list[Any]) -> None:
        text = params[0] if params else None
        if not isinstance(text, str) or len(text) > 8:
            raise ValueError("a version mask that is none")
        self.version_mask = int(text, 16) & 0xFFFFFFFF

    def _take_reconnect(self, params: list[Any]) -> None:
        """Only to the same host: a redirected miner is a stolen miner (BGP hijack of 2014)."""
        host, port, wait_s = [*params, None, None, None][:3]
        if host not in (None, "", self.host):
            self._say("the pool asked to reconnect to another host; ignored")
            return
        port = int(port) if isinstance(port, int | str) and str(port).isdigit() and 0 < int(port) < 65536 else self.port
        wait_s = float(wait_s) if isinstance(wait_s, int | float) and 0 <= wait_s <= 600 else 0.0
        self.reconnect_wanted = (port, wait_s)
        self._end("the pool asked to reconnect")


def _refusal(error: Any) -> Refusal | None:
    """The error of an answer in any of the forms that pools use."""
    if error is None or error is False:
        return None
    if isinstance(error, list) and len(error) >= 2 and isinstance(error[0], int):
        return Refusal(error[0], str(error[1])[:300])
    if isinstance(error, dict) and isinstance(error.get("code"), int):
        return Refusal(error["code"], str(error.get("message", ""))[:300])
    return Refusal(20, str(error)[:300])
