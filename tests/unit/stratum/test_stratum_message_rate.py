"""What a connection may send in the long run, and what happens beyond it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import pytest
from stratum_peer import POLICY, Peer, make_job, methods, request, submit_request

from stratum.addresses import TELL_INTERVAL_S, AddressBook, AddressRecord
from stratum.events import Closed, Submit
from stratum.limits import Limits
from stratum.message_rate import MessageRate
from stratum.offer import PortPolicy
from stratum.server import StratumServer

LIMITS = Limits()
FIXED = PortPolicy(1, 1, 1, vardiff=False)


def steps(counts: Iterable[int], policy: PortPolicy = FIXED, exempt: bool = False) -> list[tuple[int, str]]:
    """(second, step) for a connection that sends so many messages in each second, in ten reads."""
    rate = MessageRate(LIMITS, policy, exempt, 0.0)
    found = []
    for second, count in enumerate(counts):
        for part in range(10):
            now = second + part / 10
            step = rate.look(now) if now >= rate.due else None
            if step is not None:
                found.append((second, step))
            rate.count += count // 10
    return found


def floods(counts: Iterable[int], policy: PortPolicy = FIXED, exempt: bool = False) -> list[int]:
    return [second for second, step in steps(counts, policy, exempt) if step == "flood"]


def test_message_rate_is_a_flood_when_it_lasts() -> None:
    assert floods([60] * 11)[:1] == [10]
    assert floods([50] * 1000) == [] and floods([10_000] * 10) == [], "at the limit; not yet for so long"


def test_message_rate_forgives_a_burst_and_the_silence_behind_it() -> None:
    assert floods([5000, *[0] * 100] * 5) == []
    assert floods([*[60] * 9, *[1] * 9] * 20) == []
    rate = MessageRate(LIMITS, FIXED, False, 0.0)
    for burst in range(1, 5):
        rate.count += 5000
        assert rate.look(60.0 * burst) is None, "one read's worth a minute"


def test_message_rate_finds_who_pauses_to_be_forgiven() -> None:
    assert floods([*[10_000] * 9, 0] * 3)[0] == 12


def test_message_rate_is_no_flood_where_the_port_asks_for_it_or_the_address_is_exempt() -> None:
    many = PortPolicy(1, 1, 1, cap_max_shares_per_min=1200)
    assert floods([190] * 30, many) == [] and floods([210] * 30, many)
    quick = PortPolicy(1, 1, 1, share_interval_s=0.05)
    assert floods([190] * 30, quick) == [] and floods([210] * 30, quick)
    assert floods([100_000] * 30, exempt=True) == []


def test_message_rate_ten_times_the_ports_wants_a_new_difficulty_each_ten_seconds() -> None:
    pace = [20 if second % 4 == 0 else 0 for second in range(40)]
    assert steps(pace) == [], "five a second on average, but not steadily"
    assert steps([10] * 35) == [(10, "retarget"), (20, "retarget"), (30, "retarget")]
    assert steps([10] * 35, exempt=True) == [(10, "retarget"), (20, "retarget"), (30, "retarget")]


def mine_for(peer: Peer, seconds: float, per_s: float) -> list[dict[str, Any]]:
    """The calls a miner gets that finds shares at a steady pace."""
    told = []
    for _ in range(int(seconds * per_s)):
        peer.now += 1 / per_s
        told += [message for message in peer.mine() if "method" in message]
    return told


def test_message_rate_raises_the_difficulty_at_once_after_ten_fast_seconds() -> None:
    """Twelve times too fast: vardiff knows after eight shares, but so small a rise waits for the next job."""
    peer = Peer()
    peer.start()
    assert mine_for(peer, 9, 3.0) == []
    told = mine_for(peer, 3, 3.0)
    assert methods(told) == ["set_difficulty", "notify"] and told[0]["params"][0] > 4 and told[1]["params"][8] is False
    slower = Peer()
    slower.start()
    assert mine_for(slower, 28, 2.0) == []
    slower.session.offer_job(make_job(2), slower.now)
    assert slower.read()[0]["params"][0] >= 4


def test_message_rate_sends_nothing_where_no_difficulty_changes() -> None:
    peer = Peer(FIXED)
    peer.start()
    assert mine_for(peer, 40, 10.0) == []


def flood(peer: Peer, seconds: int) -> list[str]:
    """Ninety pings and ten shares a second until the connection ends; the answers to the last of them."""
    pings = [request(n, "mining.ping") for n in range(9)]
    said: list[str] = []
    for _ in range(seconds * 10):
        if peer.closed is None:
            peer.now += 0.1
            said = methods(peer.send(*pings, submit_request()))
    return said


def test_message_rate_ends_a_flood_and_looks_at_its_last_read() -> None:
    peer = Peer()
    peer.start()
    flood(peer, 9)
    assert peer.closed is None
    assert flood(peer, 3) == [f"#{n}" for n in range(9)] and peer.closed == "flood"
    assert [type(event) for event in peer.events[-2:]] == [Submit, Closed]
    assert not peer.session.pending and peer.send(request(1, "mining.ping")) == []


def test_message_rate_of_an_exempt_address_is_its_own_affair() -> None:
    book = AddressBook(Limits(exempt_loopback=True), 1000.0)
    record = book.admit("127.0.0.1", 1000.0)
    assert isinstance(record, AddressRecord)
    peer = Peer(address=record)
    peer.start()
    flood(peer, 30)
    assert peer.closed is None
    strict = Peer()
    flood(strict, 30)
    assert strict.closed == "flood", "logged in or not"


class Edge:
    """As much of a connection as the server needs when it is gone."""

    remote_address = "192.0.2.7"

    def __init__(self, address: AddressRecord, now: float) -> None:
        self._address = address
        self.session = Peer(now=now).session
        self.session.user_agent = "noisy/1.0"
        self.session.end("flood")


def test_message_rate_flood_is_counted_always_and_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 1000.0
    server = StratumServer(None, POLICY, clock=lambda: now)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING, "parapool.stratum"):
        for at in (1000.0, 1010.0, 1000.0 + TELL_INTERVAL_S):
            now = at
            record = server.addresses.admit(Edge.remote_address, now)
            assert isinstance(record, AddressRecord)
            server.left(Edge(record, now))  # type: ignore[arg-type]
    assert caplog.messages == ["flooding address=192.0.2.7 agent='noisy/1.0'"] * 2
    assert server.counters.closed == {"flood": 3}
