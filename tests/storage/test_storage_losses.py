"""A reorg deeper than the maturity, after the coins were final: loss, who bears it, and the block's return."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bookkeeping_world import World
from storage_samples import block_hash_hex, make_route

from pool.ledger.account import ASSET_WALLET, OPERATOR_AVAILABLE, available, reserved
from pool.ledger.transfer import LedgerError, Transfer, TransferGroup
from pool.storage import block_losses, ledger_links, ledger_store

ANNA = make_route("anna", alpha="anna-alpha")
BERT = make_route("bert", alpha="bert-alpha")
HASH_HEX = block_hash_hex(5)


@pytest.fixture
async def world(tmp_path: Path, url: str) -> AsyncIterator[World]:
    """A final block of 1,000: fee 10, Anna 743, Bert 247."""
    made = World(tmp_path, url)
    for sequence in range(1, 40):
        made.log.append(sequence, BERT if sequence % 4 == 0 else ANNA)
    made.chains["alpha"].mine(5, height=5)
    made.solve("alpha", 5, 40, BERT, "accepted")
    made.chains["alpha"].advance(2)
    await made.settle()
    assert made.state(5) == ("mature", 1000, 10)
    yield made
    made.close()


def balances(world: World) -> dict[str, int]:
    return {name: amount for name, amount in world.balances("alpha").items() if not name.startswith("liab.")}


def owed_in_all(world: World) -> int:
    return sum(amount for name, amount in world.balances("alpha").items() if name.startswith("liab."))


def post(world: World, kind: str, *transfers: tuple[str, str, int]) -> None:
    group = TransferGroup(f"{kind}:alpha:x", "alpha", kind, tuple(Transfer(*transfer) for transfer in transfers))
    with world.database.write() as connection:
        ledger_store.post(connection, group, 0)


def reserve_one(world: World) -> None:
    names = [name for name in world.balances("alpha") if name.startswith("liab.") and name.endswith(".available")]
    account_id = int(names[0].split(".")[1])
    post(world, "reserve", (available(account_id), reserved(account_id), 1))


async def lose(world: World) -> None:
    world.chains["alpha"].forget(5)
    await world.settle()


async def test_bookkeeping_books_a_loss_when_a_final_block_leaves(world: World) -> None:
    await lose(world)
    assert world.state(5)[0] == "lost"
    assert balances(world) == {"equity.loss": -990}
    assert owed_in_all(world) == 990
    with world.database.read() as connection:
        assert block_losses.open_losses(connection) == [block_losses.OpenLoss("alpha", HASH_HEX, 5, 1000, 990)]
        assert ledger_links.broken_link(connection, "alpha") is None
    with pytest.raises(LedgerError, match="a loss of 990 is not borne by anybody yet"):
        reserve_one(world)
    before = world.dump()
    await world.settle()
    assert world.dump() == before


async def test_bookkeeping_undoes_a_loss_when_the_block_returns(world: World) -> None:
    before = world.dump()
    await lose(world)
    world.chains["alpha"].mine(5, height=5)
    await world.settle()
    assert world.state(5) == ("mature", 1000, 10)
    assert world.dump()["balances"] == before["balances"]
    assert world.dump()["audit"] == []
    reserve_one(world)


@pytest.mark.parametrize("returns", [False, True])
async def test_bookkeeping_operator_absorbs_a_loss(world: World, returns: bool) -> None:
    before = world.dump()["balances"]
    await lose(world)
    with world.database.write() as connection:
        assert block_losses.absorb(connection, "alpha", HASH_HEX, 1) == 990
    with world.database.write() as connection:
        assert block_losses.absorb(connection, "alpha", HASH_HEX, 2) == 0
    with pytest.raises(LedgerError, match="the wallet holds 990 less than what is owed"):
        reserve_one(world)
    if returns:
        world.chains["alpha"].mine(5, height=5)
        await world.settle()
        assert world.dump()["balances"] == before
        return
    assert balances(world) == {"equity.operator.withdrawn": -990}
    post(world, "fund", (ASSET_WALLET, OPERATOR_AVAILABLE, 990))
    reserve_one(world)


@pytest.mark.parametrize("returns", [False, True])
async def test_bookkeeping_clawback_takes_no_more_than_is_available(world: World, returns: bool) -> None:
    before = world.dump()["balances"]
    # Anna was paid 700 of hers before the reorg, from coins that are still there.
    name = max(world.balances("alpha").items(), key=lambda item: (item[0].endswith(".available"), item[1]))[0]
    anna = int(name.split(".")[1])
    post(world, "fund", (ASSET_WALLET, OPERATOR_AVAILABLE, 700))
    post(world, "reserve", (available(anna), reserved(anna), 700))
    post(world, "settle", (reserved(anna), ASSET_WALLET, 700))
    await lose(world)
    with world.database.write() as connection:
        assert block_losses.clawback(connection, "alpha", HASH_HEX, 1) == (43 + 247, 700)
    with world.database.write() as connection:
        assert block_losses.clawback(connection, "alpha", HASH_HEX, 2) == (0, 700)
        assert block_losses.absorb(connection, "alpha", HASH_HEX, 3) == 700
    with world.database.write() as connection, pytest.raises(LedgerError, match="the operator bears this loss"):
        block_losses.clawback(connection, "alpha", HASH_HEX, 4)
    assert owed_in_all(world) == 0
    assert balances(world) == {OPERATOR_AVAILABLE: 700, "equity.operator.withdrawn": -700}
    if returns:
        world.chains["alpha"].mine(5, height=5)
        await world.settle()
        after = dict((row[:2], row[2]) for row in world.dump()["balances"])
        for chain, account, amount in before:
            key = (chain, account)
            assert after.get(key, 0) == amount - (700 if isinstance(account, tuple) and amount == 743 else 0), key
        assert after["alpha", OPERATOR_AVAILABLE] == 700


async def test_bookkeeping_loses_older_blocks_one_after_the_other(world: World) -> None:
    for number in (8, 12):
        world.chains["alpha"].mine(number, height=number)
        world.solve("alpha", number, 30 + number * 5, ANNA, "accepted")
        await world.settle()
    world.chains["alpha"].advance(3)
    await world.settle()
    assert [world.state(number)[0] for number in (5, 8, 12)] == ["mature"] * 3
    world.chains["alpha"].forget(12)
    world.chains["alpha"].forget(8)
    await world.settle()
    assert [world.state(number)[0] for number in (5, 8, 12)] == ["mature", "lost", "lost"]
    assert world.dump()["audit"] == []


async def test_bookkeeping_loses_every_block_of_a_branch_before_one_of_the_next_becomes_final(world: World) -> None:
    """A newer block on the new branch is deep enough in the same pass: it must not speak for those on the old one."""
    chain = world.chains["alpha"]
    for number in (8, 9, 10):
        chain.mine(number, height=number)
        world.solve("alpha", number, 30 + number * 5, ANNA, "accepted")
    chain.mine(20, height=20)
    world.solve("alpha", 20, 300, ANNA, "accepted")
    await world.settle()
    chain.advance(1)
    await world.settle()
    assert [world.state(number)[0] for number in (5, 8, 9, 10, 20)] == ["mature"] * 4 + ["immature"]
    for number in (8, 9, 10):
        chain.forget(number)
    chain.advance(1)
    await world.bookkeeping.step()
    assert [world.state(number)[0] for number in (5, 8, 9, 10, 20)] == ["mature", "lost", "lost", "lost", "mature"]
    await world.settle()
    assert world.dump()["audit"] == []


def test_bookkeeping_resolves_only_what_is_lost(world: World) -> None:
    with world.database.write() as connection:
        assert block_losses.open_losses(connection) == []
        for resolve in (block_losses.absorb, block_losses.clawback):
            with pytest.raises(block_losses.NoLossError, match=f"alpha has no lost block {HASH_HEX}"):
                resolve(connection, "alpha", HASH_HEX, 0)
