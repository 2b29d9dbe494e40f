"""The Twisted edge over real loopback TCP, with the reactor of the program."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from server_schema import check_server_line
from stratum_peer import POLICY, make_job, methods, request, submit_request

from stratum import errors, rounds
from stratum.addresses import AddressBook
from stratum.counters import RTT_CLASSES, rtt_class
from stratum.events import Submit
from stratum.limits import Limits
from stratum.offer import Authorized, JobOffer, Refused
from stratum.server import RANK_S, Connection, StratumServer
from stratum.transport import SEND_BUFFER_BYTES

LENIENT = Limits(exempt_loopback=True)


class FakePool:
    """Takes any login but `bad`, accepts shares at once or keeps them for the test."""

    def __init__(self) -> None:
        self.job: JobOffer | None = make_job()
        self.keep = False
        self.submits: list[tuple[Connection, Submit, object]] = []

    def authorize(self, connection: Connection, login_text: str, password_text: str) -> Authorized | Refused:
        if login_text == "bad":
            return Refused("bad login")
        return Authorized(("user", login_text), message="héllo" if login_text == "told" else None)

    def submit(self, connection: Connection, submit: Submit, user: object | None) -> None:
        self.submits.append((connection, submit, user))
        if self.keep:
            return
        if user is None:
            connection.reject(submit, errors.UNAUTHORIZED)
            return
        if submit.nonce == 0:
            connection.reject(submit, errors.LOW_DIFFICULTY)
        else:
            connection.accept(submit, connection.difficulty_for(int(submit.job_id, 16)))

    def current_job(self) -> JobOffer | None:
        return self.job

    def transactions(self, job_id: str) -> list[str] | None:
        return ["00"] if job_id == "1" else None


class Miner:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *requests: dict[str, Any]) -> None:
        self.writer.write(b"".join(json.dumps(r).encode() + b"\n" for r in requests))

    async def line(self) -> dict[str, Any]:
        async with asyncio.timeout(30):
            return check_server_line(await self.reader.readline())

    async def lines(self, count: int) -> list[dict[str, Any]]:
        return [await self.line() for _ in range(count)]

    async def start(self, worker: str = "addr.w") -> list[dict[str, Any]]:
        self.send(request(1, "mining.subscribe", "test"), request(2, "mining.authorize", worker, "x"))
        return await self.lines(4)

    async def closed(self, seconds: float = 30.0) -> bytes:
        """Whatever still comes until the server hangs up."""
        async with asyncio.timeout(seconds):
            with suppress(ConnectionError):
                return await self.reader.read()
        return b""


class House:
    """A server on a free port, and its miners."""

    def __init__(self, server: StratumServer, pool: FakePool, port: int) -> None:
        self.server, self.pool, self.port = server, pool, port
        self.miners: list[Miner] = []

    async def miner(self) -> Miner:
        miner = Miner(*await asyncio.open_connection("127.0.0.1", self.port))
        self.miners.append(miner)
        return miner


@asynccontextmanager
async def house(reactor: Any, limits: Limits = LENIENT, **more: Any) -> AsyncIterator[House]:
    pool = FakePool()
    server = StratumServer(pool, POLICY, limits, **more)
    port = server.listen(reactor, "127.0.0.1", 0)
    built = House(server, pool, port.getHost().port)
    try:
        yield built
    finally:
        async with asyncio.timeout(30):
            await server.stop().asFuture(asyncio.get_running_loop())
        for miner in built.miners:
            miner.writer.close()
        assert not server.connections and len(server.extranonces) == 0


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_server_one_whole_connection(reactor: Any) -> None:
    async with house(reactor) as home:
        miner = await home.miner()
        seen = await miner.start()
        assert methods(seen) == ["#1", "#2", "set_difficulty", "notify"]
        miner.send(submit_request(id=3), submit_request(id=4, nonce="00000000"), request(5, "mining.ping"))
        pong, good, bad = sorted(await miner.lines(3), key=lambda m: (m["id"] != 5, m["id"]))
        assert good == {"id": 3, "result": True, "error": None}
        assert bad["error"] == [23, "Low difficulty share", None] and pong["result"] == "pong"
        connection, submit, user = home.pool.submits[0]
        assert user == ("user", "addr.w")
        assert connection.extranonce1.hex() == seen[0]["result"][1]
        assert (connection.remote_address, connection.version_mask, submit.nonce) == ("127.0.0.1", 0, 0xDEADBEEF)
        assert [c.session.ready for c in home.server.connections] == [True]
        counters = home.server.counters
        assert (counters.accepted, counters.rejected["low_difficulty"]) == (1, 1)
        miner.writer.close()
        await until(lambda: not home.server.connections)
        assert counters.closed["disconnected"] == 1 and counters.connections["accepted"] == 1


async def test_server_counts_answers_by_the_distance_of_their_miner(reactor: Any) -> None:
    async with house(reactor) as home:
        miner = await home.miner()
        await miner.start()
        (connection,) = home.server.connections
        assert 0 < connection.transport.round_trip_s < 1 and connection.rtt_class == 0
        connection.measure()
        assert 0 < connection.rtt_class < len(RTT_CLASSES)
        miner.send(submit_request(id=3))
        await miner.lines(1)
        counters = home.server.counters
        assert counters.accepted_by_rtt[connection.rtt_class] == 1 and sum(counters.stale_by_rtt) == 0
        _, submit, _ = home.pool.submits[0]
        connection.reject(submit, errors.STALE)
        connection.reject(submit, errors.DUPLICATE)
        assert counters.stale_by_rtt[connection.rtt_class] == 1 and sum(counters.accepted_by_rtt) == 1
        assert [rtt_class(s) for s in (None, 0.025, 0.026, 0.4, 9.0)] == [0, 1, 2, 5, 6]


async def test_server_measures_a_connection_that_is_over_as_unknown(reactor: Any) -> None:
    """Who looks at thousands of connections in slices meets some that have left meanwhile."""
    async with house(reactor) as home:
        miner = await home.miner()
        await miner.start()
        (connection,) = home.server.connections
        connection.measure()
        assert connection.rtt_class > 0
        miner.writer.close()
        await until(lambda: not home.server.connections)
        connection.measure()
        assert connection.transport.round_trip_s is None and connection.rtt_class == 0


async def test_server_times_each_broadcast_to_its_last_connection(reactor: Any) -> None:
    async with house(reactor) as home:
        miner = await home.miner()
        await miner.start()
        home.server.broadcast(make_job(2))
        await miner.lines(1)
        assert sum(home.server.counters.broadcast_s.counts) == 1


async def test_server_hands_over_what_an_unknown_worker_sends_and_bans_for_it(reactor: Any) -> None:
    async with house(reactor, Limits(ban_shares=10)) as home:
        miner = await home.miner()
        miner.send(request(1, "mining.subscribe", "test"), *[submit_request("nobody", id=n) for n in range(2, 20)])
        seen = await miner.lines(11)
        assert all(answer["error"] == [24, "Unauthorized worker", None] for answer in seen[1:])
        assert await miner.closed() == b""
        assert [user for _, _, user in home.pool.submits] == [None] * 18, "one read, judged as one turn"
        await until(lambda: not home.server.connections)
        assert home.server.counters.closed == {"banned": 1}


async def test_server_group_commit_answers_in_one_write(reactor: Any) -> None:
    async with house(reactor) as home:
        miner = await home.miner()
        await miner.start()
        home.pool.keep = True
        miner.send(*[submit_request(id=n) for n in range(20)])
        await until(lambda: len(home.pool.submits) == 20)
        writes: list[bytes] = []
        connection = home.pool.submits[0][0]
        write = connection.transport.write
        connection.transport.write = lambda data: (writes.append(data), write(data))
        for _, submit, _ in home.pool.submits:
            connection.accept(submit, 1.0)
        connection.flush()
        assert len(writes) == 1 and [m["id"] for m in await miner.lines(20)] == list(range(20))


async def test_server_refused_login_and_message(reactor: Any) -> None:
    async with house(reactor) as home:
        miner = await home.miner()
        miner.send(request(1, "mining.authorize", "bad"))
        assert (await miner.line())["error"] == [24, "bad login", None]
        miner.send(request(2, "mining.authorize", "told"))
        assert methods(await miner.lines(2)) == ["#2", "client.show_message"]


async def test_server_announces_to_the_miners_of_a_realm_with_their_next_job(reactor: Any) -> None:
    async with house(reactor) as home:
        policy = type(POLICY)(1, 1, 1e6, realm="alpha:pps")
        other = home.server.listen(reactor, "127.0.0.1", 0, policy).getHost().port
        plain = await home.miner()
        bought = Miner(*await asyncio.open_connection("127.0.0.1", other))
        home.miners.append(bought)
        await plain.start()
        await bought.start("addr.b")
        home.server.announce("the scheme changes", {"alpha:pps"})
        home.server.broadcast(make_job(2))
        assert methods(await bought.lines(2)) == ["client.show_message", "notify"]
        assert methods([await plain.line()]) == ["notify"]


async def test_server_many_messages_in_one_read_are_all_answered(reactor: Any) -> None:
    async with house(reactor) as home:
        miner = await home.miner()
        await miner.start()
        miner.send(*[request(n, "mining.ping") for n in range(3000)])  # 130 kB, ten reads
        assert [m["id"] for m in await miner.lines(3000)] == list(range(3000))


async def test_server_broadcast_reaches_everyone_the_biggest_first(reactor: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("stratum.server.BROADCAST_SLICE", 3)
    async with house(reactor) as home:
        miners = [await home.miner() for _ in range(10)]
        for index, miner in enumerate(miners):
            miner.send(request(0, "mining.suggest_difficulty", 2**index))
            await miner.line()
            await miner.start(f"addr.{index}")
        stranger = await home.miner()
        order: list[float] = []
        send_job = rounds.send_job

        def spy(direct: type, connections: list[Connection], job: JobOffer, clean_from: int) -> Any:
            order.extend(connection.session.assignment.difficulty for connection in connections)
            return send_job(direct, connections, job, clean_from)

        monkeypatch.setattr(rounds, "send_job", spy)
        home.server.broadcast(make_job(2, clean=True))
        assert order == [512.0, 256.0, 128.0], "the rest waits for later turns"
        home.server.broadcast(make_job(3))
        seen = [await miner.line() for miner in miners]
        assert [m["params"][0] for m in seen] == ["3"] * 7 + ["2"] * 3
        assert all(m["params"][8] is True for m in seen), "whoever missed the clean job gets the next one clean"
        late = [await miner.line() for miner in miners[7:]]
        assert [(m["params"][0], m["params"][8]) for m in late] == [("3", False)] * 3
        assert order[3:] == [64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0, 512.0, 256.0, 128.0], "none waits twice"
        stranger.send(request(1, "mining.ping"))
        assert (await stranger.line())["id"] == 1


async def test_server_broadcasts_in_an_order_that_is_made_when_nobody_waits(reactor: Any, monkeypatch: Any) -> None:
    async with house(reactor) as home:
        made: list[int] = []
        by_difficulty = rounds.by_difficulty
        monkeypatch.setattr(rounds, "by_difficulty", lambda them: (made.append(len(them)), by_difficulty(them))[1])
        order: list[str] = []
        send_job = rounds.send_job

        def spy(direct: type, connections: list[Connection], job: JobOffer, clean_from: int) -> Any:
            order.extend(next(iter(connection.session.users)) for connection in connections)
            return send_job(direct, connections, job, clean_from)

        monkeypatch.setattr(rounds, "send_job", spy)

        async def come(difficulty: float, login: str) -> Any:
            miner = await home.miner()
            miner.send(request(0, "mining.suggest_difficulty", difficulty))
            await miner.line()
            await miner.start(login)
            return miner

        def hears(number: int) -> list[str]:
            order.clear()
            made.clear()
            home.server.broadcast(make_job(number))
            return list(order)

        for index in range(4):
            await come(2.0**index, f"addr.{index}")
        assert hears(2) == ["addr.3", "addr.2", "addr.1", "addr.0"] and made == [4]
        gone = next(c for c in home.server.connections if "addr.2" in c.session.users)
        gone.abort("test")
        await come(1024.0, "addr.big")
        while len(home.server.connections) > 4:
            await asyncio.sleep(0.01)
        assert hears(3) == ["addr.3", "addr.1", "addr.0", "addr.big"], "who came since comes last"
        assert made == [1]
        home.server._ranked_at -= RANK_S
        assert hears(4)[-1] == "addr.big" and made == [1, 4], "ranked anew after the last one has it"
        assert hears(5) == ["addr.big", "addr.3", "addr.1", "addr.0"] and made == [0]


async def test_server_answers_between_the_slices_of_a_broadcast(reactor: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("stratum.server.BROADCAST_SLICE", 1)
    async with house(reactor) as home:
        miners = [await home.miner() for _ in range(40)]
        for index, miner in enumerate(miners):
            miner.send(request(0, "mining.suggest_difficulty", 2.0 ** (index - 20)))
            await miner.line()
            await miner.start(f"addr.{index}")
        send_job = rounds.send_job

        def slow(*arguments: Any) -> Any:
            time.sleep(0.002)
            return send_job(*arguments)

        monkeypatch.setattr(rounds, "send_job", slow)
        miners[0].send(request(7, "mining.ping"))  # the last one to have its job
        home.server.broadcast(make_job(2, clean=True))
        said = await miners[0].lines(2)
        assert said[0].get("id") == 7 and said[1]["method"] == "mining.notify"


@pytest.mark.parametrize("is_compiled", [True, False])
async def test_server_finishes_a_line_that_half_fits_before_the_next_one(
    reactor: Any, monkeypatch: Any, is_compiled: bool
) -> None:
    """Whoever writes them: to a miner that reads slowly every job comes whole."""
    if not is_compiled:
        monkeypatch.setattr(rounds, "send_job", rounds.python_send_job)
    async with house(reactor) as home:
        miner = await home.miner()
        await miner.start()
        (connection,) = home.server.connections
        miner.writer.transport.pause_reading()
        sequence = 1
        while not connection.transport.unsent_bytes:
            sequence += 1
            home.server.broadcast(make_job(sequence, filler=20_000))
        for _ in range(3):
            sequence += 1
            home.server.broadcast(make_job(sequence, filler=20_000))
        miner.writer.transport.resume_reading()
        told = [(await miner.line())["params"][0] for _ in range(sequence - 1)]
        assert told == [f"{number:x}" for number in range(2, sequence + 1)]


async def test_server_several_ports_share_extranonces_and_have_their_terms(reactor: Any) -> None:
    async with house(reactor) as home:
        other = home.server.listen(reactor, "127.0.0.1", 0, type(POLICY)(4096, 1024, 1e6)).getHost().port
        first = await home.miner()
        second = Miner(*await asyncio.open_connection("127.0.0.1", other))
        home.miners.append(second)
        one, two = await first.start(), await second.start()
        assert (one[2]["params"], two[2]["params"]) == ([1], [4096])
        assert one[0]["result"][1] != two[0]["result"][1]


async def test_server_bad_input_never_logs_an_exception(reactor: Any, caplog: pytest.LogCaptureFixture) -> None:
    bad = [
        b"\n", b"{}\n", b"[]\n", b"null\n", b'{"id":NaN}\n', b"[" * 3000 + b"\n", b"\xff\xfe\n", b'{"method":5}\n',
        b'{"id":1,"method":"mining.submit","params":{"a":[]}}\n', b'{"id":1e400,"method":"x"}\n', b"x" * 65536,
        b'{"id":1,"method":"mining.authorize","params":["\\ud800"]}\n', b'{"id":1,"id":1}\n', b"\x16\x03\x01",
        b'{"id":1,"method":"mining.authorize","params":["a\\u0000\\u001b[31m\\n","' + b"p" * 3000 + b'"]}\n',
    ]  # fmt: skip
    with caplog.at_level(logging.WARNING):
        async with house(reactor) as home:
            for data in bad:
                fresh, started = await home.miner(), await home.miner()
                await started.start()
                fresh.writer.write(data)
                started.writer.write(data)
                good = await home.miner()
                await good.start()
                good.send(submit_request(id=77))
                assert (await good.line())["id"] == 77
                good.writer.close()
            assert home.server.counters.accepted == len(bad)
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(("data", "reason"), [(b"GET / HTTP/1.1\r\n\r\n", "http"), (b"\x16\x03\x01\x00", "tls"),
                                              (b"y" * 65536, "not_stratum")])  # fmt: skip
async def test_server_strangers_are_left_in_silence(reactor: Any, data: bytes, reason: str) -> None:
    async with house(reactor) as home:
        miner = await home.miner()
        miner.writer.write(data)
        assert await miner.closed() == b""
        await until(lambda: not home.server.connections)
        assert home.server.counters.closed[reason] == 1


async def test_server_times_run_on_the_clock_it_was_given(reactor: Any) -> None:
    now = [1000.0]
    async with house(reactor, clock=lambda: now[0]) as home:
        silent, lazy, good = [await home.miner() for _ in range(3)]
        await good.start()
        lazy.send(request(1, "mining.subscribe"))
        await lazy.line()
        now[0] += 11
        assert await silent.closed() == b""
        now[0] += 20
        assert await lazy.closed() == b""
        assert [c.session.ready for c in home.server.connections] == [True]
        assert home.server.counters.closed == {"first_line": 1, "authorize": 1}
        # The silent but authorized miner was offered an easier difficulty by the same sweep.
        assert methods(await good.lines(2)) == ["set_difficulty", "notify"]


async def test_server_slow_reader_is_dropped(reactor: Any) -> None:
    async with house(reactor, Limits(exempt_loopback=True, unsent_bytes=100_000)) as home:
        slow, good = await home.miner(), await home.miner()
        await slow.start("addr.slow")
        await good.start("addr.good")
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        got = 0
        for sequence in range(2, 400):
            home.server.broadcast(make_job(sequence, filler=20_000))
            assert (await good.line())["method"] == "mining.notify"
            got += 1
            if home.server.counters.closed["slow_reader"]:
                break
            await asyncio.sleep(0)
        await until(lambda: home.server.counters.closed["slow_reader"] == 1)
        assert sum(c.session.ready for c in home.server.connections) == 1 and got < 399


async def test_server_lets_the_kernel_keep_little_of_what_nobody_reads(reactor: Any) -> None:
    async with house(reactor) as home:
        await (await home.miner()).start()
        (connection,) = home.server.connections
        kept = connection.transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        assert 0 < kept <= 2 * SEND_BUFFER_BYTES


async def test_server_reader_without_progress_is_dropped(reactor: Any) -> None:
    now = [1000.0]
    limits = Limits(exempt_loopback=True, unsent_bytes=100_000_000)
    async with house(reactor, limits, clock=lambda: now[0]) as home:
        slow = await home.miner()
        await slow.start()
        connection = next(iter(home.server.connections))
        connection.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        sequence = 2
        job = make_job(filler=50_000)
        while connection.transport.unsent_bytes < 200_000 and sequence < 1000:
            home.server.broadcast(JobOffer(sequence, "1", job.notify, job.notify_clean, False))
            sequence += 1
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.2)
        assert connection.transport.unsent_bytes > 0
        connection.sweep(now[0])
        now[0] += limits.unsent_progress_s - 1
        connection.sweep(now[0])
        assert home.server.connections
        now[0] += 1
        connection.sweep(now[0])
        await until(lambda: home.server.counters.closed["slow_reader"] == 1)


async def test_server_accept_rate_holds_for_loopback_unless_exempt(reactor: Any) -> None:
    async with house(reactor, Limits()) as home:
        miners = [await home.miner() for _ in range(40)]
        await until(lambda: sum(home.server.counters.connections.values()) == 40)
        counts = home.server.counters.connections
        assert counts["accepted"] >= 20 and counts["address_rate"] >= 10
        ends = await asyncio.gather(*(m.closed(0.5) for m in miners), return_exceptions=True)
        assert ends.count(b"") == counts["address_rate"]


async def test_server_banned_address_is_turned_away(reactor: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with house(reactor, Limits(ban_shares=20)) as home:
        miner = await home.miner()
        await miner.start()
        with caplog.at_level(logging.WARNING, "parapool.stratum"):
            miner.send(*[submit_request(id=n, nonce="00000000") for n in range(25)])
            rest = await miner.closed()
            assert rest.count(b"\n") == 20, "answered up to the ban"
            await until(lambda: not home.server.connections)
        assert "banned address=127.0.0.1" in caplog.text
        again = await home.miner()
        assert await again.closed() == b""
        assert home.server.counters.connections["banned"] == 1 and home.server.counters.bans == 1


async def test_server_counts_addresses_together_with_others_of_the_pool(reactor: Any) -> None:
    """Ports of both extranonce2 sizes are two servers: a limit, and a ban, holds for both."""
    limits = Limits(connections_per_address=3, connections_total=3, ban_shares=10)
    book = AddressBook(limits, time.monotonic())
    async with house(reactor, limits, addresses=book) as four, house(reactor, limits, addresses=book) as eight:
        first, *_ = [await four.miner() for _ in range(2)]
        await (await eight.miner()).start()
        await until(lambda: book.connections == 3)
        refused = await eight.miner()
        assert await refused.closed() == b"" and eight.server.counters.connections == {"accepted": 1, "too_many": 1}
        await first.start()
        first.send(*[submit_request(id=n, nonce="00000000") for n in range(10)])
        await first.closed()
        await until(lambda: book.connections == 2)
        again = await eight.miner()
        assert await again.closed() == b"" and eight.server.counters.connections["banned"] == 1
    assert book.connections == 0


async def test_server_moves_a_connection_whose_miner_is_back(reactor: Any) -> None:
    async with house(reactor) as home:
        hanging, back = await home.miner(), await home.miner()
        subscribed = (await hanging.start())[0]["result"]
        hanging.send(request(3, "mining.extranonce.subscribe"))
        assert (await hanging.line())["result"] is True
        back.send(request(1, "mining.subscribe", "test", subscribed[0][1][1]))
        assert (await back.line())["result"][1] == subscribed[1]
        moved = await hanging.lines(2)
        assert methods(moved) == ["set_extranonce", "notify"] and moved[1]["params"][8] is True
        assert {c.extranonce1.hex() for c in home.server.connections} == {subscribed[1], moved[0]["params"][0]}
        [connection] = [c for c in home.server.connections if c.session.users]
        assert connection.former_extranonce1(1) == bytes.fromhex(subscribed[1])


async def test_server_an_error_of_ours_costs_one_connection(
    reactor: Any, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    async with house(reactor) as home:
        victim, good = await home.miner(), await home.miner()
        await victim.start()
        await good.start()

        def broken(connection: Connection, submit: Submit, user: object) -> None:
            raise RuntimeError("a bug")

        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR, "parapool.stratum"):
            patch.setattr(home.pool, "submit", broken)
            victim.send(submit_request())
            assert await victim.closed() == b""
        assert "a bug" in caplog.text
        good.send(submit_request(id=5))
        assert (await good.line())["result"] is True


async def test_server_answers_after_the_miner_left_go_nowhere(reactor: Any) -> None:
    async with house(reactor) as home:
        miner = await home.miner()
        await miner.start()
        home.pool.keep = True
        miner.send(submit_request())
        await until(lambda: home.pool.submits)
        connection, submit, _ = home.pool.submits[0]
        miner.writer.close()
        await until(lambda: not home.server.connections)
        connection.accept(submit, 1.0)
        connection.reject(submit, errors.STALE)
        connection.flush()
        assert home.server.counters.accepted == 0 and not home.server.counters.rejected


async def test_server_stop_says_good_bye_to_all_and_is_idempotent(reactor: Any) -> None:
    async with house(reactor) as home:
        miner = await home.miner()
        await miner.start()
        await home.server.stop().asFuture(asyncio.get_running_loop())
        assert await miner.closed() == b""
        with pytest.raises(OSError):
            await home.miner()
        assert home.server.counters.closed == {"stopping": 1}
