"""A miner comes back with its session id, to the process it was at or to another: it goes on at its difficulty, never
under an extranonce1 that somebody else may hold, and its session id is worth nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from stratum_peer import POLICY, Peer, make_job, request, submit_request

from stratum import errors
from stratum.extranonce import ExtranonceAllocator, ExtranonceSpace
from stratum.offer import Authorized, PortPolicy
from stratum.rate_memory import Pace

SECRET = b"s" * 32


def _process(slot: int) -> ExtranonceAllocator:
    return ExtranonceAllocator(0, SECRET, ExtranonceSpace(slot << 24, 1 << 24))


def _mined(allocator: ExtranonceAllocator, policy: PortPolicy = POLICY, shares: int = 60) -> tuple[Peer, str]:
    """A miner far too fast for its first difficulty, and its session id."""
    peer = Peer(policy, allocator=allocator)
    session_id = peer.call("mining.subscribe", "miner/1")["result"][0][1][1]
    peer.call("mining.authorize", "addr.w", "x")
    for _ in range(shares):
        peer.now += 0.05
        peer.mine()
    peer.session.offer_job(make_job(2), peer.now)  # a moderate rise waits for it
    peer.read()
    assert peer.session.assignment.difficulty > 20
    return peer, session_id


def _told(allocator: ExtranonceAllocator, to: ExtranonceAllocator) -> None:
    """What one process knows of who left it, another hears."""
    for extranonce1, pace in allocator.memory.all(1000.0).items():
        to.memory.note(extranonce1, pace, 1000.0)


def _difficulties(answers: list[dict[str, Any]]) -> list[float]:
    return [m["params"][0] for m in answers if m.get("method") == "mining.set_difficulty"]


def _back(allocator: ExtranonceAllocator, session_id: str, policy: PortPolicy = POLICY, password: str = "x") -> Peer:
    peer = Peer(policy, allocator=allocator)
    if password.startswith("d="):
        peer.answer = Authorized("user", float(password[2:]))
    peer.events.clear()
    answers = peer.send(
        request(1, "mining.subscribe", "miner/1", session_id), request(2, "mining.authorize", "addr.w", password)
    )
    peer.first = _difficulties(answers)  # type: ignore[attr-defined]
    return peer


@pytest.mark.parametrize("slot", [1, 2])
def test_going_on_at_the_same_difficulty_here_and_at_another_process(slot: int) -> None:
    here = _process(1)
    peer, session_id = _mined(here)
    before = peer.session.assignment.difficulty
    former = peer.session.extranonce1
    peer.session.close("disconnected", peer.now)
    there = here if slot == 1 else _process(2)
    _told(here, there)
    back = _back(there, session_id)
    assert back.first == [before]  # type: ignore[attr-defined]
    assert (back.session.extranonce1 == former) == (slot == 1) and back.session.extranonce1[0] == slot


def test_going_on_before_the_old_connection_is_seen_to_end() -> None:
    here = _process(1)
    peer, session_id = _mined(here)
    back = _back(here, session_id)
    assert back.first == [peer.session.assignment.difficulty]  # type: ignore[attr-defined]
    assert back.session.extranonce1 != peer.session.extranonce1, "two living connections never share one"


def test_going_on_of_a_settled_miner_is_no_search() -> None:
    there = _process(2)
    one = _process(1)
    session_id = one.session_id(one.acquire())
    there.memory.note(bytes.fromhex(session_id[:8]), Pace(4100.0 / POLICY.share_interval_s, True), 1000.0)
    back = _back(there, session_id)
    assert back.first == [4100]  # type: ignore[attr-defined]
    vardiff = back.session.assignment.terms.vardiff
    assert not vardiff.searching and back.session.pace() == Pace(4100.0 / POLICY.share_interval_s, True)
    for _ in range(200):
        back.now += POLICY.share_interval_s
        back.mine()
    assert _difficulties(back.read()) == [] and back.session.assignment.difficulty == 4100
    for _ in range(200):
        back.now += 60.0
        back.timeouts()
    assert back.session.assignment.difficulty < 4100, "it changed after all, and is found again"


def test_going_on_holds_against_what_firmware_asks_for_at_each_connection() -> None:
    here = _process(1)
    peer, session_id = _mined(here)
    before = peer.session.assignment.difficulty
    peer.session.close("disconnected", peer.now)
    assert _back(here, session_id, password="d=2").first == [before]  # type: ignore[attr-defined]
    assert _back(here, session_id, password=f"d={int(before * 8)}").first == [before * 8]  # type: ignore[attr-defined]
    late = _back(here, session_id)
    late.call("mining.suggest_difficulty", 2)
    assert late.session.assignment.terms.vardiff.difficulty == 2, "asked on the way, it is meant"


@pytest.mark.parametrize(
    ("policy", "difficulty"),
    [
        (replace(POLICY, maximum_difficulty=8.0), 4.0),  # half of it while it is searched for, as ever
        (replace(POLICY, share_interval_s=2 * POLICY.share_interval_s), 164.0),
        (replace(POLICY, vardiff=False), 1.0),
    ],
)
def test_going_on_stays_within_the_terms_of_the_port(policy: PortPolicy, difficulty: float) -> None:
    here = _process(1)
    peer, session_id = _mined(here)
    assert peer.session.assignment.difficulty == 82
    peer.session.close("disconnected", peer.now)
    assert _back(here, session_id, policy).first == [difficulty]  # type: ignore[attr-defined]


def test_going_on_needs_the_very_session_id() -> None:
    here = _process(1)
    peer, session_id = _mined(here)
    peer.session.close("disconnected", peer.now)
    stranger = ExtranonceAllocator(0, b"t" * 32)
    wrong = session_id[:-1] + ("0" if session_id[-1] != "0" else "1")
    guesses = [wrong, session_id[:8], stranger.session_id(b"\1\0\0\0")]
    for guess in guesses:
        assert _back(here, guess).first == [1]  # type: ignore[attr-defined]
    assert _back(here, session_id, replace(POLICY, realm="pps")).first == [1]  # type: ignore[attr-defined]
    back = _back(here, session_id)
    assert back.logins == [("addr.w", "x")], "and it has to log in like anybody"


def test_going_on_elsewhere_work_of_before_is_stale_and_never_credited() -> None:
    here, there = _process(1), _process(2)
    peer, session_id = _mined(here)
    peer.session.close("disconnected", peer.now)
    back = _back(there, session_id)
    assert back.session.former_extranonce1(1) is None, "nobody's work under another's extranonce1 is judged"
    for wait_s, code in ((0.0, 21), (29.0, 21), (1.5, 23)):
        back.now += wait_s
        back.send(submit_request("addr.w", "1"))
        back.session.reject(back.submits.pop().id, errors.LOW_DIFFICULTY, back.now)
        [answer] = back.read()
        assert answer["error"][0] == code
    new = Peer(allocator=there)
    new.start()
    new.send(submit_request("addr.w", "1"))
    new.session.reject(new.submits.pop().id, errors.LOW_DIFFICULTY, new.now)
    assert new.read()[0]["error"][0] == 23, "who has no session of before gets no such grace"


def test_going_on_nothing_is_kept_of_who_has_shown_nothing() -> None:
    here = _process(1)
    for shares in (0, 3):
        peer = Peer(allocator=here)
        peer.start()
        for _ in range(shares):
            peer.mine()
        peer.session.offer_job(make_job(2), peer.now)
        peer.session.close("disconnected", peer.now)
    assert len(here.memory) == 0
