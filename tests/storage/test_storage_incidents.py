"""What went wrong at other pools between a found block and its credits, each incident by its number.

The incidents of payouts are in test_storage_payout_run.py, those of several front ends in test_storage_front_ends.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bookkeeping_world import World
from storage_samples import block_hash_hex, header_hash, make_route, solution

from pool.accounting.books_away import BooksAwayError
from pool.blocks.solution_store import SolvingShare

ANNA = make_route("anna", alpha="anna-alpha")
BERT = make_route("bert", alpha="bert-alpha")


@pytest.fixture
def world(tmp_path: Path, url: str) -> Iterator[World]:
    made = World(tmp_path, url)
    yield made
    made.close()


def available(world: World) -> list[tuple[str, int]]:
    """Who can be paid what on alpha."""
    rows = [(account, amount) for chain, account, amount in world.dump()["balances"] if chain == "alpha"]
    return sorted((row[0][2], row[1]) for row in rows if row[0][-1] == "available")


async def test_incident_p05_a_block_that_is_recorded_twice_is_paid_once(world: World) -> None:
    """Its share and its record come again: with the next batch, under another sequence, after a restart."""
    world.chains["alpha"].mine(5, height=5)
    world.solve("alpha", 5, 1, ANNA, "accepted")
    await world.settle()
    booked = world.dump()
    solved = (("alpha", bytes.fromhex(block_hash_hex(5))[::-1]),)
    for sequence in (2, 3):
        world.log.append(sequence, ANNA, solved=solved, header_hash=header_hash(1), time_ms=1000)
        world.solutions.put(solution("alpha", 5, sequence))
        world.restart()
        await world.settle()
    after = world.dump()
    for name in ("shares", "blocks", "credits", "balances", "groups"):
        assert after[name] == booked[name], name
    world.chains["alpha"].advance(5)
    await world.settle()
    assert available(world) == [("anna-alpha", 990)]
    assert world.dump()["audit"] == []


async def test_incident_p06_a_block_that_comes_back_after_reorgs_is_paid_once(world: World) -> None:
    chain = world.chains["alpha"]
    chain.mine(5, height=5)
    world.solve("alpha", 5, 1, ANNA, "accepted")
    await world.settle()
    for times in (1, 2, 3):
        chain.mine(90 + times, height=5)
        await world.settle()
        assert world.balances("alpha") == {}
        chain.mine(5, height=5)
        world.restart()
        await world.settle()
    chain.advance(5)
    await world.settle()
    assert available(world) == [("anna-alpha", 990)]
    assert world.balances("alpha")["asset.wallet"] == 1000
    groups = [group.partition(":")[0] for group in world.dump()["groups"]]
    assert sorted(groups) == ["credit", "mature", *["orphan"] * 3, *["reinstate"] * 3]
    assert world.dump()["audit"] == []


@pytest.mark.parametrize("knows", [True, False], ids=["on its shorter chain", "not at all"])
async def test_incident_p07_a_node_out_of_sync_makes_no_orphan(world: World, knows: bool) -> None:
    """However long it says so. Back in sync it shows the block, and its miners are paid."""
    chain = world.chains["alpha"]
    chain.mine(5, height=5)
    world.solve("alpha", 5, 1, ANNA, "accepted")
    await world.settle()
    credited = world.balances("alpha")
    chain.mine(99, height=5)
    if not knows:
        chain.beside.clear()
    chain.advance(500)
    chain.synced = False
    for _ in range(3):
        world.now_ms += 3_600_000
        await world.settle()
    assert world.state(5)[0] == "immature"
    assert world.balances("alpha") == credited
    chain.synced = True
    chain.mine(5, height=5)
    await world.settle()
    assert world.state(5)[0] == "mature"
    assert available(world) == [("anna-alpha", 990)]


async def test_incident_p16_a_block_found_while_the_database_is_away_is_paid(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody hears the node's answer, the process ends, the log has lost the share: the record is enough."""
    world.log.append(1, BERT)
    world.chains["alpha"].mine(5, height=5)

    def away() -> Any:
        raise BooksAwayError("connection refused")

    monkeypatch.setattr(world.database, "write", away)
    monkeypatch.setattr(world.database, "read", away)
    solving = SolvingShare(ANNA, "rig", 2_000, ("regbtc", "alpha"), header_hash(2))
    world.solutions.put(solution("alpha", 5, sequence=2, solving_share=solving))
    for _ in range(3):
        with pytest.raises(BooksAwayError):
            await world.bookkeeping.step()
    world.restart()
    # After a crash the log begins beyond every sequence that it may have given out.
    world.log.durable_sequence = 1_000_002
    await world.settle()
    assert world.credits(5) == {("miner", "anna-alpha"): 495, ("miner", "bert-alpha"): 495}
    world.chains["alpha"].advance(5)
    await world.settle()
    assert available(world) == [("anna-alpha", 495), ("bert-alpha", 495)]
    assert world.dump()["audit"] == []


async def test_bad_input_a_template_that_changes_its_reward_after_the_solve_changes_no_credit(world: World) -> None:
    """What the block's coinbase pays is what is split, whatever any template said."""
    world.chains["alpha"].mine(5, height=5, reward=1001)
    solved = (("alpha", bytes.fromhex(block_hash_hex(5))[::-1]),)
    world.log.append(1, ANNA, solved=solved)
    world.solutions.put(solution("alpha", 5, 1, reward_hint=5_000_000))
    await world.settle()
    assert world.state(5) == ("immature", 1001, 10)
    assert world.credits(5) == {("miner", "anna-alpha"): 991}
    assert world.dump()["audit"] == []
