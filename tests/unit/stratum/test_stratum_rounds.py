"""Rounds of all connections: C deals with the plain case as connection.py would, and leaves every other one to it."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratum import _rounds, rounds  # not there: the package was installed without a C compiler
from stratum.connection import Connection
from stratum.limits import Limits
from stratum.offer import JobOffer

CAPS = (1.0, 250.0)
LINES = (b"a job\n", b"a clean job\n")


class Direct:
    """A transport's state, and a socket of its own."""

    def __init__(self) -> None:
        self.socket, self.peer = socket.socketpair()
        self.socket.setblocking(False)
        self.connected, self.disconnecting = 1, False
        self.dataBuffer, self._tempDataLen, self.offset = b"", 0, 0

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def unsent_bytes(self) -> int:
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def close(self) -> None:
        self.socket.close()
        self.peer.close()


def job(sequence: int = 7, caps: tuple[float, ...] = CAPS) -> JobOffer:
    return JobOffer(sequence, f"{sequence:x}", *LINES, False, caps)


def make(transport: Any, sequence: int = 6, caps: Any = CAPS) -> Any:
    assignment = SimpleNamespace(sequence=sequence, _steady_caps=caps, due=math.inf)
    deadlines = SimpleNamespace(due=math.inf)
    session = SimpleNamespace(closed=None, assignment=assignment, deadlines=deadlines)
    return SimpleNamespace(
        session=session, transport=transport, _leaving_since=None, _stalled_since=None, _closing_since=None
    )


@pytest.fixture
def transport() -> Iterator[Direct]:
    made = Direct()
    yield made
    made.close()


def send(connection: Any, clean_from: int = -1, offer: JobOffer | None = None) -> Any:
    (found,) = _rounds.send_job(Direct, [connection], offer or job(), clean_from) or [None]
    return found


@pytest.mark.parametrize("clean_from, line", [(-1, LINES[0]), (6, LINES[0]), (7, LINES[1])])
def test_rounds_a_steady_miner_has_the_job_at_once(transport: Direct, clean_from: int, line: bytes) -> None:
    """Clean to a miner whose last one is older than the newest clean job."""
    connection = make(transport, caps=tuple(CAPS))
    assert send(connection, clean_from) is None
    assert transport.peer.recv(100) == line
    assert connection.session.assignment.sequence == 7


def ended(connection: Any) -> None:
    connection.session.closed = "idle"


def retargeted(connection: Any) -> None:
    connection.session.assignment._steady_caps = None


def other_caps(connection: Any) -> None:
    connection.session.assignment._steady_caps = (1.0,)


def newer(connection: Any) -> None:
    connection.session.assignment.sequence = 7


def buffered(connection: Any) -> None:
    connection.transport.dataBuffer = b"x"


def gathered(connection: Any) -> None:
    connection.transport._tempDataLen = 1


def lost(connection: Any) -> None:
    connection.transport.connected = 0


def leaving(connection: Any) -> None:
    connection.transport.disconnecting = True


def wrapped(connection: Any) -> None:
    """As TLS is."""
    connection.transport = SimpleNamespace(**vars(connection.transport), fileno=connection.transport.fileno)


def closed(connection: Any) -> None:
    connection.transport.socket.close()


def gone(connection: Any) -> None:
    connection.transport.peer.close()


def without_transport(connection: Any) -> None:
    connection.transport = None


def without_session(connection: Any) -> None:
    del connection.session


@pytest.mark.parametrize(
    "change",
    [ended, retargeted, other_caps, newer, buffered, gathered, lost, leaving, wrapped, closed, gone, without_transport,
     without_session],
    ids=lambda change: change.__name__,
)  # fmt: skip
def test_rounds_what_is_out_of_the_ordinary_is_left_as_it_is(transport: Direct, change: Any) -> None:
    connection = make(transport)
    change(connection)
    before = vars(connection.session.assignment).copy() if hasattr(connection, "session") else None
    assert send(connection) == (connection, None)
    if before is not None:
        assert vars(connection.session.assignment) == before
    if transport.peer.fileno() >= 0 and transport.socket.fileno() >= 0:
        transport.peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            transport.peer.recv(1)


def test_rounds_give_back_what_does_not_fit(transport: Direct) -> None:
    transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    long = b"x" * 1_000_000 + b"\n"
    offer = JobOffer(7, "7", long, long, False, CAPS)
    connection = make(transport)
    found, rest = send(connection, offer=offer)
    assert found is connection and 0 < len(rest) < len(long) and long.endswith(rest)
    assert connection.session.assignment.sequence == 7, "it has the beginning, so it cannot be told anything else"
    second = make(transport)
    assert send(second, offer=offer) == (second, None), "no room at all: nothing has happened"
    assert second.session.assignment.sequence == 6


def test_rounds_keep_the_order_of_those_that_are_left() -> None:
    transports = [Direct() for _ in range(6)]
    try:
        connections = [make(transport) for transport in transports]
        for place in (1, 4, 5):
            retargeted(connections[place])
        left = _rounds.send_job(Direct, connections, job(), -1)
        assert [connection for connection, rest in left] == [connections[1], connections[4], connections[5]]
        assert rounds.python_send_job(Direct, connections, job(), -1) == [(each, None) for each in connections]
    finally:
        for transport in transports:
            transport.close()


