"""What a session answers, in which order, and that no input makes it raise."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stratum_peer import Peer, make_job, methods, request, submit_request

from stratum import errors
from stratum.assignment import SETTLE_S
from stratum.limits import Limits
from stratum.offer import Authorized, PortPolicy, Refused

HANDSHAKE = [
    request(1, "mining.configure", ["version-rolling"], {"version-rolling.mask": "ffffffff"}),
    request(2, "mining.subscribe", "agent"),
    request(3, "mining.authorize", "addr.w", "x"),
]


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("packets", [True, False], ids=["one-packet", "three-packets"])
def test_session_handshake_in_any_order(order: tuple[int, ...], packets: bool) -> None:
    peer = Peer()
    requests = [HANDSHAKE[index] for index in order]
    if packets:
        seen = methods(peer.send(*requests))
    else:
        seen = [name for one in requests for name in methods(peer.send(one))]
    replies = [f"#{r['id']}" for r in requests]
    if packets:
        assert seen == [*replies, "set_difficulty", "notify"]
    else:
        assert [name for name in seen if name.startswith("#")] == replies
        assert seen.index("set_difficulty") > max(seen.index("#2"), seen.index("#3"))
        assert seen.index("notify") == seen.index("set_difficulty") + 1


def test_session_every_cut_of_the_handshake_is_the_same() -> None:
    data = b"".join(json.dumps(r).encode() + b"\n" for r in HANDSHAKE)
    for cut in range(1, len(data)):
        peer = Peer()
        seen = methods(peer.raw(data[:cut]) + peer.raw(data[cut:]))
        assert [n for n in seen if n in ("#1", "#2", "#3", "notify")] == ["#1", "#2", "#3", "notify"], cut


def test_session_notify_needs_both_and_a_job() -> None:
    peer = Peer()
    peer.job = None
    assert methods(peer.start()) == ["#1", "#2"]
    assert peer.session.ready
    peer.job = make_job(4)
    assert peer.session.offer_job(peer.job, peer.now)
    assert methods(peer.read()) == ["set_difficulty", "notify"]


def test_session_subscribe_answers_and_repeats_itself() -> None:
    peer = Peer()
    first = peer.call("mining.subscribe", "agent/1")["result"]
    assert [kind for kind, _ in first[0]] == ["mining.set_difficulty", "mining.notify"]
    assert first[1] == peer.session.extranonce1.hex() and first[2] == 4
    assert peer.call("mining.subscribe")["result"] == first
    assert len(peer.allocator) == 1
    peer.session.close("disconnected", peer.now)
    peer.session.close("disconnected", peer.now)
    assert len(peer.allocator) == 0


def test_session_resume_returns_the_extranonce() -> None:
    peer = Peer()
    subscriptions, extranonce1, _ = peer.call("mining.subscribe", "cgminer/4.10")["result"]
    peer.session.close("disconnected", peer.now)
    Peer(allocator=peer.allocator).call("mining.subscribe", "other")
    again = Peer(allocator=peer.allocator).call("mining.subscribe", "cgminer/4.10", subscriptions[1][1])["result"]
    assert again[1] == extranonce1


def test_session_submit_reaches_the_pool_as_numbers() -> None:
    peer = Peer()
    peer.start()
    peer.call("mining.configure", ["version-rolling"], {"version-rolling.mask": "ffffffff"})
    assert peer.send(submit_request(job="AbC", id="s-1", extranonce2="0A0b0C0d", nonce="00000001", v="00FFe000")) == []
    submit = peer.submits[0]
    assert (submit.worker, submit.job_id, submit.id) == ("addr.w", "abc", b'"s-1"')
    assert (submit.extranonce2.hex(), submit.ntime, submit.nonce) == ("0a0b0c0d", 0x6553F100, 1)
    assert submit.version_bits == 0x00FFE000
    peer.session.accept(submit, 1.0, peer.now)
    assert peer.read() == [{"id": "s-1", "result": True, "error": None}]


def test_session_answers_of_a_batch_leave_together() -> None:
    peer = Peer()
    peer.start()
    peer.send(*[submit_request(id=n) for n in range(10, 15)])
    for submit in peer.submits[:3]:
        peer.session.accept(submit, 1.0, peer.now)
    peer.session.reject(peer.submits[3].id, errors.STALE, peer.now)
    answers = peer.read()
    assert [a["id"] for a in answers] == [10, 11, 12, 13]
    assert answers[3]["error"] == [21, "Stale job", None]


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"extranonce2": "000000"}, 20, "extranonce2 must be 8 hex digits"),
        ({"extranonce2": "0000000000"}, 20, "extranonce2 must be 8 hex digits"),
        ({"extranonce2": ""}, 20, "extranonce2 must be 8 hex digits"),
        ({"extranonce2": "0000000g"}, 20, "must be hex digits"),
        ({"extranonce2": "00 00 00"}, 20, "must be hex digits"),
        ({"extranonce2": "000000  "}, 20, "must be hex digits"),
        ({"ntime": "6553f10"}, 20, "8 hex digits each"),
        ({"ntime": "0x6553f1"}, 20, "must be hex digits"),
        ({"nonce": "+1234567"}, 20, "must be hex digits"),
        ({"nonce": "deadbeef0"}, 20, "8 hex digits each"),
        ({"nonce": "\u0661" * 8}, 20, "must be hex digits"),
        ({"nonce": 5}, 20, "as strings"),
        ({"ntime": None}, 20, "as strings"),
        ({"version": "2000000"}, 20, "version_bits must be 8 hex digits"),
        ({"version": 536870912}, 20, "version_bits must be 8 hex digits"),
        ({"worker": "addr", "extranonce2": "000000"}, 24, "Unauthorized worker"),
        ({"worker": "addr.W", "ntime": "6553f10"}, 24, "Unauthorized worker"),
        ({"worker": "addr", "nonce": "+1234567"}, 24, "Unauthorized worker"),
        ({"worker": "addr", "extranonce2": "00 00 00"}, 24, "Unauthorized worker"),
        ({"worker": "addr", "version": "2000000"}, 24, "Unauthorized worker"),
        ({"worker": ["addr.w"]}, 20, "as strings"),
        ({"job": 1}, 20, "as strings"),
    ],
)
def test_session_submit_refusals(changes: dict[str, Any], code: int, text: str) -> None:
    peer = Peer()
    peer.start()
    peer.call("mining.configure", ["version-rolling"], {"version-rolling.mask": "1fffe000"})
    answer = peer.send(submit_request(**changes))[0]
    assert answer["error"][0] == code and text in answer["error"][1]
    assert peer.submits == [] and peer.closed is None


@pytest.mark.parametrize("params", [[], ["addr.w"], ["addr.w", "1", "00000000", "6553f100"], {}, None, 7, [None] * 5])
def test_session_submit_of_another_shape_is_refused(params: Any) -> None:
    peer = Peer()
    peer.start()
    answer = peer.send({"id": 3, "method": "mining.submit", "params": params})[0]
    assert answer["error"][0] == 20
    assert peer.submits == []


def test_session_submit_checks_in_order() -> None:
    peer = Peer()
    bad = submit_request(worker="stranger", extranonce2="0", v="ffffffff")
    assert peer.send(bad)[0]["error"][0] == 25
    peer.call("mining.subscribe")
    assert peer.send(bad)[0]["error"][0] == 24
    peer.call("mining.authorize", "addr.w")
    bad["params"][0] = "addr.w"
    assert "extranonce2" in peer.send(bad)[0]["error"][1]
    bad["params"][2] = "00000000"
    assert peer.send(bad) == []
    assert peer.submits[-1].version_bits == 0xFFFFFFFF, "a bit outside the mask is refused by the pool, after the hash"


def test_session_version_bits_without_negotiation() -> None:
    peer = Peer()
    peer.start()
    peer.send(submit_request(v="00000000"), submit_request(v=None), submit_request())
    assert [s.version_bits for s in peer.submits] == [0, None, None]


def test_session_extranonce2_size_is_the_ports() -> None:
    peer = Peer(PortPolicy(1, 0.001, 1e6, extranonce2_size=8))
    assert peer.call("mining.subscribe")["result"][2] == 8
    peer.call("mining.authorize", "addr.w")
    assert "16 hex digits" in peer.send(submit_request())[0]["error"][1]
    peer.send(submit_request(extranonce2="00112233445566AA"))
    assert peer.submits[0].extranonce2.hex() == "00112233445566aa"


def test_session_configure_answers_only_what_was_asked() -> None:
    peer = Peer()
    assert peer.call("mining.configure", ["version-rolling"], {"version-rolling.mask": "ffffffff"})["result"] == {
        "version-rolling": True,
        "version-rolling.mask": "1fffe000",
    }
    assert peer.call("mining.configure", [], {})["result"] == {}
    assert peer.call("mining.configure", ["subscribe-extranonce", "info"], {})["result"] == {
        "subscribe-extranonce": True,
        "info": True,
    }
    assert peer.session.extranonce_subscribed
    assert peer.call("mining.configure", ["x-rolling"], {})["result"] == {"x-rolling": False}
    assert peer.call("mining.configure", ["version-rolling"], {"version-rolling.mask": 5})["result"] == {
        "version-rolling": False
    }
    assert peer.session.version_mask == 0
    for wrong in ([], ["version-rolling"], [None, {}], [{}]):
        assert peer.send({"id": 1, "method": "mining.configure", "params": wrong})[0]["error"][0] == 20


def test_session_minimum_difficulty_is_a_floor() -> None:
    peer = Peer()
    answer = peer.call("mining.configure", ["minimum-difficulty"], {"minimum-difficulty.value": 2048})
    assert answer["result"] == {"minimum-difficulty": True}
    assert peer.start()[2]["params"] == [2050]
    for value in (True, "8", None, -1, 0, [8]):
        answer = peer.call("mining.configure", ["minimum-difficulty"], {"minimum-difficulty.value": value})
        assert answer["result"] == {"minimum-difficulty": False}


def test_session_authorize_passes_words_and_says_no() -> None:
    peer = Peer()
    peer.answer = Refused("the address is not of this chain")
    assert peer.call("mining.authorize", "nope", "d=5")["error"] == [24, "the address is not of this chain", None]
    assert peer.logins == [("nope", "d=5")]
    assert not peer.session.ready
    for params in ([], [None], [5], {}, [["a"]]):
        assert peer.send({"id": 1, "method": "mining.authorize", "params": params})[0]["error"][0] == 20
    assert peer.call("mining.authorize", "x" * 513)["error"][0] == 24
    assert len(peer.logins) == 1


def test_session_several_workers_on_one_connection() -> None:
    peer = Peer()
    peer.start("addr.a")
    peer.answer = Authorized("second")
    peer.call("mining.authorize", "addr.b", "x")
    peer.send(submit_request("addr.a"), submit_request("addr.b"))
    assert [s.worker for s in peer.submits] == ["addr.a", "addr.b"]
    assert peer.session.users == {"addr.a": "user", "addr.b": "second"}
    assert peer.send(submit_request("addr.c")) == []
    assert peer.submits[-1].worker not in peer.session.users, "the pool's to refuse: it may be a block"


def test_session_password_difficulty_and_message() -> None:
    peer = Peer()
    peer.answer = Authorized("u", 512.0, "chain beta is not known here: held")
    seen = peer.start()
    assert methods(seen) == ["#1", "#2", "client.show_message", "set_difficulty", "notify"]
    assert seen[3]["params"] == [512]


def test_session_typed_difficulty_holds_against_the_firmwares_own() -> None:
    peer = Peer()
    peer.answer = Authorized("u", 512.0)
    seen = peer.send(*HANDSHAKE, request(4, "mining.suggest_difficulty", 1000))
    assert seen[3]["result"] is True and seen[4]["params"] == [512]


def test_session_submit_behind_authorize_in_one_packet_is_judged_after_it() -> None:
    peer = Peer()
    seen = peer.send(*HANDSHAKE, submit_request("addr.w"), submit_request("addr.x", id=10))
    assert [submit.worker for submit in peer.submits] == ["addr.w", "addr.x"]
    assert methods(seen)[:3] == ["#1", "#2", "#3"] and list(peer.session.users) == ["addr.w"]


def test_session_suggestion_before_the_first_job_is_its_difficulty() -> None:
    peer = Peer()
    seen = peer.send(*HANDSHAKE, request(4, "mining.suggest_difficulty", 1000))
    assert methods(seen) == ["#1", "#2", "#3", "#4", "set_difficulty", "notify"]
    assert seen[4]["params"] == [1000]


def test_session_lower_difficulty_is_sent_at_once_with_the_same_job() -> None:
    peer = Peer()
    peer.start()
    peer.now += 5
    seen = peer.send(request(4, "mining.suggest_difficulty", 0.1))
    assert methods(seen) == ["#4", "set_difficulty", "notify"]
    assert seen[1]["params"] == [0.125] and seen[2]["params"][8] is False
    assert peer.session.assignment.terms.for_job(1) == 0.125


def test_session_moderately_higher_difficulty_waits_for_the_next_job() -> None:
    peer = Peer()
    peer.start()
    peer.now += 5
    assert methods(peer.send(request(4, "mining.suggest_difficulty", 8))) == ["#4"]
    peer.session.offer_job(make_job(2), peer.now)
    seen = peer.read()
    assert methods(seen) == ["set_difficulty", "notify"] and seen[0]["params"] == [8]
    assert (peer.session.assignment.terms.for_job(1), peer.session.assignment.terms.for_job(2)) == (1.0, 8.0)
    assert peer.session.counters.retargets == {"up": 1}, "the first difficulty is no retarget"


def test_session_flood_gets_its_difficulty_at_once_but_the_job_keeps_its_terms() -> None:
    peer = Peer()
    peer.start()
    told: list[dict[str, Any]] = []
    for _ in range(8):
        peer.now += 0.01
        told += [m for m in peer.mine() if "method" in m]
    assert methods(told) == ["set_difficulty", "notify"]
    assert told[0]["params"][0] >= 100
    assert peer.session.assignment.terms.for_job(1) == 1.0, "credit of work in hand never rises"
    settled = told[0]["params"][0]
    peer.now += SETTLE_S
    for _ in range(30):  # at the right pace of a search now, though each share is credited with 1
        peer.now += 2.0
        assert methods(peer.mine(credit=1.0)) == ["#9"]
    peer.session.offer_job(make_job(2), peer.now)
    assert methods(peer.read()) == ["notify"] and peer.session.assignment.terms.for_job(2) == settled


def test_session_reoffers_are_not_an_amplifier() -> None:
    peer = Peer()
    peer.start()
    sent = 0
    for index in range(100):
        peer.now += 0.01
        sent += methods(peer.send(request(1, "mining.suggest_difficulty", 0.002 if index % 2 else 500))).count("notify")
    assert sent <= 1
    peer.now += 3
    assert methods(peer.timeouts()).count("notify") <= 1


def test_session_silent_miner_is_made_easier() -> None:
    peer = Peer()
    peer.start()
    assert peer.session.deadline <= peer.now + 21
    told = []
    for _ in range(60):
        peer.now += 1
        if peer.now >= peer.session.deadline:
            told += peer.timeouts()
    assert methods(told)[:2] == ["set_difficulty", "notify"]
    assert peer.session.assignment.difficulty <= 0.125


def test_session_jobs_are_clean_when_first_or_told() -> None:
    peer = Peer()
    assert peer.start()[-1]["params"][8] is True
    peer.session.offer_job(make_job(2), peer.now)
    assert peer.read()[-1]["params"][8] is False
    peer.session.offer_job(make_job(3, clean=True), peer.now)
    assert peer.read()[-1]["params"][8] is True
    peer.session.offer_job(make_job(4), peer.now, clean=True)
    assert peer.read()[-1]["params"][8] is True
    assert not peer.session.offer_job(make_job(3), peer.now), "an older job never follows a newer one"
    assert not peer.session.offer_job(make_job(4), peer.now), "nor the same, unasked"
    assert peer.read() == []


def test_session_job_bytes_are_shared() -> None:
    peer = Peer()
    peer.start()
    job = make_job(2)
    peer.session.offer_job(job, peer.now)
    assert peer.session.data_to_send() is job.notify


def test_session_cap_follows_the_job() -> None:
    peer = Peer(PortPolicy(64, 0.001, 1e6))
    peer.job = make_job(1, caps=(30.0,))
    assert peer.start()[2]["params"] == [30]
    peer.session.offer_job(make_job(2, caps=(0.5,)), peer.now)
    assert peer.read()[0]["params"] == [64]


def test_session_fixed_difficulty_port() -> None:
    peer = Peer(PortPolicy(1e-7, 1e-7, 1e-7, vardiff=False))
    assert peer.start()[2]["params"] == [1e-7]
    for _ in range(200):
        peer.now += 0.001
        assert methods(peer.mine()) == ["#9"]


def test_session_other_methods() -> None:
    peer = Peer()
    assert peer.call("mining.ping")["result"] == "pong"
    assert peer.call("mining.extranonce.subscribe")["result"] is True
    assert peer.call("mining.multi_version", 4)["error"][0] == 20
    assert peer.call("mining.nonsense")["error"] == [-3, "Method not found", None]
    assert peer.call("mining.get_transactions", "1")["error"][0] == 20
    peer.start()
    assert peer.call("mining.get_transactions", "1")["result"] == ["00ff"]
    assert peer.call("mining.get_transactions", "1")["error"][1] == "Not now"
    peer.now += 10
    assert peer.call("mining.get_transactions", "2")["error"] == [21, "Job not found", None]
    assert peer.call("mining.get_transactions", 5)["error"][0] == 20
    assert peer.closed is None


def test_session_large_transactions_are_refused() -> None:
    peer = Peer(limits=Limits(transactions_bytes=6))
    peer.start()
    assert "too large" in peer.call("mining.get_transactions", "1")["error"][1]


# No input raises, whatever its types; what is held stays bounded; whatever is said keeps the schema.

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10)
    | st.sampled_from(["addr.w", "1", "00000000", "6553f100", "version-rolling", "minimum-difficulty"]),
    lambda inner: st.lists(inner, max_size=6)
    | st.dictionaries(st.sampled_from(["version-rolling.mask", "minimum-difficulty.value", "a"]), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip
METHODS = st.sampled_from(
    ["configure", "subscribe", "authorize", "suggest_difficulty", "extranonce.subscribe", "submit", "ping",
     "get_transactions", "multi_version", "x"],
).map("mining.".__add__)  # fmt: skip
MESSAGES = st.fixed_dictionaries({"method": METHODS | ANY_JSON}, optional={"id": ANY_JSON, "params": ANY_JSON})


@settings(max_examples=150, deadline=None)
@given(st.lists(MESSAGES, max_size=8), st.booleans())
def test_session_any_json_is_answered_or_left(sent: list[dict[str, Any]], started: bool) -> None:
    peer = Peer()
    if started:
        peer.start()
    for message in sent:
        peer.now += 0.5
        for answer in peer.send(message):
            assert answer.get("method") in (None, "mining.set_difficulty", "mining.notify", "client.get_version")
    for submit in peer.submits:
        assert len(submit.extranonce2) == 4 and type(submit.worker) is str
    if started:
        assert peer.closed in (None, "malformed")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=10), st.booleans())
def test_session_random_bytes_are_survived(parts: list[bytes], started: bool) -> None:
    peer = Peer()
    if started:
        peer.start()
    for part in parts:
        peer.raw(part)
        assert len(peer.session._lines) <= Limits().unparsed_bytes
    assert peer.submits == []
