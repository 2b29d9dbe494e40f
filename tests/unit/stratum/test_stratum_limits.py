"""Every named limit: what happens just inside and just beyond it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from stratum_peer import Peer, make_job, methods, request

from stratum import errors
from stratum.addresses import AddressBook, AddressRecord
from stratum.events import AuthorizeRequest, Closed
from stratum.limits import Limits
from stratum.offer import Refused
from stratum.words import LOGIN_BYTES

LIMITS = Limits()


def test_limits_agree_with_words() -> None:
    assert LIMITS.login_bytes == LOGIN_BYTES


def test_limits_line_length() -> None:
    peer = Peer()
    peer.start()
    ping = b'{"id":1,"method":"mining.ping","params":[]'
    fits = ping + b" " * (LIMITS.line_bytes - len(ping) - 1) + b"}"
    assert methods(peer.raw(fits + b"\n")) == ["#1"]
    answers = peer.raw(fits[:-1] + b" }\n")
    assert answers[0]["error"][1] == "The line is too long" and peer.closed == "line_too_long"
    assert peer.raw(fits + b"\n") == []


@pytest.mark.parametrize("data", [b"x" * 65536, b'{"id":1,"method":"' + b"x" * 65536 + b'"}\n'])
def test_limits_64_kb_line_before_the_first_valid_one_is_left_in_silence(data: bytes) -> None:
    peer = Peer()
    assert peer.raw(data) == []
    assert peer.closed == "not_stratum"


def test_limits_messages_per_read_are_a_turn_not_a_loss() -> None:
    peer = Peer()
    peer.start()
    data = b"".join(json.dumps(request(n, "mining.ping")).encode() + b"\n" for n in range(100))
    assert peer.session.receive_data(data, peer.now) == []
    assert peer.session.pending and len(peer.read()) == LIMITS.messages_per_read
    turns = 1
    while peer.session.pending:
        peer.session.receive_data(b"", peer.now)
        turns += 1
    assert turns == 4 and [m["id"] for m in peer.read()] == list(range(32, 100))


def test_limits_authorizes_share_the_turn() -> None:
    """NOMP #168: fifteen authorizes a packet. The budget holds across the answers between them."""
    peer = Peer()
    session = peer.session
    data = b"".join(json.dumps(request(n, "mining.authorize", f"a.{n}")).encode() + b"\n" for n in range(100))
    events, asked = session.receive_data(data, peer.now), 0
    while events:
        assert len(events) == 1
        question = events[0]
        assert isinstance(question, AuthorizeRequest)
        asked += 1
        session.answer_authorize(question, peer.answer, peer.now)
        events = session.resume(peer.now)
    assert asked == LIMITS.messages_per_read and session.pending


