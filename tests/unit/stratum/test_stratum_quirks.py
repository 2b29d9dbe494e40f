"""One transcript per row of the table of miner quirks; each test is named by the client it stands for."""

from __future__ import annotations

import json

import pytest
from stratum_peer import Peer, make_job, methods, request, submit_request

from stratum.events import AuthorizeRequest
from stratum.offer import PortPolicy


def test_quirk_esp_miner_pipelines_the_whole_handshake() -> None:
    """Bitaxe sends configure, subscribe, authorize and suggest_difficulty without waiting, and asks for every bit."""
    peer = Peer()
    seen = peer.send(
        request(1, "mining.configure", ["version-rolling"], {"version-rolling.mask": "ffffffff"}),
        request(2, "mining.subscribe", "bitaxe/BM1370/v2.9.0"),
        request(3, "mining.authorize", "addr.bitaxe", "x"),
        request(4, "mining.suggest_difficulty", 1000),
    )
    # v2.0.5 crashed on an unsolicited set_version_mask before the subscribe result: none is ever sent.
    assert methods(seen) == ["#1", "#2", "#3", "#4", "set_difficulty", "notify"]
    assert seen[0]["result"] == {"version-rolling": True, "version-rolling.mask": "1fffe000"}
    assert seen[4]["params"] == [1000] and type(seen[4]["params"][0]) is int
    assert seen[1]["result"][2] <= 32


def test_quirk_esp_miner_old_firmware_subscribes_first() -> None:
    peer = Peer()
    seen = peer.send(
        request(1, "mining.subscribe", "bitaxe"),
        request(2, "mining.configure", ["version-rolling"], {"version-rolling.mask": "ffffffff"}),
        request(3, "mining.suggest_difficulty", 1000),
        request(4, "mining.authorize", "addr.bitaxe", "x"),
    )
    assert methods(seen) == ["#1", "#2", "#3", "#4", "set_difficulty", "notify"]


def test_quirk_nerdminer_suggests_fractions_again_and_again() -> None:
    """0.0001 to 0.00015, every 30 s as a keep-alive, sometimes without id; below difficulty 1 or it never shows."""
    peer = Peer(PortPolicy(start_difficulty=1, minimum_difficulty=0.00005, maximum_difficulty=1e6))
    peer.send(request(1, "mining.subscribe", "NerdMinerV2/1.0"), request(2, "mining.authorize", "addr.nerd", "x"))
    peer.now += 3
    seen = peer.raw(b'{"method":"mining.suggest_difficulty","params":[0.00015]}\n')
    assert methods(seen) == ["set_difficulty", "notify"], "no answer without an id, the new terms at once"
    assert seen[0]["params"] == [2**-13]
    for _ in range(5):
        peer.now += 30
        assert peer.raw(b'{"method":"mining.suggest_difficulty","params":[0.00015]}\n') == []
        assert methods(peer.send(request(9, "mining.suggest_difficulty", 0.00015))) == ["#9"]


def test_quirk_nerdqaxe_difficulty_takes_effect_with_the_next_notify() -> None:
    """set_difficulty is always followed by a notify, and work in hand is judged at what it was given out with."""
    peer = Peer()
    peer.start("addr.q")
    peer.now += 5
    assert methods(peer.send(request(3, "mining.suggest_difficulty", 4))) == ["#3"]
    assert peer.session.assignment.terms.for_job(1) == 1.0
    peer.session.offer_job(make_job(2), peer.now)
    assert methods(peer.read()) == ["set_difficulty", "notify"]
    assert peer.session.assignment.terms.for_job(1) == 1.0, "a share found before the notify arrived still counts"


def test_quirk_cgminer_resumes_rolls_versions_and_reads_integers() -> None:
    first = Peer()
    subscriptions, extranonce1, size = first.call("mining.subscribe", "cgminer/4.12.0")["result"]
    assert size <= 8, "more breaks its submit"
    first.session.close("disconnected", first.now)
    peer = Peer(allocator=first.allocator)
    assert peer.call("mining.subscribe", "cgminer/4.12.0", subscriptions[1][1])["result"][1] == extranonce1
    # The S9's cgminer asks for four versions: an error, and it goes on without.
    assert peer.call("mining.multi_version", 4)["error"][0] == 20 and peer.closed is None
    peer.session.receive_data(json.dumps(request(6, "mining.authorize", "addr.s9", "x")).encode() + b"\n", peer.now)
    peer.session.answer_authorize(AuthorizeRequest(b"6", "addr.s9", "x"), peer.answer, peer.now)
    assert peer.job is not None and peer.session.offer_job(peer.job, peer.now)
    assert b'"mining.set_difficulty","params":[1]' in peer.session.data_to_send(), "a whole number, never 1.0"


def test_quirk_antminer_stock_password_is_a_number() -> None:
    """Stock firmware passes what was typed; JSON of some front-ends makes 123 of \"123\"."""
    peer = Peer()
    assert peer.call("mining.authorize", "addr.s19", 123)["result"] is True
    assert peer.logins == [("addr.s19", "")]


def test_quirk_whatsminer_hangs_up_on_unknown_keys() -> None:
    peer = Peer()
    answer = peer.call("mining.configure", ["version-rolling"], {"version-rolling.mask": "1fffe000",
                                                                  "version-rolling.min-bit-count": 2})  # fmt: skip
    assert set(answer["result"]) == {"version-rolling", "version-rolling.mask"}


