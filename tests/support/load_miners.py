"""Thousands of miners in one process, cheap enough to share a machine with the pool that they load.

    python load_miners.py PORT [HASHES]

Each has a hashrate of its own and sends shares at Poisson's times, which it really finds: difficulties are so low that
one is a few dozen hashes. A command is a line of JSON on the standard input, and is answered by one:

    {"do": "add", "count": 1000, "share_s": 15, "port": 3333}   so many more, a share in so many seconds to begin with;
                                                                with "network": "127.1" from 200 addresses of it
    {"do": "storm", "count": 500}                               so many hang up at once and come back
    {"do": "drop"}                                              all leave
    {"do": "report"}                                            what happened since the last report: Tally

A share that is refused as stale is explained when a job on another tip came between sending it and EXPLAINED_S after
the answer; every other refusal is kept with its words. HASHES is a file that gets 33 bytes for each answer: A
(accepted), S (stale) or R (refused otherwise), and the share's hash.
"""

from __future__ import annotations

import errno
import heapq
import json
import os
import random
import resource
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

sys.path.insert(0, str(Path(__file__).parents[2]))

from chains.primitives.share_kernel import ShareKernel, target_bytes
from chains.primitives.target import difficulty_to_target

START_DIFFICULTY = 2.0**-28  # 16 hashes a share
SPREAD = 1.0  # of the miners' hashrates: e to the power of a normal variable, halved and doubled at one deviation
EXPLAINED_S = 5.0
CONNECTS_AT_ONCE = 200
AGAIN_S = 0.5
STALE = 21
KEPT_WORDS = 20
LOGIN = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"


class Job:
    """A notify, read once for all that got the same bytes."""

    __slots__ = ("clean", "job_id", "kernel", "ntime", "previous_hash_hex", "version")

    def __init__(self, params: list[Any]) -> None:
        self.job_id, self.previous_hash_hex, first, second, branch, version, bits, ntime, self.clean = params
        words = bytes.fromhex(self.previous_hash_hex)
        previous = b"".join(words[at : at + 4][::-1] for at in range(0, 32, 4))
        self.kernel = ShareKernel(
            bytes.fromhex(first), bytes.fromhex(second), 8, bytes.fromhex("".join(branch)), previous, int(bits, 16)
        )
        self.version = int(version, 16)
        self.ntime = int(ntime, 16)


