"""The consensus-proof node as a value: blocks, gaps and voids, availability, reorganisations, peers, restarts."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest
from ppow_miner import (
    BOTH,
    CHAIN_A,
    CHAIN_B,
    NETWORK,
    NOW_MS,
    SCRIPTS,
    Disk,
    ask,
    manifest_for,
    mine,
    new_node,
    read,
    start,
    states,
    template,
)
from support.consensus_mining import solve, solved

from chains.parallel import messages as wire
from chains.parallel.body import GENESIS_BLOCK, BlockCoinbase, root_of, serialize_body
from chains.parallel.core import ParallelCore
from chains.parallel.intake import CALLER
from chains.parallel.messages import ProofMessage
from chains.parallel.parameters import ChainParameters
from chains.peers.core import (
    Broadcast,
    Connected,
    Disconnected,
    Effect,
    Fired,
    Note,
    PeerHello,
    PeerId,
    Received,
    Score,
    Send,
    Write,
)
from chains.primitives.hashes import displayed, from_displayed

PEER, OTHER = PeerId(1), PeerId(2)


def started(**options: Any) -> ParallelCore:
    node = new_node(**options)
    start(node)
    return node


def connect(node: ParallelCore, peer: PeerId = PEER) -> list[Effect]:
    return list(node.on(node.now_ms, Connected(peer, PeerHello(bytes(32), node.network, node.genesis, 1, 0, True))))


def receive(node: ParallelCore, name: str, payload: bytes, peer: PeerId = PEER) -> list[Effect]:
    return list(node.on(node.now_ms + 10, Received(peer, name, payload)))


def sent(effects: list[Effect], name: str) -> list[Send]:
    return [effect for effect in effects if isinstance(effect, Send) and effect.name == name]


def scores(effects: list[Effect]) -> list[tuple[int, str]]:
    return [(effect.points, effect.reason) for effect in effects if isinstance(effect, Score)]


def status(node: ParallelCore, chain: str, name: str) -> dict[str, Any]:
    answer: dict[str, Any] = read(node, "getparallelblockstatus", chain, name)
    return answer


def body_for(previous: bytes, height: int, who: int = 0, *records: bytes) -> tuple[bytes, ...]:
    return (BlockCoinbase(previous, height, SCRIPTS[who]).serialize(), *records)


# --- blocks, gaps, voids --------------------------------------------------------------------------------------------


def test_parallel_proof_with_bodies_makes_a_block_on_each_chain() -> None:
    node = started()
    answer = mine(node, {"a": 0, "b": 1})
    assert answer["result"] == "accepted"
    assert [block["state"] for block in answer["blocks"]] == ["block", "block"]
    by_context = {block["context"]: block["id"] for block in answer["blocks"]}
    told = status(node, "a", by_context[CHAIN_A.context.hex()])
    assert (told["state"], told["height"], told["amount"], told["confirmations"]) == ("block", 1, 5000, 1)
    assert told["address"] == read(node, "listaccounts", "a")[0]["address"]
    assert node.chains[CHAIN_B.context].accounts.immature(SCRIPTS[1]) == 700


def test_parallel_chain_that_is_not_collected_has_a_gap_and_is_paid_nothing() -> None:
    node = started()
    mine(node, {"a": 0, "b": 0})
    answer = mine(node, {"a": 0})
    chain = node.chains[CHAIN_B.context]
    assert (chain.state.height, chain.accounts.issued) == (1, 700)
    told = status(node, "b", answer["id"])
    assert (told["state"], told["proof_confirmations"], told["amount"]) == ("gap", 1, 0)
    mine(node, {"b": 0})
    assert chain.state.height == 2


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (body_for(b"\x01" * 32, 1), "previous-block"),
        (body_for(GENESIS_BLOCK, 2), "height"),
        (body_for(GENESIS_BLOCK, 1, 0, b"tx1 of nobody"), "transfer-form"),
        ((b"no coinbase at all",), "coinbase-form"),
    ],
)
def test_parallel_bad_content_is_a_void_that_pays_nobody_and_rejects_no_proof(
    body: tuple[bytes, ...], reason: str
) -> None:
    node = started()
    good = body_for(GENESIS_BLOCK, 1)
    bodies = {CHAIN_A.context: good, CHAIN_B.context: body}
    proof = solve(NETWORK.genesis, 1, manifest_for(bodies), NOW_MS // 1000)
    given = {context.hex(): [one.hex() for one in body] for context, body in bodies.items()}
    answer = ask(node, "submitconsensusproof", proof.hex(), given)
    assert answer["result"] == "accepted"
    told = status(node, "b", answer["id"])
    assert (told["state"], told["reason"], told["amount"]) == ("void", reason, 0)
    assert node.chains[CHAIN_B.context].accounts.issued == 0
    assert node.chains[CHAIN_A.context].accounts.issued == 5000
    assert mine(node, {"b": 0})["blocks"][0]["state"] == "block", "a void leaves the chain where it was"


def test_parallel_chain_starts_at_any_proof() -> None:
    node = started()
    first = mine(node, {"a": 0})
    late = ChainParameters("late", "parallel late", subsidy=9, start=from_displayed(first["id"]))
    follower = started(chains=[CHAIN_A, late])
    assert "late" not in [one["chain"] for one in template(follower, {"a": 0, "late": 0})["chains"]]
    proof, bodies = wire_of(node, first["id"])
    ask(follower, "submitconsensusproof", proof.hex(), bodies)
    assert mine(follower, {"late": 0})["blocks"][0]["state"] == "block"


def wire_of(node: ParallelCore, id_hex: str) -> tuple[bytes, dict[str, list[str]]]:
    found = read(node, "getconsensusproof", id_hex)
    roots = {context: bytes.fromhex(root) for context, root in found["chains"].items()}
    bodies = {context: [one.hex() for one in node.known.bodies[root]] for context, root in roots.items()}
    return bytes.fromhex(found["hex"]), bodies


# --- agnosticism and availability -----------------------------------------------------------------------------------


def test_parallel_nodes_of_different_chains_agree_on_the_path() -> None:
    full, only_a, light = started(), started(chains=[CHAIN_A]), started(chains=[])
    for who in ({"a": 0, "b": 1}, {"b": 0}, {"a": 1}, {}):
        answer = mine(full, who)
        proof, bodies = wire_of(full, answer["id"])
        assert ask(only_a, "submitconsensusproof", proof.hex(), bodies)["result"] == "accepted"
        assert ask(light, "submitconsensusproof", proof.hex())["result"] == "accepted"
    assert full.tree.path == only_a.tree.path == light.tree.path
    assert states(only_a)["a"] == states(full)["a"]


def test_parallel_follower_holds_a_proof_until_its_bodies_are_there() -> None:
    other, node = started(), started()
    connect(node)
    mined = mine(other, {"a": 0})
    proof, bodies = wire_of(other, mined["id"])
    effects = receive(node, wire.PROOF, ProofMessage(proof, ()).encode())
    root = root_of([bytes.fromhex(one) for one in bodies[CHAIN_A.context.hex()]])
    assert sent(effects, wire.GET_BODIES) == [Send(PEER, wire.GET_BODIES, wire.encode_ids([root]))]
    assert not [effect for effect in effects if isinstance(effect, Broadcast)], "not relayed"
    assert node.tree.best is node.tree.genesis, "not built on"
    assert status(node, "a", mined["id"])["state"] == "held"
    connect(node, OTHER)
    stored = serialize_body([bytes.fromhex(one) for one in bodies[CHAIN_A.context.hex()]])
    effects = receive(node, wire.BODY, root + stored)
    assert node.tree.best.height == 1
    relayed = [effect for effect in effects if isinstance(effect, Broadcast)]
    assert relayed == [Broadcast(wire.PROOF, ProofMessage(proof, ((root, stored),)).encode(), (PEER,))]
    written = [number for number, effect in enumerate(effects) if isinstance(effect, Write)]
    assert written and min(written) < effects.index(relayed[0]), "on disk before it leaves"


def hidden_body_network() -> tuple[ParallelCore, ParallelCore, tuple[bytes, ...], list[str]]:
    """A light node on whose path a proof hides its body of chain a, with six more proofs on top of it; a follower that
    got all of them without that body; the body; the proofs' ids."""
    light, follower = started(chains=[]), started()
    body = body_for(GENESIS_BLOCK, 1, 3)
    proof = solve(NETWORK.genesis, 1, manifest_for({CHAIN_A.context: body}), NOW_MS // 1000)
    ids = [ask(light, "submitconsensusproof", proof.hex())["id"]]
    assert ask(follower, "submitconsensusproof", proof.hex())["result"] == "inconclusive"
    for salt in range(6):
        ids.append(mine(light, {}, salt)["id"])
        wire_bytes, _ = wire_of(light, ids[-1])
        ask(follower, "submitconsensusproof", wire_bytes.hex())
    wait(follower, 29)
    assert follower.tree.best is follower.tree.genesis, "held, and everything on top"
    wait(follower, 2)
    return light, follower, body, ids


def wait(node: ParallelCore, seconds: int, disk: Disk | None = None) -> None:
    for _ in range(seconds):
        effects = node.on(node.now_ms + 1000, Fired("tick"))
        if disk is not None:
            disk.take(effects)


def test_parallel_five_proofs_on_top_excuse_nothing() -> None:
    follower = started()
    body = body_for(GENESIS_BLOCK, 1, 3)
    proof = solve(NETWORK.genesis, 1, manifest_for({CHAIN_A.context: body}), NOW_MS // 1000)
    light = started(chains=[])
    for node in (light, follower):
        ask(node, "submitconsensusproof", proof.hex())
    for salt in range(5):
        ask(follower, "submitconsensusproof", wire_of(light, mine(light, {}, salt)["id"])[0].hex())
    wait(follower, 100)
    assert follower.tree.best is follower.tree.genesis


def test_parallel_node_excuses_again_after_a_restart_without_waiting() -> None:
    light, disk, node = started(chains=[]), Disk(), new_node()
    disk.take(node.on(NOW_MS, disk.started()))
    body = body_for(GENESIS_BLOCK, 1, 3)
    proof = solve(NETWORK.genesis, 1, manifest_for({CHAIN_A.context: body}), NOW_MS // 1000)
    ask(light, "submitconsensusproof", proof.hex())
    ask(node, "submitconsensusproof", proof.hex(), disk=disk)
    for salt in range(6):
        wire_bytes, _ = wire_of_any(light, mine(light, {}, salt)["id"])
        ask(node, "submitconsensusproof", wire_bytes.hex(), disk=disk)
    wait(node, 32, disk)
    assert node.tree.path == light.tree.path
    again = new_node()
    start(again, disk)
    assert again.tree.path == light.tree.path
    ask(again, "submitconsensusproof", proof.hex(), {"a": [one.hex() for one in body]}, disk=disk)
    assert again.chains[CHAIN_A.context].state.height == 1
    third = new_node()
    disk.take(third.on(NOW_MS, disk.started()))
    assert states(third) == states(again)
    assert disk.tables["excused"] == {}, "what came is no longer excused"


def test_parallel_hidden_body_counts_as_void_with_six_proofs_on_top() -> None:
    light, follower, _, ids = hidden_body_network()
    assert follower.tree.path == light.tree.path
    told = status(follower, "a", ids[0])
    assert (told["state"], told["reason"]) == ("void", "body-missing")
    assert read(follower, "getchainview")["chains"][0]["unresolved"] == 1
    assert mine(follower, {"a": 0})["blocks"][0]["state"] == "block"


def test_parallel_hidden_body_that_comes_late_is_walked_as_if_it_had_always_been_there() -> None:
    _, follower, body, ids = hidden_body_network()
    later = mine(follower, {"a": 0})
    connect(follower)
    effects = receive(follower, wire.BODY, root_of(body) + serialize_body(body))
    assert [e.level for e in effects if isinstance(e, Note) and e.event == "missing body came late"] == [logging.ERROR]
    assert status(follower, "a", ids[0])["state"] == "block"
    assert status(follower, "a", later["id"])["reason"] == "previous-block"
    fresh = started()
    for name in ids:
        wire_bytes, _ = wire_of_any(follower, name)
        bodies = {"a": [one.hex() for one in body]} if name == ids[0] else {}
        ask(fresh, "submitconsensusproof", wire_bytes.hex(), bodies)
    wire_bytes, bodies = wire_of(follower, later["id"])
    ask(fresh, "submitconsensusproof", wire_bytes.hex(), bodies)
    assert states(fresh) == states(follower)


def wire_of_any(node: ParallelCore, id_hex: str) -> tuple[bytes, None]:
    return bytes.fromhex(read(node, "getconsensusproof", id_hex)["hex"]), None


# --- reorganisation -------------------------------------------------------------------------------------------------


def test_parallel_reorganisation_undoes_and_redoes_every_chain() -> None:
    node, other = started(), started()
    first = mine(node, {"a": 0, "b": 0})
    for salt in (7, 8, 9):
        answer = mine(other, {"a": 1}, salt)
        proof, bodies = wire_of(other, answer["id"])
        result = ask(node, "submitconsensusproof", proof.hex(), bodies)["result"]
        assert result == ("inconclusive" if salt == 7 else "accepted"), "a tie stays with the first seen"
    assert states(node) == states(other)
    told = status(node, "b", first["id"])
    assert (told["state"], told["confirmations"], told["amount"]) == ("orphan", -1, 0)


def test_parallel_transfer_of_an_undone_block_waits_again() -> None:
    node, other = started(), started()
    for _ in range(4):
        proof, bodies = wire_of(node, mine(node, {"a": 0})["id"])
        ask(other, "submitconsensusproof", proof.hex(), bodies)
    accounts = read(node, "listaccounts", "a")
    outputs = [{"address": accounts[1]["address"], "amount": 10}]
    made = read(node, "createtransfer", "a", accounts[0]["public_key"], accounts[0]["address"], outputs, 5)
    signed = ask(node, "signtransfer", "a", made["hex"])
    assert ask(node, "sendtransfer", "a", signed["hex"]) == {"id": made["id"], "result": "sent"}
    assert ask(node, "sendtransfer", "a", signed["hex"]) == {"id": made["id"], "result": "known"}
    mine(node, {"a": 0})
    assert read(node, "gettransfer", "a", made["id"])["state"] == "confirmed"
    assert ask(node, "sendtransfer", "a", signed["hex"])["result"] == "confirmed"
    for salt in (5, 6):
        proof, bodies = wire_of(other, mine(other, {}, salt)["id"])
        ask(node, "submitconsensusproof", proof.hex(), bodies)
    assert read(node, "gettransfer", "a", made["id"])["state"] == "waiting"
    mine(node, {"a": 2})
    assert read(node, "gettransfer", "a", made["id"])["state"] == "confirmed"
    assert read(node, "getbalance", "a", accounts[1]["address"])["spendable"] == 10


# --- peers ----------------------------------------------------------------------------------------------------------


def test_parallel_node_scores_what_every_node_can_judge() -> None:
    node = started()
    connect(node)
    good = solve(NETWORK.genesis, 1, manifest_for({}), NOW_MS // 1000)
    wrong = good[:-1] + b"\x01" + bytes(64)
    assert scores(receive(node, wire.PROOF, ProofMessage(wrong, ()).encode())) == [(100, "manifest-root")]
    assert scores(receive(node, wire.PROOF, ProofMessage(b"short", ()).encode())) == [(100, "malformed")]
    assert scores(receive(node, wire.PROOF, b"\xff"))[0][0] == 20
    assert scores(receive(node, wire.GET_PATH, b"\x05"))[0][0] == 20
    assert scores(receive(node, wire.PROOF, ProofMessage(good, ()).encode())) == []


def test_parallel_node_scores_a_body_of_another_root_and_asks_somebody_else() -> None:
    node = started()
    connect(node)
    connect(node, OTHER)
    body = body_for(GENESIS_BLOCK, 1)
    proof = solve(NETWORK.genesis, 1, manifest_for({CHAIN_A.context: body}), NOW_MS // 1000)
    receive(node, wire.PROOF, ProofMessage(proof, ()).encode())
    effects = receive(node, wire.BODY, root_of(body) + serialize_body(body_for(GENESIS_BLOCK, 1, 4)))
    assert scores(effects) == [(50, "a body of another root")]
    assert [one.peer for one in sent(effects, wire.GET_BODIES)] == [OTHER]
    receive(node, wire.NO_BODY, root_of(body), OTHER)
    assert scores(receive(node, wire.BODY, bytes(32) + serialize_body(body))) == [], "unasked is ignored"
    receive(node, wire.BODY, root_of(body) + serialize_body(body))
    assert node.tree.best.height == 1


def test_parallel_void_content_scores_no_peer() -> None:
    node = started()
    connect(node)
    body = body_for(b"\x09" * 32, 77)
    proof = solve(NETWORK.genesis, 1, manifest_for({CHAIN_A.context: body}), NOW_MS // 1000)
    message = ProofMessage(proof, ((root_of(body), serialize_body(body)),))
    assert scores(receive(node, wire.PROOF, message.encode())) == []
    assert node.tree.best.height == 1


def test_parallel_orphans_are_bounded_and_their_predecessors_asked_for() -> None:
    node = started()
    connect(node)
    unknown = [solve(bytes((number,)) * 32, 5, manifest_for({}), NOW_MS // 1000) for number in range(1, 120)]
    effects = receive(node, wire.PROOF, ProofMessage(unknown[0], ()).encode())
    node.on(node.now_ms + 2000, Fired("tick"))
    effects = receive(node, wire.PROOF, ProofMessage(unknown[1], ()).encode())
    assert len(sent(effects, wire.GET_PATH)) == 1
    for proof in unknown[2:]:
        assert scores(receive(node, wire.PROOF, ProofMessage(proof, ()).encode())) == []
    assert len(node.known.orphans) == 100
    node.on(node.now_ms, Disconnected(PEER))
    assert len(node.known.orphans) == 0


def test_parallel_proof_far_in_the_future_is_left_alone_until_its_time() -> None:
    node = started()
    proof = solve(NETWORK.genesis, 1, manifest_for({}), NOW_MS // 1000 + 8000)
    assert ask(node, "submitconsensusproof", proof.hex())["result"] == "time-too-new"
    assert ask(node, "submitconsensusproof", proof.hex(), now_ms=NOW_MS + 1_000_000)["result"] == "accepted"


def test_parallel_new_peer_gets_the_path_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "PATH_PROOFS", 3)
    full, new = started(), started(chains=[])
    for _ in range(8):
        mine(full, {})
    connect(full)
    question = sent(connect(new), wire.GET_PATH)
    rounds = 0
    while question:
        answers = sent(receive(full, wire.GET_PATH, question[0].payload), wire.PATH)
        question = sent(receive(new, wire.PATH, answers[0].payload), wire.GET_PATH)
        rounds += 1
    assert rounds == 3
    assert new.tree.path == full.tree.path


def test_parallel_path_is_written_in_one_batch() -> None:
    full, new = started(), started(chains=[])
    for _ in range(5):
        mine(full, {})
    connect(new)
    effects = receive(new, wire.PATH, wire.encode_path(full.tree.wires_after([])))
    writes = [effect for effect in effects if isinstance(effect, Write)]
    assert [len(write.puts) for write in writes] == [6], "five proofs and the tip"


def test_parallel_answer_with_bodies_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chains.parallel.core.ANSWER_BYTES", 150)
    full = started()
    connect(full)
    for _ in range(3):
        mine(full, {"a": 0})
    asked = wire.encode_ids([bytes(32), *full.known.bodies])
    effects = receive(full, wire.GET_BODIES, asked)
    assert [effect.name for effect in effects if isinstance(effect, Send)] == [wire.NO_BODY, wire.BODY, wire.BODY]


def test_parallel_bodies_of_a_callers_orphan_are_there_when_it_is_none_any_more() -> None:
    ahead, node = started(), started()
    first, second = mine(ahead, {"a": 0})["id"], mine(ahead, {"a": 0})["id"]
    proof, bodies = wire_of(ahead, second)
    assert ask(node, "submitconsensusproof", proof.hex(), bodies)["result"] == "orphan"
    proof, bodies = wire_of(ahead, first)
    ask(node, "submitconsensusproof", proof.hex(), bodies)
    assert node.tree.path == ahead.tree.path
    assert states(node) == states(ahead)


# --- restart --------------------------------------------------------------------------------------------------------


def test_parallel_node_starts_from_what_it_wrote() -> None:
    disk = Disk()
    node = new_node()
    disk.take(node.on(NOW_MS, disk.started()))
    for who in ({"a": 0, "b": 1}, {"a": 1}, {"b": 0}, {"a": 0}):
        mine(node, who, disk=disk)
    again = new_node()
    start(again, disk)
    assert again.tree.path == node.tree.path
    assert states(again) == states(node)


def test_parallel_node_prefers_its_old_tip_after_a_restart() -> None:
    disk, node, rival = Disk(), new_node(), started()
    disk.take(node.on(NOW_MS, disk.started()))
    proof, bodies = wire_of(rival, mine(rival, {"a": 1}, 5)["id"])
    mine(node, {"a": 0}, disk=disk)
    ask(node, "submitconsensusproof", proof.hex(), bodies, disk=disk)
    disk.tables["proof"] = dict(reversed(disk.tables["proof"].items()))
    again = new_node()
    start(again, disk)
    assert again.tree.best.id == node.tree.best.id


def test_parallel_node_on_a_truncated_or_damaged_store_keeps_what_is_whole() -> None:
    disk, node = Disk(), new_node()
    disk.take(node.on(NOW_MS, disk.started()))
    ids = [mine(node, {"a": 0}, disk=disk)["id"] for _ in range(4)]
    del disk.tables["proof"][from_displayed(ids[1])]
    disk.tables["body"][bytes(32)] = b"\x00"
    again = new_node()
    effects = disk.take(again.on(NOW_MS, disk.started()))
    assert again.tree.best.height == 1
    left_out = [effect for effect in effects if isinstance(effect, Note) and effect.event == "stored proof left out"]
    assert [effect.fields["reason"] for effect in left_out] == ["orphan", "orphan"]
    assert len(disk.tables["proof"]) == 1
    assert bytes(32) not in disk.tables["body"]
    assert mine(again, {"a": 0})["result"] == "accepted"


def test_parallel_callers_transfer_survives_a_restart_until_it_is_deep() -> None:
    disk, node = Disk(), new_node()
    disk.take(node.on(NOW_MS, disk.started()))
    for _ in range(4):
        mine(node, {"a": 0}, disk=disk)
    accounts = read(node, "listaccounts", "a")
    outputs = [{"address": accounts[1]["address"], "amount": 10}]
    made = read(node, "createtransfer", "a", accounts[0]["public_key"], accounts[0]["address"], outputs)
    ask(node, "sendtransfer", "a", ask(node, "signtransfer", "a", made["hex"])["hex"], disk=disk)
    again = new_node()
    disk.take(again.on(NOW_MS, disk.started()))
    assert read(again, "gettransfer", "a", made["id"])["state"] == "waiting"
    for _ in range(102):
        mine(again, {"a": 0}, disk=disk)
    assert read(again, "gettransfer", "a", made["id"])["confirmations"] == 102
    assert disk.tables["transfer"] == {}


# --- order of messages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_parallel_nodes_with_the_same_messages_in_any_order_agree(seed: int) -> None:
    chance = random.Random(seed)
    source = started()
    messages: list[tuple[str, bytes]] = []
    rival = started()
    for number in range(10):
        miner = source if number < 6 else rival
        offer = template(miner, chance.choice([{"a": 0, "b": 1}, {"a": 2}, {"b": 3}, {}]))
        proof, bodies = solved(offer, salt=number)
        ask(miner, "submitconsensusproof", proof.hex(), bodies)
        if number < 3:
            ask(rival, "submitconsensusproof", proof.hex(), bodies)
        messages.append((wire.PROOF, ProofMessage(proof, ()).encode()))
        for body in bodies.values():
            transactions = [bytes.fromhex(one) for one in body]
            messages.append((wire.BODY, root_of(transactions) + serialize_body(transactions)))
    found = []
    for _ in range(2):
        node = started()
        connect(node)
        for name, payload in [*chance.sample(messages, len(messages)), *messages, *messages]:
            receive(node, name, payload)  # again and again, for a body that nobody has asked for yet is not taken
        found.append((node.tree.path, states(node)))
    assert found[0] == found[1]
    assert found[0][0][-1] in (rival.tree.best.id, source.tree.best.id)


def test_parallel_caller_is_told_what_is_wrong() -> None:
    node = started()
    assert ask(node, "submitconsensusproof", "zz")[0] == -22
    assert ask(node, "submitconsensusproof", "00")["result"] == "malformed"
    proof, bodies = solved(template(node, {"a": 0}))
    assert ask(node, "submitconsensusproof", proof.hex(), {"c": []})[0] == -22
    swapped = {CHAIN_B.context.hex(): bodies[CHAIN_A.context.hex()]}
    assert ask(node, "submitconsensusproof", proof.hex(), swapped)[0] == -8
    assert ask(node, "nonsense") == (-32601, "no such call: nonsense")
    answer = ask(node, "submitconsensusproof", proof.hex())
    assert (answer["result"], answer["missing"]) == ("inconclusive", [CHAIN_A.context.hex()])
    answer = ask(node, "submitconsensusproof", proof.hex(), {"a": bodies[CHAIN_A.context.hex()]})
    assert (answer["result"], answer["missing"], answer["blocks"][0]["state"]) == ("duplicate", [], "block")
    assert CALLER not in node.peers
    assert displayed(node.tree.best.id) == answer["id"]
    with pytest.raises(ValueError, match="two chains of one context"):
        new_node([*BOTH, CHAIN_A])
