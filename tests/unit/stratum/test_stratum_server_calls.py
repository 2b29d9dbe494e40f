"""What the server asks or tells by itself: client.get_version and mining.set_extranonce."""

from __future__ import annotations

from typing import Any

import pytest
from stratum_peer import Peer, make_job, methods, request

from stratum import messages
from stratum.words import USER_AGENT_LETTERS

QUESTION = int(messages.GET_VERSION_ID)


def start_unnamed(peer: Peer) -> list[dict[str, Any]]:
    return peer.send(request(1, "mining.subscribe"), request(2, "mining.authorize", "addr.w", "x"))


def test_server_calls_ask_who_gave_no_name_behind_the_first_job() -> None:
    peer = Peer()
    seen = start_unnamed(peer)
    assert methods(seen) == ["#1", "#2", "set_difficulty", "notify", "client.get_version"]
    assert seen[-1]["id"] == QUESTION and seen[-1]["params"] == []
    assert peer.raw(b'{"id":%d,"result":"cgminer/4.10","error":null}\n' % QUESTION) == []
    assert peer.session.user_agent == "cgminer/4.10"
    peer.session.offer_job(make_job(2), peer.now)
    assert methods(peer.read()) == ["notify"], "asked once"


def test_server_calls_do_not_ask_who_told_its_name() -> None:
    peer = Peer()
    assert "client.get_version" not in methods(peer.start())
    assert peer.session.user_agent == "cpuminer/2.5"
    peer.raw(b'{"id":%d,"result":"other","error":null}\n' % QUESTION)
    peer.call("mining.subscribe")
    assert peer.session.user_agent == "cpuminer/2.5", "nobody asked, nor does a second subscribe unname it"


@pytest.mark.parametrize(
    ("result", "name"),
    [
        (b'"  bfgminer/5.5 "', "bfgminer/5.5"),
        (b'"evil\\u001b[2J\\r\\nFAKE log line \\u00fc"', "evil[2JFAKE log line"),
        (b'"' + b"x" * 3000 + b'"', "x" * USER_AGENT_LETTERS),
        (b"null", ""), (b"5", ""), (b'["cgminer"]', ""), (b'{"a":1}', ""), (b'"\\ud800"', ""),
        (b"[" * 1900 + b"]" * 1900, ""),
    ],
)  # fmt: skip
def test_server_calls_take_the_answer_for_a_strangers_words(result: bytes, name: str) -> None:
    peer = Peer()
    start_unnamed(peer)
    peer.raw(b'{"id":%d,"result":%b,"error":null}\n' % (QUESTION, result))
    assert peer.session.user_agent == name and peer.closed is None


@pytest.mark.parametrize(
    "answer",
    [b'{"id":1,"result":"x","error":null}', b'{"id":%d,"error":[20,"x",null]}' % QUESTION, b"{}", b'{"result":"x"}'],
)
def test_server_calls_let_other_answers_pass(answer: bytes) -> None:
    peer = Peer()
    start_unnamed(peer)
    assert peer.raw(answer + b"\n") == []
    assert peer.session.user_agent == "" and peer.closed is None


def test_server_calls_name_of_the_subscribe_is_bounded_too() -> None:
    peer = Peer()
    peer.call("mining.subscribe", "a\nb\x07" + "c" * 500)
    assert peer.session.user_agent == "ab" + "c" * (USER_AGENT_LETTERS - 4)


def subscribed(peer: Peer) -> tuple[str, str]:
    """Session id and extranonce1 of its subscription."""
    result = peer.call("mining.subscribe", "miner/1")["result"]
    return result[0][1][1], result[1]


def test_server_calls_move_a_hanging_connection_when_its_miner_is_back() -> None:
    hanging = Peer()
    session_id, extranonce1 = subscribed(hanging)
    hanging.call("mining.extranonce.subscribe")
    hanging.call("mining.authorize", "addr.w", "x")
    back = Peer(allocator=hanging.allocator)
    assert back.call("mining.subscribe", "miner/1", session_id)["result"][1] == extranonce1, "shares under way are good"
    assert hanging.session.deadline <= hanging.now, "told at the next sweep"
    told = hanging.timeouts()
    assert methods(told) == ["set_extranonce", "notify"] and told[1]["params"][8] is True
    assert told[0]["params"] == [hanging.session.extranonce1.hex(), 4] and told[0]["params"][0] != extranonce1
    hanging.session.offer_job(make_job(2), hanging.now)
    assert methods(hanging.read()) == ["notify"]
    assert hanging.session.former_extranonce1(1) == bytes.fromhex(extranonce1), "shares may be under way"
    assert hanging.session.former_extranonce1(2) is None
    hanging.session.close("disconnected", hanging.now)
    back.session.close("disconnected", back.now)
    assert len(hanging.allocator) == 0


def test_server_calls_keep_the_extranonce_of_who_cannot_be_moved() -> None:
    hanging = Peer()
    session_id, extranonce1 = subscribed(hanging)
    back = Peer(allocator=hanging.allocator)
    assert back.call("mining.subscribe", "miner/1", session_id)["result"][1] != extranonce1
    assert hanging.session.extranonce1.hex() == extranonce1 and hanging.timeouts() == []


def test_server_calls_move_a_connection_once() -> None:
    """Shares under way need the extranonce1 from before, and one is kept."""
    hanging = Peer()
    session_id, _ = subscribed(hanging)
    hanging.call("mining.extranonce.subscribe")
    Peer(allocator=hanging.allocator).call("mining.subscribe", "miner/1", session_id)
    moved_id, moved_to = subscribed(hanging)
    assert moved_to == hanging.session.extranonce1.hex()
    Peer(allocator=hanging.allocator).call("mining.subscribe", "miner/1", moved_id)
    assert hanging.session.extranonce1.hex() == moved_to and len(hanging.allocator) == 3


def test_server_calls_say_nothing_to_a_connection_that_is_ending() -> None:
    ending = Peer()
    session_id, extranonce1 = subscribed(ending)
    ending.session.end("idle")
    back = Peer(allocator=ending.allocator)
    assert back.call("mining.subscribe", "miner/1", session_id)["result"][1] == extranonce1
    assert ending.session.data_to_send() == b""
    ending.session.close("disconnected", ending.now)
    assert len(ending.allocator) == 1
    third = Peer(allocator=ending.allocator)
    assert third.call("mining.subscribe", "miner/1", session_id)["result"][1] != extranonce1, "held by who came back"


def test_server_calls_move_before_the_login_is_told_before_the_first_job() -> None:
    hanging = Peer()
    session_id, _ = subscribed(hanging)
    hanging.send(request(3, "mining.configure", ["subscribe-extranonce"], {}))
    Peer(allocator=hanging.allocator).call("mining.subscribe", "miner/1", session_id)
    seen = hanging.timeouts() + hanging.send(request(4, "mining.authorize", "addr.w", "x"))
    assert methods(seen) == ["set_extranonce", "#4", "set_difficulty", "notify"]
