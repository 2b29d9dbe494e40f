"""HTTP to one node, no more than its calls need: POST over connections that are kept, a call at a time on each.

A pool that does nothing else asks its nodes ten times a second. Then the processor's caches are cold, and a call costs
what its code weighs: a third of what a general client's does. The answer's head and chunks are read by Node.js' parser;
a large body, a template of megabytes, goes from the socket to its place.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import NamedTuple, cast

import aiohappyeyeballs
import httptools
from yarl import URL

NEXT_ADDRESS_S = 0.25
"""A host of several addresses is tried at the next one after so long (RFC 8305)."""

READ_BYTES = 1 << 16
"""What a connection takes at once of an answer that has no place yet."""

LARGE_BYTES = 16 << 20
"""The largest body that has a place made for it, and the memory that is kept for the next one."""


class HttpAnswer(NamedTuple):
    """`date` is the head's, None without one. The memory of a large body serves again when nobody has it any more."""

    status: int
    date: str | None
    body: bytes | memoryview


class HttpError(Exception):
    """What came is no answer; the connection is gone."""


class TooLargeError(HttpError):
    """The answer is larger than its reader wants."""


class HttpCalls:
    """POST to one URL. Nothing here takes a time: who calls gives up, which ends the connection of that call."""

    def __init__(self, url: URL, keep_alive_s: float) -> None:
        """A connection that was idle for so long is closed: a node that stops waits for those that are open."""
        self._url = url
        self._keep_alive_s = keep_alive_s
        self._start = f"POST {url.raw_path_qs} HTTP/1.1\r\nHost: {url.host_port_subcomponent}\r\n".encode()
        self._tls: ssl.SSLContext | None = None
        self._idle: list[tuple[float, _Connection]] = []  # the longest idle first
        self._busy: set[_Connection] = set()
        self._places = _Places()
        self._look: asyncio.TimerHandle | None = None  # at what is idle
        self._closed = False

    async def post(self, headers: bytes, body: bytes, limit_bytes: int) -> HttpAnswer:
        """`headers` are lines with their ends. Raises OSError and HttpError."""
        request = b"%b%bContent-Length: %d\r\n\r\n%b" % (self._start, headers, len(body), body)
        try:
            connection = self._kept() or await self._connect()
            return await self._ask(connection, request, limit_bytes)
        except TimeoutError as error:  # the network's, which says that it is broken; the caller's comes later
            raise ConnectionError(str(error)) from error

    def close(self) -> None:
        """For good: calls under way fail, and so does every further one."""
        self._closed = True
        for connection in (*self._busy, *(kept for _, kept in self._idle)):
            connection.abort()
        self._idle.clear()
        if self._look is not None:
            self._look.cancel()

    async def _ask(self, connection: _Connection, request: bytes, limit_bytes: int) -> HttpAnswer:
        if self._closed:
            connection.abort()
            raise ConnectionError("closed meanwhile")
        self._busy.add(connection)
        try:
            answer = await connection.ask(request, limit_bytes)
        except BaseException:
            connection.abort()
            raise
        finally:
            self._busy.discard(connection)
        if connection.is_open:
            self._idle.append((asyncio.get_running_loop().time(), connection))
            self._look_later()
        return answer

    def _end_idle(self) -> None:
        """Closes what was idle for too long, and looks again when the next one is."""
        self._look = None
        since_s = asyncio.get_running_loop().time() - self._keep_alive_s
        while self._idle and self._idle[0][0] <= since_s:
            self._idle.pop(0)[1].abort()
        self._look_later()

    def _look_later(self) -> None:
        if self._look is None and self._idle:
            loop = asyncio.get_running_loop()
            self._look = loop.call_at(self._idle[0][0] + self._keep_alive_s, self._end_idle)

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()[1]
            if connection.is_open:
                return connection
        return None

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        host, port = self._url.raw_host, self._url.port
        assert host is not None and port is not None, "an http URL"
        is_secure = self._url.scheme == "https"
        if is_secure and self._tls is None:
            self._tls = ssl.create_default_context()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        taken = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=NEXT_ADDRESS_S, interleave=1)
        try:
            name = host if is_secure else None
            _, connection = await loop.create_connection(
                lambda: _Connection(self._places), sock=taken, ssl=self._tls, server_hostname=name
            )
        except BaseException:
            taken.close()
            raise
        return connection


