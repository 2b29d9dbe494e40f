"""Bytes that nobody honest sends never break a core, and never change what it has."""

from __future__ import annotations

import random

import pytest
from support.drawn_votes import Leader

from chains.bk.core import BkCore
from chains.bk.messages import Tip, ids, vote_batches
from chains.bk.parameters import BkParameters
from chains.bk.serving import answered, locator
from chains.peers.core import Connected, Disconnected, Fired, PeerHello, PeerId, Received, Score, Started
from pool.simulation.bk_miner import read_drawn

PARAMETERS = BkParameters("bk-garbage", k=2, interval_s=60, subsidy=1000, maturity_blocks=2)
NOW_MS = 1_700_000_000_000


def grown() -> BkCore:
    core, leader = BkCore(PARAMETERS, random.Random(1), read_drawn), Leader(1)
    list(core.on(NOW_MS, Started({})))
    while core.chain.height < 3:
        core.intake.vote(leader.vote(core.chain, core.chain.graph.best, NOW_MS // 1000), None)
        offer = leader.proposal(core.chain)
        if offer is not None:
            core.intake.block(offer, {}, None)
    return core


def good_messages(core: BkCore) -> list[tuple[str, bytes]]:
    """One of each, as an honest peer would send it."""
    best = core.chain.graph.best
    vote = Leader(2).vote(core.chain, best, NOW_MS // 1000)
    return [
        ("tip", Tip(True, best.id, best.height, best.work, (vote.id,)).serialize()),
        ("vote", vote.serialize()),
        ("block", answered(best).serialize()),
        ("getvotes", ids((vote.id,))),
        ("votes", vote_batches([vote.serialize()])[0]),
        ("getblocks", ids((best.id,))),
        ("getbody", best.id),
        ("body", best.id + best.body),
        ("getchain", ids(locator(core.chain))),
        ("chain", ids((best.id, b"\x77" * 32))),
        ("transfer", b"PPT1" + bytes(80)),
    ]


def spoilt(payload: bytes, chance: random.Random) -> bytes:
    data = bytearray(payload)
    for _ in range(chance.randrange(1, 4)):
        what, place = chance.randrange(4), chance.randrange(len(data) + 1)
        if what == 0 and place < len(data):
            data[place] = chance.randrange(256)
        elif what == 1:
            del data[place : place + chance.randrange(1, 40)]
        elif what == 2:
            data[place:place] = chance.randbytes(chance.randrange(1, 40))
        else:
            data[place:] = b""
    return bytes(data)


@pytest.mark.parametrize("seed", range(3))
def test_bk_core_survives_spoilt_messages(seed: int) -> None:
    chance, core = random.Random(seed), grown()
    before = core.chain.accounts.snapshot()
    names = {message.name for message in core.messages}
    samples = good_messages(core)
    assert {name for name, _ in samples} == names
    hello = PeerHello(bytes(32), core.network, core.genesis, 1, 0, inbound=True)
    scored = 0
    for number in range(1500):
        peer, now_ms = PeerId(number // 50 + 1), NOW_MS + 100 * number
        if number % 50 == 0:
            list(core.on(now_ms, Disconnected(PeerId(peer - 1))))
            list(core.on(now_ms, Connected(peer, hello)))
        name, payload = chance.choice(samples)
        junk = chance.randbytes(chance.randrange(200)) if chance.random() < 0.1 else spoilt(payload, chance)
        effects = list(core.on(now_ms, Received(peer, name, junk)))
        scored += any(isinstance(effect, Score) for effect in effects)
        if number % 20 == 0:
            list(core.on(now_ms, Fired(chance.choice(["gossip", "retry", "fetch", "nonsense"]))))
    assert scored > 300
    assert core.chain.accounts.snapshot() == before, "no block came of it"
    assert core.chain.height == 3