def test_quirk_luxos_subscribes_with_host_and_port() -> None:
    peer = Peer()
    answer = peer.call("mining.subscribe", "LUXminer/2024.1", None, "pool.example:3333", None)
    assert answer["error"] is None and len(answer["result"]) == 3


@pytest.mark.parametrize("agent", ["bosminer-plus-tuner 0.9", "xminer-1.2.6"])
def test_quirk_braiins_and_vnish_ask_for_everything_in_one_packet(agent: str) -> None:
    peer = Peer()
    seen = peer.send(
        request(0, "mining.configure", ["version-rolling", "minimum-difficulty", "subscribe-extranonce"],
                {"version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 16,
                 "minimum-difficulty.value": 0.5}),
        request(1, "mining.subscribe", agent, None),
        request(2, "mining.authorize", "addr.s9", ""),
    )  # fmt: skip
    assert methods(seen) == ["#0", "#1", "#2", "set_difficulty", "notify"]
    assert seen[0]["result"] == {
        "version-rolling": True, "version-rolling.mask": "1fffe000",
        "minimum-difficulty": True, "subscribe-extranonce": True,
    }  # fmt: skip


def test_quirk_nicehash_wants_extranonce_and_difficulty_first() -> None:
    """Difficulty at least 524,288 before the first notify, extranonce2 of at least 4, extranonce.subscribe granted."""
    peer = Peer(PortPolicy(start_difficulty=524_288, minimum_difficulty=524_288, maximum_difficulty=1e9))
    seen = peer.send(request(1, "mining.subscribe", "NiceHash/1.0.0"),
                     request(2, "mining.extranonce.subscribe"),
                     request(3, "mining.authorize", "addr.nh", "x"))  # fmt: skip
    assert methods(seen) == ["#1", "#2", "#3", "set_difficulty", "notify"]
    assert seen[0]["result"][2] >= 4 and seen[1]["result"] is True and seen[3]["params"] == [524_288]


def test_quirk_miningrigrentals_leaves_the_id_out() -> None:
    peer = Peer()
    seen = peer.raw(b'{"method":"mining.subscribe","params":["mrr/1"]}\n'
                    b'{"method":"mining.authorize","params":["addr.mrr","x"]}\n')  # fmt: skip
    assert methods(seen) == ["#None", "#None", "set_difficulty", "notify"]


@pytest.mark.parametrize(
    "probe",
    [b"GET / HTTP/1.1\r\nHost: pool\r\n\r\n", b'POST / HTTP/1.1\r\nContent-Length: 40\r\n\r\n{"method":"getwork"}',
     b"HEAD / HTTP/1.0\r\n\r\n"],
)  # fmt: skip
def test_quirk_bfgminer_probes_with_http(probe: bytes) -> None:
    peer = Peer()
    assert peer.raw(probe) == [] and peer.closed == "http"


def test_quirk_bfgminer_wants_new_ids_for_new_jobs() -> None:
    peer = Peer()
    first = peer.start()[-1]["params"][0]
    peer.session.offer_job(make_job(2), peer.now)
    assert peer.read()[-1]["params"][0] != first


@pytest.mark.parametrize("order", [("subscribe", "authorize"), ("authorize", "subscribe")])
def test_quirk_veriumminer_drops_a_notify_before_the_reply(order: tuple[str, str]) -> None:
    peer = Peer()
    params = {"subscribe": ["veriumMiner"], "authorize": ["addr.v", "x"]}
    seen = [name for step in order for name in methods(peer.send(request(step, f"mining.{step}", *params[step])))]
    assert seen == [f"#{order[0]}", f"#{order[1]}", "set_difficulty", "notify"]


def test_quirk_any_missing_password() -> None:
    """btcpool #32 crashed."""
    peer = Peer()
    assert peer.call("mining.authorize", "addr")["result"] is True
    assert peer.call("mining.authorize", "addr", None)["result"] is True
    assert peer.logins == [("addr", ""), ("addr", "")]


@pytest.mark.parametrize("id", [None, 0, 7, "7", "a-b", -1, 2**53])
def test_quirk_any_ids_are_echoed(id: object) -> None:
    peer = Peer()
    assert peer.send(request(id, "mining.subscribe"))[0]["id"] == id
    peer.call("mining.authorize", "addr.w")
    peer.send(submit_request(id=id))
    peer.session.accept(peer.submits[0], 1.0, peer.now)
    assert peer.read()[0] == {"id": id, "result": True, "error": None}


@pytest.mark.parametrize("extranonce2", ["00", "0000000000000000"])
def test_quirk_any_extranonce2_of_another_length_is_refused_with_a_reason(extranonce2: str) -> None:
    peer = Peer()
    peer.start()
    assert "must be 8 hex digits" in peer.send(submit_request(extranonce2=extranonce2))[0]["error"][1]


def test_quirk_any_tls_hello_on_the_plain_port() -> None:
    peer = Peer()
    assert peer.raw(bytes.fromhex("16030100c8010000c40303")) == [] and peer.closed == "tls"


def test_quirk_any_extra_params_and_both_cases() -> None:
    peer = Peer()
    peer.start()
    both = submit_request(nonce="DEADbeef", ntime="6553F100", v=None, extra="more", again=5)
    assert peer.send(both) == [] and peer.submits[0].nonce == 0xDEADBEEF
    assert peer.call("mining.subscribe", "a", None, 1, 2, 3)["error"] is None
