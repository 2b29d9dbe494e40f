from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from yarl import URL

from chains.http_calls import (
    LARGE_BYTES,
    READ_BYTES,
    HttpAnswer,
    HttpCalls,
    HttpError,
    TooLargeError,
    _Connection,
    _Places,
)

TLS = Path(__file__).parents[2] / "fixtures" / "tls"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Wire:
    """A server that sends what the test says, in these pieces, for each request; None hangs up."""

    def __init__(self) -> None:
        self.pieces: list[bytes | None] = [GOOD]
        self.requests: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                for piece in self.pieces:
                    if piece is None:
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.01)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            self.open -= 1
            writer.close()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    wire = Wire()
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    yield wire
    server.close()


@pytest.fixture
async def calls(wire: Wire) -> AsyncIterator[HttpCalls]:
    calls = HttpCalls(URL(f"http://127.0.0.1:{wire.port}/wallet/one%20two?a=b"), keep_alive_s=10)
    yield calls
    calls.close()


async def post(calls: HttpCalls, limit_bytes: int = 10_000) -> HttpAnswer:
    async with asyncio.timeout(10):
        return await calls.post(b"X-Name: y\r\n", b"body", limit_bytes)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


async def test_http_calls_send_one_whole_request(wire: Wire, calls: HttpCalls) -> None:
    assert await post(calls) == HttpAnswer(200, None, b"ok")
    head = f"POST /wallet/one%20two?a=b HTTP/1.1\r\nHost: 127.0.0.1:{wire.port}\r\nX-Name: y\r\nContent-Length: 4"
    assert wire.requests == [f"{head}\r\n\r\nbody".encode()]


@pytest.mark.parametrize(
    "pieces",
    [
        [GOOD],
        [GOOD[:9], GOOD[9:40], GOOD[40:]],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", b"1\r\nk\r\n0\r\n\r\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD],
        [b"HTTP/1.1 100 Continue\r\n\r\n", GOOD],
    ],
)
async def test_http_calls_read_an_answer_however_it_comes_and_keep_the_connection(
    wire: Wire, calls: HttpCalls, pieces: list[bytes | None]
) -> None:
    wire.pieces = pieces
    for _ in range(3):
        assert await post(calls) == HttpAnswer(200, None, b"ok")
    assert wire.connections == 1


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.0 200 OK\r\n\r\n", b"ok", None],
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"o", b"k", None],
        [b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"],
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"],
    ],
)
async def test_http_calls_take_a_server_that_keeps_no_connection(
    wire: Wire, calls: HttpCalls, pieces: list[bytes | None]
) -> None:
    wire.pieces = pieces
    for _ in range(2):
        assert await post(calls) == HttpAnswer(200, None, b"ok")
    assert wire.connections == 2
    await until(lambda: wire.open == 0)


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        ([None], OSError),
        ([GOOD[:20], None], OSError),
        ([b"HTTP/1.1 200 OK\r\n", None], OSError),
        ([GOOD[:-1], None], OSError),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", None], OSError),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], HttpError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"], HttpError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok"], HttpError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"], HttpError),
        ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc"], HttpError),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10_000], TooLargeError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"y" * 10_000], TooLargeError),
        ([b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 10_000], TooLargeError),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" * 500], TooLargeError),
    ],
)
async def test_http_calls_refuse_what_is_no_answer_and_take_the_next_one_on_another_connection(
    wire: Wire, calls: HttpCalls, pieces: list[bytes | None], kind: type[Exception]
) -> None:
    wire.pieces = pieces
    with pytest.raises(kind):
        await post(calls)
    wire.pieces = [GOOD]
    assert (await post(calls)).body == b"ok"
    assert wire.connections == 2
    await until(lambda: wire.open == 1)