def test_rounds_refuse_what_is_no_round() -> None:
    for arguments in ((), (Direct, (), job(), 1), (Direct, [], job(), "x"), (Direct, [], None, 1)):
        with pytest.raises((TypeError, AttributeError)):
            _rounds.send_job(*arguments)
    with pytest.raises(TypeError):
        _rounds.send_job(Direct, [], JobOffer(1, "1", "text", b"", False), 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _rounds.due(Direct, [], "now")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _rounds.by_difficulty(None)  # type: ignore[arg-type]


told = st.none() | st.sampled_from([0.5, 1.0, 2.0])
ranked = st.tuples(st.booleans(), st.booleans(), told, st.sampled_from([1.0, 3.0]))


@given(st.lists(ranked, max_size=30))
def test_rounds_twins_agree_on_who_comes_first(several: list[Any]) -> None:
    connections: list[Any] = []
    for subscribed, has_user, sent, asked in several:
        users = {"a": 1} if has_user else {}
        assignment = SimpleNamespace(terms=SimpleNamespace(sent=sent), difficulty=asked)
        session = SimpleNamespace(
            subscribed=subscribed, users=users, ready=subscribed and has_user, assignment=assignment
        )
        connections.append(SimpleNamespace(session=session))
    ours, twin = _rounds.by_difficulty(connections), rounds.python_by_difficulty(connections)
    assert [id(each) for each in ours] == [id(each) for each in twin]


def test_rounds_tell_of_a_difficulty_that_cannot_be_asked() -> None:
    session = SimpleNamespace(subscribed=True, users={"a": 1}, assignment=SimpleNamespace(terms=None))
    for kind in (_rounds.by_difficulty, rounds.python_by_difficulty):
        session.ready = True
        with pytest.raises(AttributeError):
            kind([SimpleNamespace(session=session)])  # type: ignore[list-item]


NOW = 100.0
times = st.none() | st.sampled_from([0.0, 95.0])
dues = st.sampled_from([-math.inf, 99.0, 100.0, 100.5, math.inf])


@given(times, times, times, st.none() | st.just("idle"), dues, dues, st.booleans(), st.integers(0, 1), st.booleans())
def test_rounds_leave_out_only_whom_a_sweep_does_nothing_to(
    leaving: float | None, stalled: float | None, closing: float | None, closed: str | None, due: float,
    assignment_due: float, has_buffer: bool, gathered_bytes: int, is_wrapped: bool,
) -> None:  # fmt: skip
    done: list[str] = []
    transport: Any = SimpleNamespace() if is_wrapped else Direct.__new__(Direct)
    vars(transport).update(
        dataBuffer=b"x" * has_buffer, _tempDataLen=gathered_bytes, offset=0, connected=1, disconnecting=False,
        drained_bytes=0, abortConnection=lambda: done.append("abort"),
    )  # fmt: skip
    if is_wrapped:
        transport.unsent_bytes = has_buffer + gathered_bytes
    connection = make(transport)
    connection._leaving_since, connection._stalled_since, connection._closing_since = leaving, stalled, closing
    connection._drained = 0
    connection._server = SimpleNamespace(limits=Limits())
    session = connection.session
    session.closed, session.deadlines.due, session.assignment.due = closed, due, assignment_due
    session.deadline = min(due, assignment_due)
    session.check_timeouts = lambda now: done.append("check")
    connection.close = connection.abort = done.append
    if connection in _rounds.due(Direct, [connection], NOW):
        return
    before = {name: value for name, value in vars(connection).items() if name.startswith("_")}
    Connection.sweep(connection, NOW)
    assert not done and {name: value for name, value in vars(connection).items() if name.startswith("_")} == before


def test_rounds_pass_over_whom_nothing_is_due_of(transport: Direct) -> None:
    at_rest, silent = make(transport), make(transport)
    silent.session.assignment.due = NOW
    assert _rounds.due(Direct, {1: at_rest, 2: silent}.values(), NOW) == [silent]
    assert rounds.python_due(Direct, [at_rest, silent], NOW) == [at_rest, silent]


def test_rounds_are_made_in_python_where_nothing_was_compiled() -> None:
    code = (
        "import sys; sys.modules['stratum._rounds'] = None\n"
        "from stratum import rounds\n"
        "assert rounds.send_job is rounds.python_send_job and rounds.due is rounds.python_due\n"
        "assert rounds.by_difficulty is rounds.python_by_difficulty\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("room", [True, False])
def test_rounds_write_by_the_reader_to_a_socket_that_two_threads_write_to(transport: Direct, room: bool) -> None:
    sent: list[bytes] = []
    transport._reader = SimpleNamespace(send=lambda line: sent.append(line) or room)  # type: ignore[attr-defined]
    connection = make(transport)
    assert send(connection) == (None if room else (connection, b""))
    assert sent == [LINES[0]] and connection.session.assignment.sequence == 7
    with pytest.raises(BlockingIOError):
        transport.peer.recv(100, socket.MSG_DONTWAIT)


def test_rounds_an_error_of_who_sends_is_told(transport: Direct) -> None:
    transport._reader = SimpleNamespace(send=lambda: True)  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        send(make(transport))


def test_rounds_the_rest_that_a_reader_kept_is_taken_over() -> None:
    caught: list[int] = []
    connection = SimpleNamespace(session=SimpleNamespace(closed=None), catch_up=lambda: caught.append(1))
    Connection.offer_rest(connection, b"")  # type: ignore[arg-type]
    connection.session.closed = "banned"
    Connection.offer_rest(connection, b"")  # type: ignore[arg-type]
    assert caught == [1]