class _Places:
    """Memory for large bodies, one after the other: each page of new memory is a fault, more than what fills it."""

    def __init__(self) -> None:
        self._kept = bytearray(1)

    def place(self, size: int) -> memoryview:
        if len(self._kept) < size or not self._is_free():
            self._kept = bytearray(size + size // 8)  # the next template is a little larger
        return memoryview(self._kept)[:size]

    def _is_free(self) -> bool:
        """Python refuses to change its length while somebody has a view of it."""
        try:
            self._kept.append(self._kept.pop())
        except BufferError:
            return False
        return True


class _Connection(asyncio.BufferedProtocol):
    """Answers end by their length, by chunks, or with the connection."""

    def __init__(self, places: _Places) -> None:
        self._places = places
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[HttpAnswer] | None = None
        self._read = memoryview(bytearray(READ_BYTES))
        self._begin(0)

    def _begin(self, limit_bytes: int) -> None:
        self._room_bytes = limit_bytes
        self._date: str | None = None
        self._has_end = self._has_head = False
        self._length_bytes = 0  # as the head says
        self._parts: list[bytes] = []
        self._large: memoryview | None = None  # the body, when it has a place
        self._next = self._read  # where what comes next belongs

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes, limit_bytes: int) -> asyncio.Future[HttpAnswer]:
        assert self._answer is None and self._transport is not None
        if self._parser is None or self._transport.is_closing():
            raise ConnectionError("the node hung up")  # before it was asked: nobody would hear of it any more
        self._begin(limit_bytes)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio's ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, hint_bytes: int) -> memoryview:
        return self._next

    def buffer_updated(self, count: int) -> None:
        if self._answer is None or self._parser is None:
            self.abort()  # nobody asked
            return
        self._room_bytes -= count
        if self._room_bytes < 0:
            self._fail(TooLargeError("an answer that is too large"))
        elif self._large is None:
            self._parse(self._parser, self._read[:count])
        else:
            self._next = self._next[count:]
            if not self._next:
                self._end(self._parser)
                self._parser = httptools.HttpResponseParser(self)  # the one before still waits for this body

    def _parse(self, parser: httptools.HttpResponseParser, data: memoryview) -> None:
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(HttpError(f"the answer is not HTTP: {error}"))
            return
        if self._answer is not None and self._has_head and READ_BYTES < self._length_bytes <= LARGE_BYTES:
            self._place_body()

    def _place_body(self) -> None:
        came = b"".join(self._parts)
        if self._length_bytes - len(came) > self._room_bytes:
            self._fail(TooLargeError("an answer that is too large"))
            return
        self._large = self._places.place(self._length_bytes)
        self._large[: len(came)] = came
        self._next = self._large[len(came) :]

    def connection_lost(self, reason: Exception | None) -> None:
        if reason is None and self._has_head and not self._has_end:
            self._complete()
        else:
            self._fail(reason or ConnectionError("the node hung up"))
        self._parser = None  # it refers to us

    # -- the parser's ------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._answer is None:
            self.abort()  # two answers to one question: whose the next one is nobody would know

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"date":
            self._date = value.decode("latin-1")
        elif name == b"transfer-encoding":
            self._has_end = True
        elif name == b"content-length":
            self._has_end = True
            self._length_bytes = int(value)

    def on_headers_complete(self) -> None:
        self._has_head = True

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        assert self._parser is not None
        if self._parser.get_status_code() < 200:
            self._begin(self._room_bytes)  # "continue": the answer is still to come
            return
        self._end(self._parser)

    def _end(self, parser: httptools.HttpResponseParser) -> None:
        keeps = parser.should_keep_alive()
        self._complete()
        if not keeps:
            self.abort()

    def _complete(self) -> None:
        assert self._parser is not None
        body = b"".join(self._parts) if self._large is None else self._large
        answer, self._answer, date = self._answer, None, self._date
        self._begin(0)
        if answer is not None and not answer.done():
            answer.set_result(HttpAnswer(self._parser.get_status_code(), date, body))

    def _fail(self, reason: Exception) -> None:
        answer, self._answer = self._answer, None
        self._begin(0)
        if answer is not None and not answer.done():
            answer.set_exception(reason)
        self.abort()
