"""Miners behind proxies and TLS, over real loopback TCP: who is counted, who is hung up on, what is said."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from stratum_peer import POLICY, make_job, submit_request
from test_stratum_proxy_header import v2
from test_stratum_server import FakePool, Miner

from stratum.entrance import Entrance
from stratum.limits import Limits
from stratum.server import StratumServer
from stratum.tls import Certificate

FIXTURES = Path(__file__).parents[2] / "fixtures" / "tls"
LOOPBACK = ip_network("127.0.0.0/8")
HELLO = b'{"id":1,"method":"mining.subscribe","params":["test"]}\n'


@asynccontextmanager
async def serving(
    reactor: Any, entrance: Entrance, limits: Limits | None = None
) -> AsyncIterator[tuple[StratumServer, int]]:
    server = StratumServer(FakePool(), POLICY, limits)
    listening = server.listen(reactor, "127.0.0.1", 0, entrance=entrance)
    try:
        yield server, listening.getHost().port
    finally:
        await server.stop().asFuture(asyncio.get_running_loop())


async def connect(port: int, first: bytes = b"", **options: Any) -> Miner:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    if first:
        writer.write(first)
    return Miner(reader, writer)


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_stratum_counts_who_is_behind_a_proxy(reactor: Any) -> None:
    limits = Limits(connections_per_address=1)
    async with serving(reactor, Entrance((LOOPBACK,)), limits) as (server, port):
        header = v2("203.0.113.7")
        one = await connect(port, header[:9])
        one.writer.write(header[9:] + HELLO)
        assert (await one.line())["id"] == 1
        assert {connection.remote_address for connection in server.connections} == {"203.0.113.7"}
        other = await connect(port, b"PROXY TCP4 203.0.113.8 127.0.0.1 5 6\r\n" + HELLO)
        assert (await other.line())["id"] == 1
        again = await connect(port, header + HELLO)
        assert await again.closed() == b""
        assert server.counters.connections == {"accepted": 2, "too_many_of_address": 1}
        check = await connect(port, v2(command=0x20) + HELLO)  # a proxy that speaks for itself
        assert (await check.line())["id"] == 1
        assert "127.0.0.1" in {connection.remote_address for connection in server.connections}


async def test_stratum_hangs_up_on_a_proxy_that_does_not_say_for_whom(reactor: Any, caplog: Any) -> None:
    limits = Limits(first_line_s=0.2)
    async with serving(reactor, Entrance((LOOPBACK,)), limits) as (server, port):
        assert await (await connect(port, HELLO)).closed() == b""
        assert await (await connect(port, v2(command=0x33))).closed() == b""
        assert await (await connect(port, v2()[:20])).closed() == b""  # after first_line_s
        assert server.counters.connections == {"proxy_header": 3}
        assert not server.connections and not server._awaited
        assert caplog.text.count("has no good PROXY header proxy=127.0.0.1: no PROXY header") == 1
        (await connect(port)).writer.close()
        await until(lambda: not server._awaited)
        waiting = await connect(port)
        await until(lambda: server._awaited)
    assert await waiting.closed() == b""


async def test_stratum_believes_no_header_from_elsewhere(reactor: Any) -> None:
    async with serving(reactor, Entrance((ip_network("192.0.2.0/24"),))) as (server, port):
        miner = await connect(port, b"PROXY TCP4 203.0.113.7 127.0.0.1 5 6\r\n" + HELLO)
        assert await miner.closed() == b""
        direct = await connect(port, HELLO)
        assert (await direct.line())["id"] == 1
        assert [connection.remote_address for connection in server.connections] == ["127.0.0.1"]


@pytest.fixture
def certificate() -> Certificate:
    return Certificate(FIXTURES / "certificate.pem", FIXTURES / "key.pem")


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(FIXTURES / "certificate.pem"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_stratum_mines_over_tls(reactor: Any, certificate: Certificate, version: ssl.TLSVersion) -> None:
    context = trusting()
    context.maximum_version = version
    async with serving(reactor, Entrance(certificate=certificate)) as (server, port):
        miner = await connect(port, ssl=context, server_hostname="localhost")
        await miner.start()
        miner.send(*(submit_request(id=10 + number, nonce=f"{number + 1:08x}") for number in range(100)))
        accepted: set[int] = set()
        while len(accepted) < 100:  # vardiff says something in between
            line = await miner.line()
            accepted |= {line["id"]} if line.get("result") is True else set()
        assert accepted == set(range(10, 110))
        server.broadcast(make_job(2, filler=20_000))
        while (await miner.line()).get("params", [""])[0] != "2":
            pass
        [connection] = server.connections
        assert connection.transport.unsent_bytes == 0
        connection.close("stopping")
        assert await miner.closed() == b""


async def test_stratum_lets_go_of_who_says_goodbye_over_tls(reactor: Any, certificate: Certificate) -> None:
    async with serving(reactor, Entrance(certificate=certificate)) as (server, port):
        miner = await connect(port, ssl=trusting(), server_hostname="localhost")
        await miner.start()
        miner.writer.close()
        await until(lambda: not server.connections)
        assert server.counters.closed == {"disconnected": 1}


async def test_stratum_finds_the_proxys_header_before_tls(reactor: Any, certificate: Certificate) -> None:
    async with serving(reactor, Entrance((LOOPBACK,), certificate)) as (server, port):
        miner = await connect(port, v2("2001:db8::7"))
        await miner.writer.start_tls(trusting(), server_hostname="localhost")
        await miner.start()
        assert [connection.remote_address for connection in server.connections] == ["2001:db8::7"]


async def test_stratum_ends_what_is_no_tls(reactor: Any, certificate: Certificate) -> None:
    async with serving(reactor, Entrance(certificate=certificate), Limits(first_line_s=0.3)) as (server, port):
        await (await connect(port, HELLO)).closed()
        await (await connect(port, b"\x16\x03\x01\x02\x00\x01")).closed()  # a handshake that goes no further
        await until(lambda: not server.connections)
        assert server.counters.connections == {"accepted": 2}


def test_stratum_certificates_are_read_again_and_kept_when_they_are_wrong(tmp_path: Path) -> None:
    for name in ("certificate.pem", "key.pem"):
        shutil.copy(FIXTURES / name, tmp_path / name)
    certificate = Certificate(tmp_path / "certificate.pem", tmp_path / "key.pem")
    before = certificate.context
    certificate.renew()
    renewed = certificate.context
    assert renewed is not before
    (tmp_path / "key.pem").write_text("half a ke")
    with pytest.raises(OSError):
        certificate.renew()
    assert certificate.context is renewed