def test_limits_unparsed_bytes() -> None:
    peer = Peer()
    peer.start()
    line = b'{"id":1,"method":"mining.ping","params":[]}\n'
    events = peer.session.receive_data(line * (LIMITS.unparsed_bytes // len(line) + 40), peer.now)
    assert isinstance(events[-1], Closed) and events[-1].reason == "unparsed_bytes"


def test_limits_malformed_lines() -> None:
    peer = Peer()
    peer.start()
    for _ in range(LIMITS.malformed_lines):
        assert peer.raw(b"nonsense\n")[0]["error"] == [20, "Expected one JSON object per line", None]
        assert peer.closed is None
    assert peer.raw(b"nonsense\n")[0]["error"][0] == 20
    assert peer.closed == "malformed"


@pytest.mark.parametrize(("spoken", "after_s", "reason"), [
    (b"", LIMITS.first_line_s, "first_line"),
    (b'{"id":1,"method"', LIMITS.first_line_s, "first_line"),
    (b"{}\n\n\n", LIMITS.first_line_s, "first_line"),
    (b'{"id":1,"method":"mining.subscribe","params":[]}\n', LIMITS.authorize_s, "authorize"),
])  # fmt: skip
def test_limits_time_to_begin(spoken: bytes, after_s: float, reason: str) -> None:
    peer = Peer()
    start = peer.now
    peer.raw(spoken)
    assert peer.session.deadline <= start + LIMITS.authorize_s
    peer.now = start + after_s - 0.01
    peer.timeouts()
    assert peer.closed is None
    assert peer.session.deadline <= start + after_s
    peer.now = start + after_s
    peer.timeouts()
    assert peer.closed == reason


def test_limits_idle_and_no_valid_share() -> None:
    idle = Peer()
    idle.start()
    idle.now += LIMITS.idle_s
    idle.timeouts()
    assert idle.closed == "idle"
    worthless = Peer()
    worthless.start()
    end = worthless.now + LIMITS.no_valid_share_s
    while worthless.now < end - 300:
        worthless.now += 300
        worthless.call("mining.ping")
        worthless.timeouts()
    assert worthless.closed is None
    worthless.now = end
    worthless.timeouts()
    assert worthless.closed == "no_valid_share"


def test_limits_deadline_is_never_late() -> None:
    """The edge asks only when the deadline has passed: nothing may be due before it."""
    peer = Peer()
    peer.start()
    closed_at = None
    for _ in range(700):
        peer.now += 1
        if peer.now >= peer.session.deadline:
            peer.timeouts()
        if peer.closed and closed_at is None:
            closed_at = peer.now
    assert closed_at is not None and closed_at <= 1000 + LIMITS.idle_s + 1


def test_limits_workers_and_logins() -> None:
    peer = Peer(limits=Limits(workers_per_connection=3, authorizes_per_connection=5))
    for name in "abc":
        assert peer.call("mining.authorize", name)["result"] is True
    assert peer.call("mining.authorize", "d")["error"] == [24, "too many workers on one connection", None]
    assert peer.call("mining.authorize", "a")["result"] is True
    assert peer.call("mining.authorize", "a")["result"] is True
    assert peer.call("mining.authorize", "a")["error"][1] == "too many logins on one connection"
    assert len(peer.logins) == 5


def test_limits_refused_logins_back_off() -> None:
    peer = Peer()
    peer.answer = Refused("no")
    for _ in range(4):
        assert peer.call("mining.authorize", "bad")["error"][1] == "no"
    assert "try again" in peer.call("mining.authorize", "bad")["error"][1]
    assert len(peer.logins) == 4
    waited = []
    for _ in range(7):
        start = peer.now
        while "try again" in peer.call("mining.authorize", "bad")["error"][1]:
            peer.now += 1
        waited.append(peer.now - start)
    assert waited == [3, 6, 12, 24, 48, 60, 60]


def reject_for(peer: Peer, seconds: int, error: errors.StratumError = errors.LOW_DIFFICULTY) -> list[dict[str, Any]]:
    seen = []
    for _ in range(seconds):
        peer.now += 1
        peer.session.reject(b"9", error, peer.now)
        seen += [m for m in peer.read() if "method" in m]
        if peer.closed:
            break
    return seen


def test_limits_invalid_ladder() -> None:
    peer = Peer(limits=Limits(ban_shares=10_000))
    peer.start()
    assert reject_for(peer, 60) == []
    fresh = reject_for(peer, 5)
    assert methods(fresh) == ["notify"] and fresh[0]["params"][8] is True
    assert methods(reject_for(peer, 60)) == ["client.reconnect"]
    assert reject_for(peer, 60) == []
    assert peer.closed == "invalid_shares"


def test_limits_one_valid_share_ends_the_ladder() -> None:
    peer = Peer(limits=Limits(ban_shares=10_000))
    peer.start()
    for _ in range(5):
        reject_for(peer, 55)
        peer.mine()
    assert peer.closed is None


def test_limits_a_slow_miner_with_one_stale_share_is_left_alone() -> None:
    peer = Peer()
    peer.start()
    reject_for(peer, 1, errors.STALE)
    peer.now += 400
    assert reject_for(peer, 1, errors.STALE) == [] and peer.closed is None


def test_limits_faults_of_the_pool_do_not_count() -> None:
    peer = Peer()
    peer.start()
    assert reject_for(peer, 500, errors.other("the disk is full", 0.0)) == [] and peer.closed is None


def test_limits_ban_after_200_shares_mostly_invalid() -> None:
    peer = Peer()
    peer.start()
    for _ in range(99):
        peer.mine()
    for index in range(101):
        assert peer.closed is None, index
        peer.session.reject(b"9", errors.LOW_DIFFICULTY, peer.now)
    assert peer.closed == "banned" and peer.session.standing.address.banned_until == peer.now + LIMITS.ban_s


@pytest.mark.parametrize("error", [errors.STALE, errors.DUPLICATE])
def test_limits_stale_and_duplicate_alone_never_ban(error: errors.StratumError) -> None:
    record = AddressRecord(LIMITS, 0.0)
    assert not any(record.invalid(error.penalty, 1.0) for _ in range(2000))


def test_limits_one_bad_machine_among_good_ones_bans_nobody() -> None:
    record = AddressRecord(LIMITS, 0.0)
    for index in range(5000):
        if index % 3 == 0:
            assert not record.invalid(1.0, float(index))
        else:
            record.shares += 1


def test_limits_accept_rate_per_address_and_in_all() -> None:
    book = AddressBook(LIMITS, 0.0)
    answers = [book.admit("10.0.0.1", 0.0) for _ in range(25)]
    assert [a for a in answers if isinstance(a, str)] == ["address_rate"] * 5
    assert sum(not isinstance(book.admit("10.0.0.1", 0.5), str) for _ in range(25)) == 10
    others = [book.admit(f"10.0.1.{n}", 0.5) for n in range(250)]
    assert others.count("rate") == 60  # the ten of 0.5 s above took theirs from the refilled 200


def test_limits_connections_per_address_and_total() -> None:
    book = AddressBook(Limits(connections_per_address=3, connections_total=5), 0.0)
    first = [book.admit("10.0.0.1", 0.0) for _ in range(4)]
    assert first[3] == "too_many_of_address"
    assert [isinstance(book.admit("10.0.0.2", 0.0), str) for _ in range(3)] == [False, False, True]
    assert isinstance(first[0], AddressRecord)
    book.leave(first[0], 1.0)
    assert not isinstance(book.admit("10.0.0.1", 1.0), str)
    assert book.admit("10.0.0.9", 1.0) == "too_many"


def test_limits_banned_address_is_turned_away_for_its_time() -> None:
    book = AddressBook(LIMITS, 0.0)
    record = book.admit("10.0.0.1", 0.0)
    assert isinstance(record, AddressRecord)
    record.banned_until = 600.0
    book.leave(record, 1.0)
    book.sweep(599.0)
    assert book.admit("10.0.0.1", 599.0) == "banned"
    assert book.admit("10.0.0.1", 600.0) is record


def test_limits_ipv6_counts_by_64_and_mapped_as_ipv4() -> None:
    book = AddressBook(Limits(connections_per_address=2), 0.0)
    assert book.admit("2001:db8::1", 0.0) is book.admit("2001:db8::ffff:2", 0.0)
    assert book.admit("2001:db8::3", 0.0) == "too_many_of_address"
    assert not isinstance(book.admit("2001:db8:0:1::3", 0.0), str)
    assert book.admit("::ffff:10.0.0.1", 0.0) is book.admit("10.0.0.1", 0.0)
    assert not isinstance(book.admit("fe80::1%eth0", 0.0), str)


def test_limits_loopback_is_exempt_only_on_request() -> None:
    strict = AddressBook(LIMITS, 0.0)
    assert "address_rate" in [strict.admit("127.0.0.1", 0.0) for _ in range(30)]
    lenient = AddressBook(Limits(exempt_loopback=True, connections_per_address=2), 0.0)
    records = [lenient.admit("127.0.0.1", 0.0) for _ in range(30)] + [lenient.admit("::1", 0.0)]
    assert all(isinstance(record, AddressRecord) for record in records)
    assert isinstance(records[0], AddressRecord) and not any(records[0].invalid(1.0, 1.0) for _ in range(500))
    assert not isinstance(lenient.admit("10.0.0.1", 0.0), str)


def test_limits_addresses_are_forgotten_and_bounded() -> None:
    book = AddressBook(Limits(addresses_remembered=3, accepts_per_s=1000.0), 0.0)
    for n in range(3):
        record = book.admit(f"10.0.0.{n}", 0.0)
        assert isinstance(record, AddressRecord)
        record.shares = n
        book.leave(record, 0.0)
    assert book.admit("10.0.0.9", 1.0) == "too_many_addresses"
    book.sweep(10.0)
    assert len(book) == 2, "the one that sent no share is forgotten first"
    book.sweep(LIMITS.ban_s + 1.0)
    assert len(book) == 0
    assert not isinstance(book.admit("10.0.0.9", LIMITS.ban_s + 1.0), str)


def test_limits_session_is_small_and_slotted() -> None:
    peer = Peer()
    peer.start()
    assert not hasattr(peer.session, "__dict__")
    for sequence in range(2, 400):
        peer.session.offer_job(make_job(sequence), peer.now)
        peer.session.data_to_send()
    assert len(peer.session.assignment.terms._points) == 1
