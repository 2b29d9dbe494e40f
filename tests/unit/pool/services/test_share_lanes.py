"""Lanes beside their twin in Python: the same bytes in, the same answers, records and figures out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from support.job_factory import KINDS, JobFactory, aux_template, parent_template

from chains.bitcoin.block import BitcoinKind
from chains.families import network
from pool.blocks.solution_store import SolutionStore
from pool.services import share_lanes
from pool.services.block_submission import BlockSubmission
from pool.services.scheme_board import SchemeBoard
from pool.services.share_intake import ShareIntake
from pool.shares.record import BEGINNING
from pool.shares.share_log import ShareLog
from stratum.addresses import AddressBook
from stratum.connection import Connection
from stratum.extranonce import ExtranonceAllocator
from stratum.limits import Limits
from stratum.offer import PortPolicy
from stratum.server import StratumServer
from stratum.vardiff import Vardiff

REGTEST = network("bitcoin", "regtest")
NETWORKS = {"regbtc": REGTEST} | {chain: network("devnet", "regtest") for chain in KINDS}
ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
EVERY_HASH, EVERY_OTHER = 1e-12, 2.0**-31  # difficulties that every hash, and every other one, meets
NOW_S = 1_700_000_000
OTHER_KINDS = [
    "again", "job", "time", "version", "bits", "hex", "length", "words", "text", "worker", "nobody's hex",
    "nobody's job", "other", "garbage", "spelling", "case", "ping", "text id",
]  # fmt: skip


class Wire:
    """A connection's transport over one end of a pair of sockets."""

    dataBuffer = b""
    _tempDataLen = 0
    connected = True
    disconnecting = False
    unsent_bytes = drained_bytes = 0

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.theirs.setblocking(False)
        self.reader: Any = None
        self.lines: list[dict[str, Any]] = []
        self._held = b""
        self.protocol: Connection

    def fileno(self) -> int:
        return self.ours.fileno()

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    setTcpKeepAlive = setTcpNoDelay

    def read_through(self, reader: Any) -> None:
        self.reader = reader

    def readable(self) -> None:
        if self.reader is not None:
            self.reader()
        else:
            self.take(self.ours.recv(12288))

    def take(self, data: bytes | None) -> None:
        if data:
            self.protocol.dataReceived(data)
        else:
            self.abortConnection()

    def write(self, data: bytes) -> None:
        if self.dataBuffer:
            self.dataBuffer += data
        elif self.reader is not None:
            self.dataBuffer = b"" if self.reader.send(data) else self.reader.left()
        else:
            assert self.ours.send(data) == len(data)

    def catch_up(self) -> None:
        if self.dataBuffer or not self.reader.send(b""):
            self.dataBuffer += self.reader.left()

    def drain(self) -> None:
        """What Twisted does when the socket is writable again."""
        with contextlib.suppress(BlockingIOError):
            self.dataBuffer = self.dataBuffer[self.ours.send(self.dataBuffer) :]

    def pauseProducing(self) -> None:
        pass

    resumeProducing = pauseProducing

    def loseConnection(self) -> None:
        self.disconnecting = True

    def abortConnection(self) -> None:
        if self.connected:
            self.connected = False
            self.protocol.connectionLost()

    def hear(self) -> None:
        try:
            *lines, self._held = (self._held + self.theirs.recv(1 << 20)).split(b"\n")
        except BlockingIOError:
            return
        self.lines += [json.loads(line) for line in lines]

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