class Tally:
    """Since the last report. `tips` has, by previous hash as miners see it: miners reached, first and last time
    (monotonic). `late` are shares refused as stale and explained, `unexplained` the words of all other refusals.
    `behind_s` is how late the latest share was sent: a load that cannot keep up measures itself."""

    def __init__(self) -> None:
        self.accepted = self.late = self.sent = self.lost = self.ended = self.set_difficulty = self.logins = 0
        self.unexplained_count = 0
        self.unexplained: list[str] = []
        self.answers_ms: list[float] = []
        self.behind_s = 0.0
        self.tips: dict[str, list[float]] = {}
        self.intervals: list[float] = []

    def values(self) -> dict[str, Any]:
        answers = sorted(self.answers_ms)
        kept = {name: getattr(self, name) for name in (
            "accepted", "late", "sent", "lost", "ended", "set_difficulty", "logins", "unexplained_count", "unexplained",
            "tips", "behind_s",
        )}  # fmt: skip
        for name, part in (("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999)):
            kept[name] = round(answers[int(part * (len(answers) - 1))], 3) if answers else None
        return kept


class Miner:
    __slots__ = (
        "buffer", "clean_at", "difficulty", "due_s", "ends", "extranonce1", "extranonce2", "job", "name", "pending",
        "port", "ready", "refused", "request", "share_s", "socket", "source",
    )  # fmt: skip

    def __init__(self, port: int, name: str, share_s: float, source: str = "") -> None:
        self.port, self.name, self.share_s, self.source = port, name, share_s, source
        self.extranonce2 = 0
        self.ends = False
        self.forget()

    def forget(self) -> None:
        """As before it connected."""
        self.socket: socket.socket | None = None
        self.buffer = b""
        self.job: Job | None = None
        self.difficulty = START_DIFFICULTY
        self.extranonce1 = b""
        self.pending: dict[int, tuple[float, bytes]] = {}
        self.refused: list[tuple[float, float, str]] = []
        self.request = 10
        self.ready = False
        self.clean_at = 0.0
        self.due_s = 0.0


class Load:
    """`port` is of new miners; `hashes` gets what was answered to which share."""

    def __init__(self, port: int, hashes: BinaryIO | None = None, seed: int = 1) -> None:
        self.port = port
        self.miners: list[Miner] = []
        self.tally = Tally()
        self._hashes = hashes
        self._chance = random.Random(seed)
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, Miner] = {}
        self._due: list[tuple[float, int, Miner]] = []
        self._waiting: list[tuple[float, int, Miner]] = []
        self._count = 0
        self._connecting = 0
        self._jobs: dict[bytes, Job] = {}
        self._targets: dict[float, bytes] = {}

    # -- commands -------------------------------------------------------------------------------------------------

    def add(self, count: int, share_s: float, port: int | None = None, network: str = "") -> None:
        for _ in range(count):
            number = len(self.miners)
            spread = 2.0 ** max(-2.0, min(2.0, self._chance.gauss(0.0, SPREAD)))
            source = f"{network}.{number % 4}.{1 + number // 4 % 50}" if network else ""
            miner = Miner(port or self.port, f"{LOGIN}.w{number % 1000}", share_s * spread, source)
            self.miners.append(miner)
            self._wait(miner, 0.0)

    def storm(self, count: int) -> None:
        for miner in self._chance.sample(self.miners, min(count, len(self.miners))):
            self._hang_up(miner)
            self._wait(miner, 0.0)

    def drop(self) -> None:
        for miner in self.miners:
            miner.ends = True
            self._hang_up(miner)
        self.miners.clear()

    def report(self) -> dict[str, Any]:
        now = time.monotonic()
        for miner in self.miners:
            self._judge_refusals(miner, now)
        values = self.tally.values()
        values["ready"] = sum(miner.ready for miner in self.miners)
        values["miners"] = len(self.miners)
        self.tally = Tally()
        if self._hashes is not None:
            self._hashes.flush()
        return values

    # -- connections ----------------------------------------------------------------------------------------------

    def turn(self, most_s: float = 0.02) -> None:
        """Waits so long at most, and does what is due."""
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now and self._connecting < CONNECTS_AT_ONCE:
            miner = heapq.heappop(self._waiting)[2]
            if not miner.ends:
                self._connect(miner)
        wait_s = max(0.0, min(most_s, self._due[0][0] - now)) if self._due else most_s
        for descriptor, event in self._epoll.poll(wait_s, 512):
            found = self._by_descriptor.get(descriptor)
            if found is not None:
                self._event(found, event)
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            due_s, _, miner = heapq.heappop(self._due)
            if miner.ready and miner.due_s == due_s:
                self.tally.behind_s = max(self.tally.behind_s, now - due_s)
                self._share(miner, now)
                self._next(miner, now)

    def _wait(self, miner: Miner, for_s: float) -> None:
        self._count += 1
        heapq.heappush(self._waiting, (time.monotonic() + for_s, self._count, miner))

    def _connect(self, miner: Miner) -> None:
        miner.forget()
        made = miner.socket = socket.socket()
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if miner.source:
            made.bind((miner.source, 0))
        code = made.connect_ex(("127.0.0.1", miner.port))
        if code not in (0, errno.EINPROGRESS):
            made.close()
            miner.socket = None
            self._wait(miner, AGAIN_S)
            return
        self._connecting += 1
        self._by_descriptor[made.fileno()] = miner
        self._epoll.register(made.fileno(), select.EPOLLOUT)

    def _event(self, miner: Miner, event: int) -> None:
        assert miner.socket is not None
        if event & select.EPOLLOUT:
            self._connecting -= 1
            self._epoll.modify(miner.socket.fileno(), select.EPOLLIN)
            miner.request = 11
            self._send(miner, (
                b'{"id":1,"method":"mining.subscribe","params":["load/1"]}\n'
                b'{"id":2,"method":"mining.authorize","params":["%b","x"]}\n' % miner.name.encode()
            ))  # fmt: skip
            return
        try:
            data = miner.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            if miner.ready:
                self.tally.ended += 1
            self._hang_up(miner)
            self._wait(miner, AGAIN_S * (1 + self._chance.random()))
            return
        lines = (miner.buffer + data).split(b"\n")
        miner.buffer = lines.pop()
        now = time.monotonic()
        for line in lines:
            self._line(miner, line, now)

    def _hang_up(self, miner: Miner) -> None:
        if miner.socket is not None:
            descriptor = miner.socket.fileno()
            self._by_descriptor.pop(descriptor, None)
            if miner.request == 10:
                self._connecting -= 1
            self._epoll.unregister(descriptor)
            miner.socket.close()
            self._judge_refusals(miner, time.monotonic(), over=True)
            self.tally.lost += len(miner.pending)
        miner.forget()

    def _send(self, miner: Miner, data: bytes) -> None:
        assert miner.socket is not None
        try:
            miner.socket.send(data)  # a kernel's buffer holds thousands of lines: it takes a line whole or breaks
        except OSError:
            return  # the end of the connection is noticed by reading

    # -- lines ----------------------------------------------------------------------------------------------------

    def _line(self, miner: Miner, line: bytes, now: float) -> None:
        if b'"method":"mining.notify"' in line:
            job = self._jobs.get(line)
            if job is None:
                job = self._jobs[line] = Job(json.loads(line)["params"])
                while len(self._jobs) > 64:
                    del self._jobs[next(iter(self._jobs))]
            if miner.job is None or miner.job.previous_hash_hex != job.previous_hash_hex:
                if miner.job is not None:
                    tip = self.tally.tips.setdefault(job.previous_hash_hex, [0, now, now])
                    tip[0] += 1
                    tip[2] = now
                miner.clean_at = now
            miner.job = job
            if not miner.ready and miner.extranonce1:
                miner.ready = True
                self.tally.logins += 1
                self._next(miner, now)
            return
        message = json.loads(line)
        if message.get("method") == "mining.set_difficulty":
            miner.difficulty = float(message["params"][0])
            self.tally.set_difficulty += 1
            if miner.ready:
                self._next(miner, now)
            return
        number = message.get("id")
        if number == 1 and "result" in message:
            miner.extranonce1 = bytes.fromhex(message["result"][1])
        if number not in miner.pending:
            return
        sent_at, header_hash = miner.pending.pop(number)
        self.tally.answers_ms.append(1000 * (now - sent_at))
        kind = b"A"
        if message["result"] is True:
            self.tally.accepted += 1
        else:
            kind = b"S" if message["error"][0] == STALE else b"R"
            miner.refused.append((sent_at, now, json.dumps(message["error"])))
            self._judge_refusals(miner, now)
        if self._hashes is not None:
            self._hashes.write(kind + header_hash)

    def _judge_refusals(self, miner: Miner, now: float, over: bool = False) -> None:
        left = []
        for sent_at, answered_at, words in miner.refused:
            if not words.startswith(f"[{STALE},"):
                self._unexplained(words)
            elif miner.clean_at > sent_at or over:
                self.tally.late += 1
            elif now - answered_at > EXPLAINED_S:
                self._unexplained(words)
            else:
                left.append((sent_at, answered_at, words))
        miner.refused = left

    def _unexplained(self, words: str) -> None:
        self.tally.unexplained_count += 1
        if len(self.tally.unexplained) < KEPT_WORDS:
            self.tally.unexplained.append(words)

    # -- shares ---------------------------------------------------------------------------------------------------

    def _next(self, miner: Miner, now: float) -> None:
        mean_s = miner.share_s * miner.difficulty / START_DIFFICULTY
        miner.due_s = now + self._chance.expovariate(1.0 / mean_s)
        self._count += 1
        heapq.heappush(self._due, (miner.due_s, self._count, miner))

    def _share(self, miner: Miner, now: float) -> None:
        job = miner.job
        assert job is not None
        target = self._targets.get(miner.difficulty)
        if target is None:
            made = target_bytes(difficulty_to_target(miner.difficulty, "sha256d"))
            target = self._targets[miner.difficulty] = made
        miner.extranonce2 += 1
        extranonce2 = miner.extranonce2.to_bytes(4, "big")
        judge, nonce, met = job.kernel.judge, -1, 0
        while not met & 1:
            nonce += 1
            header_hash, met = judge(
                miner.extranonce1, extranonce2, job.version, job.ntime, nonce, target, target
            )
        miner.request += 1
        miner.pending[miner.request] = (time.monotonic(), header_hash)
        self.tally.sent += 1
        self._send(miner, b'{"id":%d,"method":"mining.submit","params":["%b","%b","%b","%08x","%08x"]}\n' % (
            miner.request, miner.name.encode(), job.job_id.encode(), extranonce2.hex().encode(), job.ntime, nonce
        ))  # fmt: skip


def main() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    hashes = open(sys.argv[2], "ab") if len(sys.argv) > 2 else None  # noqa: SIM115  for the life of the process
    load = Load(int(sys.argv[1]), hashes)
    os.set_blocking(0, False)
    held = b""
    while True:
        load.turn()
        try:
            data = os.read(0, 65536)
        except BlockingIOError:
            continue
        if not data:
            return 0
        *lines, held = (held + data).split(b"\n")
        for line in lines:
            words = json.loads(line)
            what = words.pop("do")
            answer = load.report() if what == "report" else getattr(load, what)(**words)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.exit(main())