def whole(body: bytes, head: bytes = b"HTTP/1.1 200 OK\r\n") -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("size", [READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 3_000_000, LARGE_BYTES + 1])
async def test_http_calls_read_large_bodies_whole_and_keep_the_connection(
    wire: Wire, calls: HttpCalls, size: int
) -> None:
    for head in (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nDate: now\r\n"):
        body = os.urandom(size)
        wire.pieces = [whole(body, head)]
        answer = await post(calls, 2 * LARGE_BYTES)
        assert answer == HttpAnswer(200, "now" if b"Date" in head else None, body)
        wire.pieces = [GOOD]
        assert (await post(calls)).body == b"ok"
    assert wire.connections == 1


@pytest.mark.parametrize("cut", [1, 38, 39, 40, 41, 50, 70_000, 99_999 + 40])
async def test_http_calls_read_a_large_body_in_any_two_pieces(wire: Wire, calls: HttpCalls, cut: int) -> None:
    body = os.urandom(100_000)
    answer = whole(body)
    wire.pieces = [answer[:cut], answer[cut:]]
    for _ in range(2):
        assert (await post(calls, 200_000)).body == body
    assert wire.connections == 1


async def test_http_calls_leave_a_large_body_to_whoever_has_it_and_use_its_memory_again_afterwards(
    wire: Wire, calls: HttpCalls
) -> None:
    bodies = [bytes((number,)) * (100_000 + number) for number in range(4)]
    answers = []
    for body in bodies:
        wire.pieces = [whole(body)]
        answers.append((await post(calls, 200_000)).body)
    assert answers == bodies
    last = answers[-1]
    assert isinstance(last, memoryview)
    memory = id(last.obj)
    part = last[5:9]
    del last
    answers.clear()
    again = (await post(calls, 200_000)).body
    assert isinstance(again, memoryview) and id(again.obj) != memory and part == bodies[3][5:9]
    memory = id(again.obj)
    del again
    again = (await post(calls, 200_000)).body
    assert isinstance(again, memoryview) and id(again.obj) == memory and again == bodies[3]


async def test_http_calls_read_large_bodies_at_the_same_time(wire: Wire, calls: HttpCalls) -> None:
    body = os.urandom(1_000_000)
    wire.pieces = [whole(body)[:500_000], whole(body)[500_000:]]
    answers = await asyncio.gather(*(post(calls, 2_000_000) for _ in range(5)))
    assert [answer.body for answer in answers] == [body] * 5
    assert wire.connections == 5


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n"])
async def test_http_calls_keep_no_connection_after_a_large_body_that_ends_it(
    wire: Wire, calls: HttpCalls, head: bytes
) -> None:
    body = os.urandom(100_000)
    wire.pieces = [whole(body, head)]
    for _ in range(2):
        assert (await post(calls, 200_000)).body == body
    assert wire.connections == 2
    await until(lambda: wire.open == 0)


async def test_http_calls_refuse_a_large_body_before_it_comes(wire: Wire, calls: HttpCalls) -> None:
    for pieces in ([whole(bytes(100_000))], [whole(bytes(100_000))[:60], whole(bytes(100_000))[60:]]):
        wire.pieces = [*pieces]
        assert (await post(calls, len(whole(bytes(100_000))))).body == bytes(100_000)
        with pytest.raises(TooLargeError):
            await post(calls, len(whole(bytes(100_000))) - 1)


async def test_http_calls_miss_the_end_of_a_large_body(wire: Wire, calls: HttpCalls) -> None:
    wire.pieces = [whole(bytes(100_000))[:-1], None]
    with pytest.raises(OSError):
        await post(calls, 200_000)
    wire.pieces = [whole(bytes(100_000)) + b"x"]
    assert (await post(calls, 200_000)).body == bytes(100_000)
    await until(lambda: wire.open == 0)
    wire.pieces = [GOOD]
    assert (await post(calls)).body == b"ok"


@pytest.mark.parametrize("more", [GOOD, b"HTTP/1.1 20", b"x"])
@pytest.mark.parametrize("together", [True, False])
async def test_http_calls_end_a_connection_that_answers_twice(
    wire: Wire, calls: HttpCalls, more: bytes, together: bool
) -> None:
    wire.pieces = [GOOD + more] if together else [GOOD, more]
    assert (await post(calls)).body == b"ok"
    await until(lambda: wire.open == 0)
    wire.pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew"]
    assert (await post(calls)).body == b"new"


async def test_http_calls_end_a_connection_whose_caller_gave_up(wire: Wire, calls: HttpCalls) -> None:
    wire.pieces = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await calls.post(b"", b"", 1000)
    await until(lambda: wire.open == 0)
    wire.pieces = [GOOD]
    assert (await post(calls)).body == b"ok"


async def test_http_calls_notice_that_an_idle_connection_was_ended(wire: Wire, calls: HttpCalls) -> None:
    wire.pieces = [GOOD, None]
    for _ in range(3):
        assert (await post(calls)).body == b"ok"
        await until(lambda: wire.open == 0)
        await asyncio.sleep(0.05)
    assert wire.connections == 3


async def test_http_calls_close_connections_that_were_idle_for_long(wire: Wire) -> None:
    calls = HttpCalls(URL(f"http://127.0.0.1:{wire.port}/"), keep_alive_s=0.05)
    await asyncio.gather(post(calls), post(calls))
    assert wire.connections == 2
    await until(lambda: wire.open == 0)  # nobody calls: a node that is stopped would wait for them
    await post(calls)
    assert wire.connections == 3
    await until(lambda: wire.open == 0)
    calls.close()


async def test_http_calls_fail_when_they_are_closed_meanwhile(wire: Wire, calls: HttpCalls) -> None:
    wire.pieces = []
    waiting = asyncio.create_task(post(calls))
    await until(lambda: len(wire.requests) == 1)
    calls.close()
    with pytest.raises(OSError):
        await waiting
    await until(lambda: wire.open == 0)
    with pytest.raises(OSError):
        await post(calls)
    await until(lambda: wire.open == 0)


async def test_http_calls_try_every_address_of_a_host(wire: Wire) -> None:
    """`localhost` is often ::1 first, where nobody listens here."""
    calls = HttpCalls(URL(f"http://localhost:{wire.port}/"), keep_alive_s=10)
    assert (await post(calls)).status == 200
    calls.close()


async def test_http_calls_speak_tls_with_who_proves_its_name(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0, ssl=own)
    url = URL(f"https://localhost:{server.sockets[0].getsockname()[1]}/")
    stranger = HttpCalls(url, keep_alive_s=10)
    with pytest.raises(ssl.SSLCertVerificationError):
        await post(stranger)
    stranger.close()
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
    calls = HttpCalls(url, keep_alive_s=10)
    for _ in range(2):
        assert (await post(calls)).body == b"ok"
    body = os.urandom(1_000_000)
    wire.pieces = [whole(body)[:300_000], whole(body)[300_000:]]
    for _ in range(2):
        assert (await post(calls, 2_000_000)).body == body
    assert wire.connections == 1
    calls.close()
    server.close()


async def test_http_calls_a_connection_that_ended_before_its_question_fails_at_once() -> None:
    connection = _Connection(_Places())
    transport = Mock()
    transport.is_closing.return_value = False
    connection.connection_made(transport)
    connection.connection_lost(None)
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(30):
            await connection.ask(b"POST", 100)