class World:
    """A pool of two chains, with lanes or without."""

    def __init__(self, folder: Any, native: bool, difficulty: float = EVERY_HASH, schemes: SchemeBoard | None = None,
                 segment_bytes: int = 20_000, limits: Limits | None = None) -> None:  # fmt: skip
        self.native = native
        self.errors: list[BaseException] = []
        self.jobs = JobFactory()
        self.log = ShareLog(
            folder / "shares", loop=asyncio.get_running_loop(), on_durable=lambda n: self.intake.on_durable(n),
            on_error=self.errors.append, segment_bytes=segment_bytes,
        )  # fmt: skip
        nodes: dict[str, list[Any]] = {chain: [] for chain in NETWORKS}
        self.blocks = BlockSubmission(SolutionStore(folder / "solutions"), nodes, KINDS, BitcoinKind(), "regbtc")
        self.intake = ShareIntake(
            self.jobs.table, self.log, self.blocks, NETWORKS, "regbtc", "sha256d", None, schemes
        )
        limits = limits or Limits(exempt_loopback=True)
        policy = PortPolicy(difficulty, difficulty, 1e6, share_interval_s=1.0, vardiff=False, realm="here")
        self.server = StratumServer(
            self.intake.facing(4), policy, limits, extranonces=ExtranonceAllocator(7, bytes(32)),
            addresses=AddressBook(limits, time.monotonic()),
        )  # fmt: skip
        if native:
            self.server.lanes = lambda c: self.intake.desk.lane(c, c.transport, c.session, c.transport.fileno())
        loop = asyncio.get_running_loop()
        self.server.reactor = SimpleNamespace(callLater=lambda seconds, call, *a: loop.call_later(seconds, call, *a))
        self.wires: list[Wire] = []

    def job(self, aux_target: int = 0, tip: int = 1, **options: Any) -> Any:
        parent = parent_template(target=0, previous_hash=bytes([tip]) * 32)
        return self.jobs.make(parent, aux_template("alpha", target=aux_target), **options)

    def connect(self) -> Wire:
        wire = Wire()
        connection = self.server.admit("127.0.0.1", self.server.policy)
        assert connection is not None
        wire.protocol = connection
        connection.makeConnection(wire)  # type: ignore[arg-type]
        self.wires.append(wire)
        for number, method, params in (
            (1, "mining.configure", [["version-rolling"], {"version-rolling.mask": "1fffe000"}]),
            (2, "mining.subscribe", ["test/1"]),
            (3, "mining.authorize", [ADDRESS + ".rig", "x"]),
        ):
            self.send(wire, json.dumps({"id": number, "method": method, "params": params}).encode() + b"\n")
        wire.hear()
        assert any(line.get("method") == "mining.notify" for line in wire.lines)
        return wire

    def send(self, wire: Wire, data: bytes) -> None:
        wire.theirs.send(data)
        wire.readable()

    async def first_share(self, wire: Wire, job: Any) -> None:
        """The one by which the log learns of the login's route, which is Python's."""
        self.send(wire, line(4, job, 0))
        await self.settle()
        assert not len(self.intake.desk)

    async def settle(self) -> None:
        async with asyncio.timeout(20):
            while self.log.pending or self.log.durable_sequence < self.log.appended_sequence or self.log._gathered:
                await asyncio.sleep(0.001)
                self.log._look()
        await asyncio.sleep(0.01)
        for wire in self.wires:
            if wire.ours.fileno() >= 0:
                wire.hear()

    def state(self) -> dict[str, Any]:
        """Whatever the two ways have to agree about."""
        intake, counters = self.intake, self.server.counters
        intake.tally.fold()
        sessions = [wire.protocol.session for wire in self.wires]
        return {
            "log": [
                (s.share.sequence, s.route, s.share.worker, s.share.weight, s.share.chains, s.share.header_hash,
                 s.share.stale, s.share.solved) for s in self.log.read_from(BEGINNING)
            ],
            "answers": [sorted(map(json.dumps, wire.lines)) for wire in self.wires],
            "intake": (intake.accepted, intake.accepted_work, intake.rejected),
            "unseen": (intake.expected_solves, intake.seen_solves),
            "tally": (intake.tally.expected, intake.tally.expected_near, intake.tally.near),
            "counters": (counters.messages, counters.accepted, counters.accepted_by_rtt, counters.rejected,
                         counters.stale_by_rtt, counters.bans, counters.parse_errors),
            "sessions": [
                (s.standing.address.shares, s.standing.address.invalid_weight, s.closed, s._invalid_run._weight,
                 s._invalid_run._step, s._invalid_run._since is None, len(s._lines)) for s in sessions
            ],
            "seen": len(self.jobs.table.tip.seen) if self.jobs.table.tip else 0,
        }  # fmt: skip

    async def close(self) -> None:
        for wire in self.wires:
            wire.abortConnection()
            wire.close()
        await asyncio.get_running_loop().run_in_executor(None, self.log.close)
        await self.blocks.drain(1)
        assert not self.errors


def line(number: Any, job: Any, noise: int, **changes: Any) -> bytes:
    fields = {
        "worker": ADDRESS + ".rig", "job_id": job if isinstance(job, str) else job.job_id, "extranonce2": "05060708",
        "ntime": f"{NOW_S + 60:08x}", "nonce": f"{noise:08x}",
    } | changes  # fmt: skip
    return json.dumps({"id": number, "method": "mining.submit", "params": list(fields.values())}).encode() + b"\n"


