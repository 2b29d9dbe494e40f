"""Order and interruption change nothing: the same messages in any order, or with a restart anywhere, give one state."""

from __future__ import annotations

import random

import pytest
from support.drawn_votes import Leader

from chains.bk.core import BkCore
from chains.bk.messages import read_offer
from chains.bk.parameters import BkParameters
from chains.bk.records import BLOCKS, VOTES
from chains.bk.serving import pushed
from chains.peers.core import Connected, Note, PeerHello, PeerId, Received, Score, Started, Write
from pool.simulation.bk_miner import read_drawn

PARAMETERS = BkParameters("bk-order", k=3, interval_s=30, subsidy=1000, maturity_blocks=2)
NOW_MS = 1_700_000_000_000
PEER = PeerId(1)


def history(seed: int, heights: int = 5) -> list[tuple[str, bytes]]:
    """Votes and blocks of a chain with siblings, as messages in the order in which they were made."""
    chance = random.Random(seed)
    core = started()
    leaders = [Leader(number, seed) for number in range(3)]
    messages: list[tuple[str, bytes]] = []
    while core.chain.height < heights:
        leader = chance.choice(leaders)
        best = core.chain.graph.best
        # Now and then somebody is late and votes for the block before.
        block = best.previous if best.previous is not None and chance.random() < 0.3 else best
        vote = leader.vote(core.chain, block, NOW_MS // 1000 + len(messages))
        messages.append(("vote", vote.serialize()))
        core.intake.vote(vote, None)
        for one in leaders:
            offer = one.proposal(core.chain)
            if offer is not None:
                core.intake.block(offer, {}, None)
                messages.append(("block", pushed(core.chain.graph.blocks[offer.id]).serialize()))
    return messages


def started(records: dict[str, list[tuple[bytes, bytes]]] | None = None) -> BkCore:
    core = BkCore(PARAMETERS, random.Random(1), read_drawn)
    list(core.on(NOW_MS, Started(records or {})))
    list(core.on(NOW_MS, Connected(PEER, PeerHello(bytes(32), core.network, core.genesis, 1, 0, True))))
    return core


class Disk:
    """Carries out `Write` and counts misbehaviour."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[bytes, bytes]] = {}
        self.scores: list[str] = []

    def feed(self, core: BkCore, name: str, payload: bytes, number: int) -> None:
        for effect in core.on(NOW_MS + 10_000 * number, Received(PEER, name, payload)):
            if isinstance(effect, Write):
                for table, key, value in effect.puts:
                    self.tables.setdefault(table, {})[key] = value
                for table, key in effect.deletes:
                    self.tables[table].pop(key, None)
            elif isinstance(effect, Score):
                self.scores.append(effect.reason)

    def records(self) -> dict[str, list[tuple[bytes, bytes]]]:
        return {name: list(table.items()) for name, table in self.tables.items()}


def state(core: BkCore) -> tuple[object, ...]:
    blocks = {block.id: set(block.votes) for block in core.chain.graph.blocks.values()}
    return (core.chain.graph.best.id, blocks, core.chain.accounts.snapshot())


@pytest.mark.parametrize("seed", range(12))
def test_bk_any_order_gives_the_same_chain_and_state(seed: int) -> None:
    messages = history(seed)
    states = []
    for order in range(4):
        shuffled = list(messages)
        if order:
            random.Random(order).shuffle(shuffled)
        core, disk = started(), Disk()
        for number, (name, payload) in enumerate(shuffled):
            disk.feed(core, name, payload, number)
        assert not disk.scores
        states.append(state(core))
    assert all(one == states[0] for one in states)
    assert states[0][0] != core.genesis


@pytest.mark.parametrize("seed", range(4))
def test_bk_restart_equals_no_restart(seed: int) -> None:
    messages = history(seed)
    chance = random.Random(seed)
    whole, disk = started(), Disk()
    broken, other = started(), Disk()
    for number, (name, payload) in enumerate(messages):
        disk.feed(whole, name, payload, number)
        other.feed(broken, name, payload, number)
        if chance.random() < 0.2:
            broken = started(other.records())
    assert state(whole) == state(broken)
    assert other.records() == disk.records()


def test_bk_order_of_votes_survives_a_restart() -> None:
    """Who proposes takes the oldest foreign votes: a restart must not make others of them."""
    core, disk = started(), Disk()
    for number, (name, payload) in enumerate(history(3, heights=2)):
        disk.feed(core, name, payload, number)
    again = started(disk.records())
    for block in core.chain.graph.blocks.values():
        assert list(again.chain.graph.blocks[block.id].votes) == list(block.votes)


@pytest.mark.parametrize("table", [VOTES, BLOCKS])
def test_bk_damaged_records_are_left_out_and_come_back_from_peers(table: str) -> None:
    messages = history(1)
    core, disk = started(), Disk()
    for number, (name, payload) in enumerate(messages):
        disk.feed(core, name, payload, number)
    records = disk.records()
    key, value = records[table][2]
    records[table][2] = (key, value[:-1] + bytes((value[-1] ^ 1,)))
    fresh = BkCore(PARAMETERS, random.Random(1), read_drawn)
    effects = list(fresh.on(NOW_MS, Started(records)))
    assert [effect for effect in effects if isinstance(effect, Note) and effect.event == "stored records left out"]
    assert (table, key) in next(effect for effect in effects if isinstance(effect, Write)).deletes
    assert fresh.chain.height < core.chain.height
    list(fresh.on(NOW_MS, Connected(PEER, PeerHello(bytes(32), fresh.network, fresh.genesis, 1, 0, True))))
    for number, (name, payload) in enumerate(messages):
        disk.feed(fresh, name, payload, number)
    assert state(fresh) == state(core)


def test_bk_store_cut_off_anywhere_is_a_chain() -> None:
    core, disk = started(), Disk()
    for number, (name, payload) in enumerate(history(2)):
        disk.feed(core, name, payload, number)
    records = disk.records()
    for votes in range(0, len(records[VOTES]) + 1, 4):
        cut = {VOTES: records[VOTES][:votes], BLOCKS: records[BLOCKS]}
        again = started(cut)
        known = again.chain.graph.blocks
        assert {block.header.previous for block in known.values() if block.height} <= known.keys()
        assert again.chain.walk.tip == again.chain.graph.best.id


def test_bk_offer_survives_its_bytes() -> None:
    _, payload = next(message for message in history(1, heights=1) if message[0] == "block")
    assert read_offer(payload).serialize() == payload
