from __future__ import annotations

from chains.peers.core import MessageType
from chains.peers.pacing import MAX_WAITING_BYTES, Pacing
from chains.peers.rates import PeerRates

MESSAGES = (MessageType("a", "", 10**6, 10, 40), MessageType("b", "", 10**6, 1, 1))


def test_peers_pacing_stays_within_what_the_receiver_allows_also_over_a_line_that_halts() -> None:
    pacing, rates = Pacing(MESSAGES, 0), PeerRates(MESSAGES, 0)
    waiting = [b"%d" % number for number in range(200)]
    arrived: list[bytes] = []
    sent = [payload for payload in waiting if pacing.may_send("a", payload, 0)]
    assert len(sent) == 20
    held: list[bytes] = list(sent)
    for now_ms in range(100, 30_000, 100):
        held += [payload for _, payload in pacing.due(now_ms)]
        if now_ms % 2000 == 0:  # the line delivers every two seconds only
            assert all(rates.take("a", now_ms) for _ in held)
            arrived += held
            held = []
    assert arrived == waiting and not pacing.waits and pacing.dropped == 0


def test_peers_pacing_types_do_not_hold_each_other_up() -> None:
    pacing = Pacing(MESSAGES, 0)
    assert pacing.may_send("b", b"1", 0)
    assert not pacing.may_send("b", b"2", 0)
    assert pacing.may_send("a", b"3", 0)
    assert pacing.waits and pacing.due(1000) == [] and pacing.due(1250) == [("b", b"2")]


def test_peers_pacing_waiting_is_bounded() -> None:
    pacing = Pacing(MESSAGES, 0)
    for _ in range(10):
        pacing.may_send("b", bytes(MAX_WAITING_BYTES // 4), 0)
    assert pacing.dropped == 6
    assert len(pacing.due(10_000)) == 1