def stream(chance: random.Random, jobs: list[Any], count: int) -> list[bytes]:
    """Lines of all kinds that miners send, most of them ordinary shares."""
    lines: list[bytes] = []
    for number in range(10, 10 + count):
        job, nonce = chance.choice(jobs), chance.randrange(1 << 32)
        kind = chance.choice(["plain"] * 60 + OTHER_KINDS)
        made = {
            "plain": line(number, job, nonce),
            "job": line(number, "77", nonce),
            "time": line(number, job, nonce, ntime="00000001"),
            "version": line(number, job, nonce, bits="00000001"),
            "bits": line(number, job, nonce, bits="1fffe000"),
            "hex": line(number, job, nonce, nonce="0000000g"),
            "length": line(number, job, nonce, extranonce2="0506"),
            "words": line(number, job, nonce, ntime="6500000"),
            "text": line(number, job, nonce, bits="1fffe00 "),
            "worker": line(number, job, nonce, worker="nobody"),
            "nobody's hex": line(number, job, nonce, worker="nobody", extranonce2="05060 08"),
            "nobody's job": line(number, "77", nonce, worker=""),
            "other": line(number, job, nonce, extranonce2=f"{nonce:08X}"),
            "garbage": b"{]\n",
            "spelling": line(number, job, nonce).replace(b"rig", b"r\\u0069g"),
            "case": line(number, job.job_id.upper(), nonce).replace(b"\n", b"\r\n"),
            "ping": json.dumps({"id": number, "method": "mining.ping", "params": []}).encode() + b"\n",
            "text id": line(f"n{number}", job, nonce),
        }
        lines.append(chance.choice(lines) if kind == "again" and lines else made.get(kind, made["plain"]))
    return lines


