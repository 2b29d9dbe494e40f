"""A transport whose socket somebody else reads, and writes to from another thread too."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from stratum.transport import DirectServer


class Reader:
    """Takes `room` bytes, and leaves the rest; `kept` is what another thread could not send."""

    def __init__(self) -> None:
        self.room = 1000
        self.kept = b""
        self.sent = b""
        self.hung_up_before_closing: bool | None = None
        self.transport: Any = None

    def __call__(self) -> None:
        raise AssertionError("nothing is read here")

    def send(self, data: bytes) -> bool:
        data = self.kept + data
        taken, self.kept = data[: self.room], data[self.room :]
        self.room -= len(taken)
        self.sent += taken
        return not self.kept

    def left(self) -> bytes:
        data, self.kept = self.kept, b""
        return data

    def hang_up(self) -> None:
        self.hung_up_before_closing = self.transport.socket.fileno() >= 0


@pytest.fixture
def reader():
    ours, theirs = socket.socketpair()
    ignore = lambda *a: None  # noqa: E731
    reactor = SimpleNamespace(addReader=ignore, removeReader=ignore, addWriter=ignore, removeWriter=ignore)
    transport = DirectServer(ours, Protocol(), ("127.0.0.1", 1), None, 1, reactor)
    reader = Reader()
    reader.transport = transport
    transport.read_through(reader)
    yield reader
    ours.close()
    theirs.close()


def queued(transport: DirectServer) -> bytes:
    return transport.dataBuffer + b"".join(transport._tempDataBuffer)


def test_transport_sends_by_its_reader_and_queues_what_does_not_go(reader):
    transport = reader.transport
    transport.write(b"one\n")
    assert reader.sent == b"one\n" and not transport.unsent_bytes
    reader.room, reader.kept = 5, b"lf\n"  # the end of a line that the other thread began
    transport.write(b"two\n")
    assert reader.sent == b"one\nlf\ntw" and queued(transport) == b"o\n" and transport.unsent_bytes == 2
    reader.room = 100
    transport.write(b"three\n")
    assert queued(transport) == b"o\nthree\n", "nothing passes what is queued"


def test_transport_takes_over_what_its_reader_could_not_send(reader):
    transport = reader.transport
    transport.catch_up()
    assert not transport.unsent_bytes and not reader.sent
    reader.kept = b"one\n"
    transport.catch_up()
    assert reader.sent == b"one\n" and not transport.unsent_bytes
    reader.room, reader.kept = 1, b"two\n"
    transport.catch_up()
    assert queued(transport) == b"wo\n" and transport.unsent_bytes == 3 and transport.drained_bytes == 0
    reader.room, reader.kept = 100, b"three\n"
    transport.catch_up()
    assert queued(transport) == b"wo\nthree\n" and not reader.kept


def test_transport_hangs_its_reader_up_before_the_descriptor_is_free(reader):
    reader.transport.connectionLost(Failure(error.ConnectionDone()))
    assert reader.hung_up_before_closing is True
    reader.kept = b"late\n"
    reader.transport.catch_up()
    assert not reader.sent
