"""Logins are free for whoever sends them and not for us: what one address may ask and hold."""

from __future__ import annotations

from stratum_peer import Peer, request

from stratum.addresses import IDLE_RECORD_S, AddressBook, AddressRecord
from stratum.limits import Limits


def peer_of(record: AddressRecord, limits: Limits) -> Peer:
    peer = Peer(limits=limits, address=record)
    peer.call("mining.subscribe", "x")
    return peer


def log_in(peer: Peer, *names: str) -> list[bool]:
    answers = peer.send(*(request(i, "mining.authorize", name, "x") for i, name in enumerate(names, 100)))
    return [answer["result"] is True for answer in answers if answer.get("id") is not None and answer["id"] >= 100]


def test_login_limits_rate_of_an_address_over_all_its_connections() -> None:
    limits = Limits(logins_per_address_per_s=2.0)
    record = AddressRecord(limits, 1000.0)
    one, two = peer_of(record, limits), peer_of(record, limits)
    burst = int(IDLE_RECORD_S * 2.0)
    assert log_in(one, *(f"a.{i}" for i in range(burst - 1))) == [True] * (burst - 1)
    assert log_in(two, "b.1", "b.2") == [True, False]
    assert "too many logins from your address" in two.call("mining.authorize", "b.3", "x")["error"][1]
    assert (one.closed, two.closed, len(two.logins)) == (None, None, 1), "the pool is not asked"
    two.now += 1.0
    assert log_in(two, "b.4", "b.5", "b.6") == [True, True, False]
    two.now += 1000.0
    two.session.deadlines.last_line = two.now
    assert log_in(two, *(f"c.{i}" for i in range(burst + 1))) == [True] * burst + [False], "a burst is all it saves"


def test_login_limits_workers_of_an_address_over_all_its_connections() -> None:
    limits = Limits(workers_per_address=5)
    record = AddressRecord(limits, 1000.0)
    one, two = peer_of(record, limits), peer_of(record, limits)
    assert log_in(one, "a", "b", "a", "c") == [True] * 4 and record.workers == 3
    assert log_in(two, "a", "b", "c") == [True, True, False] and record.workers == 5
    assert "too many workers from your address" in two.call("mining.authorize", "d", "x")["error"][1]
    one.session.close("disconnected", one.now)
    one.session.close("disconnected", one.now)
    assert record.workers == 2
    assert log_in(two, "c", "d", "e", "f") == [True, True, True, False]


def test_login_limits_do_not_hold_for_an_exempt_proxy() -> None:
    limits = Limits(workers_per_address=2, logins_per_address_per_s=0.1, exempt_loopback=True)
    record = AddressBook(limits, 1000.0).admit("127.0.0.1", 1000.0)
    assert isinstance(record, AddressRecord) and record.exempt
    assert all(log_in(peer_of(record, limits), *(f"a.{i}" for i in range(20))))


def test_login_limits_let_a_rack_behind_one_connection_in_at_once() -> None:
    limits = Limits()
    peer = peer_of(AddressRecord(limits, 1000.0), limits)
    assert all(log_in(peer, *(f"addr.{i}" for i in range(limits.workers_per_connection))))