def pieces(chance: random.Random, data: bytes) -> list[bytes]:
    cuts = sorted(chance.randrange(len(data)) for _ in range(len(data) // 300))
    if chance.random() < 0.7:  # most packets end where a line does
        cuts = [data.find(b"\n", cut) + 1 for cut in cuts]
    bounds = [0, *cuts, len(data)]
    return [data[a:b] for a, b in itertools.pairwise(bounds) if b > a]


@pytest.mark.parametrize("seed", range(6))
async def test_share_lanes_agree_with_python_on_whatever_miners_send(tmp_path, monkeypatch, seed):
    bought = {"here": {"regbtc": "solo"}} if seed % 2 else None
    difficulty = EVERY_OTHER if seed % 3 == 1 else EVERY_HASH
    states, taken, append = [], [], ShareLog.append
    monkeypatch.setattr(ShareLog, "append", lambda *a, **k: taken.append(1) or append(*a, **k))
    for native in (True, False):
        chance = random.Random(seed)
        world = World(tmp_path / str(native), native, difficulty, SchemeBoard(bought))  # type: ignore[arg-type]
        jobs = [world.job()]
        wires = [world.connect() for _ in range(3)]
        for turn in range(8):
            if turn == 3:
                jobs.append(world.job(now=time.monotonic()))
            if turn == 5:  # one that every thousandth share comes near to
                jobs.append(world.job(aux_target=2**256 // 100_000))
            if turn == 7:  # the tip moves: what is left of the others is stale
                jobs.append(world.job(tip=2))
            for wire in wires:
                for piece in pieces(chance, b"".join(stream(chance, jobs, 25))):
                    world.send(wire, piece)
            if turn % 2:
                await world.settle()
        await world.settle()
        states.append(world.state())
        await world.close()
        if native:
            by_python, total = len(taken), len(states[0]["log"])
            assert 0 < by_python < 0.75 * total, "both ways were taken"
    for key, value in states[0].items():
        assert value == states[1][key], key


WRONG = {
    "stale": dict(job=0), "unknown_job": dict(job_id="77"), "time_out_of_range": dict(ntime="00000001"),
    "version_bits": dict(bits="00000001"), "duplicate": dict(noise=1), "unauthorized": dict(worker="nobody"),
    "other": dict(extranonce2="0506070g"), "low_difficulty": {},
}  # fmt: skip


@pytest.mark.parametrize("reason", WRONG)
async def test_share_lanes_refuse_the_common_wrongs_without_python(tmp_path, monkeypatch, reason):
    said = []
    for native in (True, False):
        world = World(tmp_path / str(native), native)
        jobs = [world.job(), world.job(tip=2)]
        wire = world.connect()
        await world.first_share(wire, jobs[1])
        world.send(wire, line(5, jobs[1], 1))
        await world.settle()
        if reason == "low_difficulty":
            world.intake._targets[EVERY_HASH] = (2**200, 1, (2**200).to_bytes(32, "little"))
        changes = {"noise": 2, "job": 1} | WRONG[reason]
        if native:
            monkeypatch.setattr(world.intake, "submit", None)
        before = len(wire.lines)
        world.send(wire, line(6, jobs[changes.pop("job")], changes.pop("noise"), **changes))
        wire.hear()
        assert len(wire.lines) == before + 1 and wire.lines[-1]["error"]
        assert list(world.server.counters.rejected) == [reason]
        said.append(world.state())
        await world.close()
    assert said[0] == said[1]


LADDERS = {
    "bans": Limits(exempt_loopback=False, ban_shares=20),
    "halves": Limits(exempt_loopback=False, ban_shares=10, ban_invalid_fraction=1.0),
    "steps": Limits(exempt_loopback=True, invalid_run_shares=3.0, invalid_fresh_job_s=0.0),
    "reconnects": Limits(exempt_loopback=True, invalid_fresh_job_s=1e3, invalid_reconnect_s=0.0, invalid_drop_s=1e4),
    "drops": Limits(exempt_loopback=True, invalid_run_shares=9.0, invalid_drop_s=0.0),
    "never": Limits(exempt_loopback=True),
}


@pytest.mark.parametrize("which", LADDERS)
async def test_share_lanes_climb_the_ladder_that_python_climbs(tmp_path, which):
    """Nothing but wrong lines, one by one: the same answers, and the end at the same line."""
    states, ended = [], []
    for native in (True, False):
        chance = random.Random(7)
        world = World(tmp_path / str(native), native, EVERY_OTHER, limits=LADDERS[which])
        jobs = [world.job(), world.job(tip=2)]
        wires = [world.connect() for _ in range(2)]
        for wire in wires:
            await world.first_share(wire, jobs[1])
        for number in range(10, 50):
            for wire in wires:
                kind = chance.choice(["job", "stale", "time", "hex", "worker", "good"] if number < 30 else ["time"])
                nonce = chance.randrange(1 << 32)
                changes = {"job": {"job_id": "77"}, "time": {"ntime": "00000001"}, "hex": {"nonce": "x" * 8},
                           "worker": {"worker": "nobody"}}.get(kind, {})  # fmt: skip
                if wire.protocol.session.closed is None:
                    world.send(wire, line(number, jobs[kind != "stale"], nonce, **changes))
            await world.settle()  # what is under way when a session ends is answered by lanes only
        await world.settle()
        states.append(world.state())
        ended.append({wire.protocol.session.closed for wire in wires})
        await world.close()
    for key, value in states[0].items():
        assert value == states[1][key], key
    assert ended[0] == {"bans": {"banned"}, "drops": {"invalid_shares"}}.get(which, {None})


@pytest.mark.parametrize("seed", range(4))
async def test_share_lanes_agree_with_python_on_damaged_lines(tmp_path, seed):
    states = []
    for native in (True, False):
        chance = random.Random(seed)
        limits = Limits(exempt_loopback=True, malformed_lines=1000)
        world = World(tmp_path / str(native), native, limits=limits)
        jobs = [world.job(), world.job(tip=2)]
        wire = world.connect()
        await world.first_share(wire, jobs[1])
        for number in range(10, 260):
            worker = chance.choice([ADDRESS + ".rig"] * 3 + ["nobody"])
            made = line(number, chance.choice(jobs), chance.randrange(1 << 32), worker=worker, bits="00002000")
            data = bytearray(made[:-1])
            for _ in range(chance.choice([0, 1, 1, 2])):
                at, byte = chance.randrange(len(data)), chance.choice(b'0aFg "\\,:[]{}\t\x7f\xc3')
                match chance.randrange(3):
                    case 0:
                        data[at] = byte
                    case 1:
                        data.insert(at, byte)
                    case _:
                        del data[at]
            if wire.protocol.session.closed is None:
                world.send(wire, bytes(data) + b"\n")
            if number % 50 == 0:
                await world.settle()
        await world.settle()
        states.append(world.state())
        await world.close()
    for key, value in states[0].items():
        assert value == states[1][key], key


async def test_share_lanes_leave_what_may_be_good_under_the_former_extranonce_to_python(tmp_path):
    world = World(tmp_path, True, EVERY_OTHER)
    job = world.job()
    wire = world.connect()
    await world.first_share(wire, job)
    session, taken = wire.protocol.session, []
    submit = world.intake.submit
    world.intake.submit = lambda *a: taken.append(1) or submit(*a)  # type: ignore
    world.send(wire, line(9, job, 5, ntime="00000001"))
    assert not taken
    session._former_extranonce1, session._former_through = session.extranonce1, job.sequence
    world.send(wire, line(10, job, 5, ntime="00000001"))
    assert taken
    await world.close()


async def test_share_lanes_answer_what_is_durable_and_nothing_before(tmp_path, monkeypatch):
    world = World(tmp_path, True)
    job = world.job()
    wire = world.connect()
    await world.first_share(wire, job)
    hand_over = world.log._hand_over
    monkeypatch.setattr(ShareLog, "_hand_over", lambda log: None)
    world.send(wire, line(11, job, 1) + line(12, job, 2))
    await asyncio.sleep(0.02)
    wire.hear()
    assert len(world.intake.desk) == 2 and not [one for one in wire.lines if one.get("id") in (11, 12)]
    hand_over()
    await world.settle()
    assert [one["id"] for one in wire.lines if one.get("result") is True][-2:] == [11, 12]
    await world.close()


TRUE = b'{"id":%d,"result":true,"error":null}\n'


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def test_share_lanes_refuse_what_waits_for_a_log_that_failed(tmp_path, monkeypatch):
    world = World(tmp_path, True)
    job = world.job()
    wire, gone = world.connect(), world.connect()
    await world.first_share(wire, job)
    monkeypatch.setattr(ShareLog, "_hand_over", lambda log: None)
    world.send(wire, line(11, job, 1))
    world.send(gone, line(11, job, 2))
    gone.abortConnection()
    world.intake.refuse_waiting()
    wire.hear()
    assert wire.lines[-1]["error"][0] == 20 and "cannot store" in wire.lines[-1]["error"][1]
    assert world.intake.rejected == {"not_durable": 2} and not len(world.intake.desk)
    await world.close()


async def test_share_lanes_count_the_share_of_a_connection_that_is_gone(tmp_path):
    world = World(tmp_path, True)
    job = world.job()
    wire = world.connect()
    await world.first_share(wire, job)
    world.send(wire, line(11, job, 1))
    wire.abortConnection()
    await world.settle()
    assert world.intake.accepted == 2 and world.server.counters.accepted == 1
    wire.readable()  # the gate may still have had it in its turn
    await world.close()


def fill(wire: Wire) -> int:
    """The socket takes nothing more; how many bytes it took."""
    wire.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += wire.ours.send(b"." * 99 + b"\n")
    return sent


async def test_share_lanes_leave_a_full_socket_to_the_transport(tmp_path):
    world = World(tmp_path, True)
    job = world.job()
    wire = world.connect()
    await world.first_share(wire, job)
    fill(wire)
    world.send(wire, line(11, job, 1))
    await until(lambda: not len(world.intake.desk))
    wire.write(b"a job\n")
    world.send(wire, line(12, job, 2) + line(13, job, 2))
    await until(lambda: not len(world.intake.desk))
    assert wire.dataBuffer == b"".join(
        [TRUE % 11, b"a job\n", b'{"id":13,"result":null,"error":[22,"Duplicate share",null]}\n', TRUE % 12]
    )
    wire.theirs.recv(1 << 20)
    while wire.dataBuffer:
        wire.drain()
        wire.theirs.recv(1 << 20)
    world.send(wire, line(14, job, 4))
    await until(lambda: not len(world.intake.desk))
    assert wire.theirs.recv(1 << 20) == TRUE % 14 and not wire.dataBuffer
    world.send(wire, line(15, job, 5))
    await until(lambda: not world.log.pending and not len(world.intake.desk))
    assert wire.theirs.recv(1 << 20) == TRUE % 15
    await world.close()


async def test_share_lanes_keep_every_byte_in_order_with_a_reader_that_is_slow(tmp_path):
    """Two threads write to one socket that is nearly full all the time: whole lines arrive, each once."""
    world = World(tmp_path, True)
    job = world.job()
    wire = world.connect()
    await world.first_share(wire, job)
    wire.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    chance = random.Random(3)
    heard = b""
    for number in range(100, 1100):
        world.send(wire, line(number, job, number))
        if chance.random() < 0.5:
            wire.write(b'{"job":%d,"text":"%b"}\n' % (number, b"x" * chance.randrange(600)))
        if chance.random() < 0.3:
            await asyncio.sleep(0)
        if chance.random() < 0.1:
            await asyncio.sleep(0.002)
        with contextlib.suppress(BlockingIOError):
            heard += wire.theirs.recv(chance.randrange(1, 700))
        if wire.dataBuffer and chance.random() < 0.5:
            wire.drain()
    async with asyncio.timeout(20):
        while world.log.pending or len(world.intake.desk) or wire.dataBuffer or heard.count(b"result") < 1000:
            await asyncio.sleep(0.001)
            with contextlib.suppress(BlockingIOError):
                heard += wire.theirs.recv(1 << 20)
            wire.drain()
    lines = [json.loads(one) for one in heard.splitlines()]
    assert sorted(one["id"] for one in lines if "id" in one) == list(range(100, 1100))
    jobs = [one["job"] for one in lines if "job" in one]
    assert jobs == sorted(jobs) and len(jobs) > 300
    await world.close()


async def test_share_lanes_answer_nobody_else_by_a_descriptor_that_is_used_again(tmp_path, monkeypatch):
    world = World(tmp_path, True)
    job = world.job()
    wire = world.connect()
    await world.first_share(wire, job)
    hand_over = world.log._hand_over
    monkeypatch.setattr(ShareLog, "_hand_over", lambda log: None)
    world.send(wire, line(11, job, 1))
    descriptor = wire.fileno()
    wire.reader.hang_up()
    wire.ours.close()
    other, far = socket.socketpair()
    with other, far:
        assert descriptor in (other.fileno(), far.fileno())
        hand_over()
        await until(lambda: not len(world.intake.desk))
        for end in (other, far):
            end.setblocking(False)
            with pytest.raises(BlockingIOError):
                end.recv(100)
    assert world.intake.accepted == 2
    wire.connected = False
    wire.reader.close()
    await world.close()


async def test_share_lanes_answer_before_the_loop_hears_of_it(tmp_path, monkeypatch):
    """The disk's thread answers alone; what it answered is credited with the next shares, or soon."""
    world = World(tmp_path, True)
    job = world.job()
    wire = world.connect()
    await world.first_share(wire, job)
    look = ShareLog._look
    monkeypatch.setattr(ShareLog, "_look", lambda log: None)
    world.send(wire, line(11, job, 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # handed over
    heard = await asyncio.to_thread(blocking_read, wire)
    assert heard == TRUE % 11 and len(world.intake.desk) == 1 and world.intake.accepted == 1
    monkeypatch.setattr(ShareLog, "_look", look)
    await until(lambda: world.intake.accepted == 2)  # nobody sends anything
    assert world.server.counters.accepted == 2
    await world.close()


async def test_share_lanes_time_answers_by_when_they_left(tmp_path):
    world = World(tmp_path, True)
    job = world.job()
    wire = world.connect()
    await world.first_share(wire, job)
    began = time.monotonic()
    world.send(wire, line(11, job, 1))
    await until(lambda: not len(world.intake.desk))
    assert began < world.log.answered_at_s < time.monotonic() and not world.intake._timed_sequence
    await world.close()


def blocking_read(wire: Wire) -> bytes:
    with socket.socket(fileno=os.dup(wire.theirs.fileno())) as other:
        other.settimeout(10)
        try:
            return other.recv(1000)
        finally:
            other.setblocking(False)


async def test_share_lanes_hand_the_end_of_a_connection_on(tmp_path):
    world = World(tmp_path, True)
    world.job()
    wire = world.connect()
    wire.theirs.close()
    wire.readable()
    assert not wire.connected and wire.protocol not in world.server.connections
    await world.close()


@pytest.mark.parametrize("searching", [True, False])
async def test_share_lanes_let_vardiff_count_and_decide(tmp_path, searching):
    """Each share is evidence, as it would be to Python; the one that an evaluation is due with is Python's."""
    world = World(tmp_path, True)
    world.server.policy = PortPolicy(EVERY_HASH, 1e-13, 1e6, share_interval_s=4.0, realm="here")
    job = world.job()
    wire = world.connect()
    await world.first_share(wire, job)
    vardiff = wire.protocol.session.assignment.terms.vardiff
    twin = Vardiff(EVERY_HASH, 1e-13, 1e6, 4.0, 0.0)
    vardiff.searching = searching
    for name in Vardiff.__slots__:
        setattr(twin, name, getattr(vardiff, name))
    for nonce in range(1, 7):
        world.send(wire, line(nonce + 10, job, nonce))
        assert not twin.share(EVERY_HASH, time.monotonic())
    await world.settle()
    assert vardiff._count == 7 and vardiff.retargets == 0
    assert [getattr(vardiff, name) for name in Vardiff.__slots__] == [getattr(twin, name) for name in Vardiff.__slots__]
    vardiff._check_count, vardiff._seen = 8, 100.0
    world.send(wire, line(30, job, 30))
    await world.settle()
    assert vardiff.retargets == 1 and vardiff.difficulty > EVERY_HASH
    assert wire.lines[-1]["method"] == "mining.notify", "the same job again, under the new difficulty"
    assert wire.lines[-2]["method"] == "mining.set_difficulty" and wire.lines[-3]["id"] == 30
    await world.close()


async def test_share_lanes_look_at_the_rate_once_a_second(tmp_path, monkeypatch):
    """As MessageRate does, until something follows from it: that is Python's again."""
    world = World(tmp_path, True)
    job = world.job()
    wire = world.connect()
    await world.first_share(wire, job)
    rate = wire.protocol.session._rate
    rate.count, rate.due, rate._since = 500, 0.0, time.monotonic() - 1.5
    world.send(wire, line(11, job, 1))
    assert rate.count == 1 and 1.4 < rate._fast_s < 1.6 and rate.due > time.monotonic() + 0.9
    rate.count, rate.due, rate._fast_s = 500, 0.0, 1e9
    world.send(wire, line(12, job, 2))
    assert rate._fast_s == 0.0, "Python wants a retarget, and begins anew"
    await world.close()


async def test_share_lanes_take_any_number_in_one_read_and_in_one_commit(tmp_path, monkeypatch):
    world = World(tmp_path, True, segment_bytes=1 << 20)
    job = world.job()
    wire = world.connect()
    await world.first_share(wire, job)
    hand_over = world.log._hand_over
    monkeypatch.setattr(ShareLog, "_hand_over", lambda log: None)
    for start in range(0, 1000, 50):
        world.send(wire, b"".join(line(nonce + 10, job, nonce + 1) for nonce in range(start, start + 50)))
    assert len(world.intake.desk) == 1000
    hand_over()
    await world.settle()
    assert [one["id"] for one in wire.lines if one.get("result") is True and one["id"] > 9] == list(range(10, 1010))
    assert world.intake.accepted == 1001
    await world.close()


async def test_share_lanes_want_the_objects_whose_slots_they_read(tmp_path):
    world = World(tmp_path, True)
    intake = world.intake
    right = [intake, intake.table, intake.log, intake.tally, intake.schemes]
    for place in range(1, 5):
        with pytest.raises(TypeError, match="expected an intake with its"):
            share_lanes.ShareDesk(*right[:place], object(), *right[place + 1 :])
    await world.close()


def test_share_lanes_were_compiled_for_the_tests():
    assert share_lanes.ShareDesk is not None


async def test_share_lanes_are_for_whom_they_can_be_for(tmp_path):
    world = World(tmp_path, False)
    assert share_lanes.lanes(world.intake, clock=lambda: 0.0) is None
    given = share_lanes.lanes(world.intake)
    assert given is not None
    world.server.lanes = given
    world.job()
    wire = world.connect()
    assert wire.reader is None, "its transport is not one that reads sockets"
    await world.close()
    with pytest.raises(TypeError):
        world.intake.desk.lane(wire.protocol, wire, object(), 0)


@pytest.mark.parametrize("missing", ["pool.services._share_desk", "chains.primitives._share_kernel", ""])
def test_share_lanes_are_left_out_where_they_cannot_be(missing):
    """In a process of its own, which has imported nothing else before."""
    code = f"""
import sys
if {missing!r}: sys.modules[{missing!r}] = None
from pool.services import share_lanes
print(share_lanes.ShareDesk is None)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{bool(missing)}\n"
