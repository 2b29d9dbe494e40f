"""A real payout that nobody mines gets a higher fee, by litecoind and by reference nodes. Whichever of its transactions
is mined, in the end ledger and wallet agree to the unit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from payout_nodes import NodePayouts
from wallet_worlds import WalletWorld, litecoin_wallet, reference_wallet

from pool.payouts.batch import Batch, FeePolicy
from pool.storage import payout_versions

AMOUNTS = {1: 1_500_000, 2: 1_000_000, 3: 500_001}
LOW, HIGH = 1_000, 30_000


@pytest_asyncio.fixture(loop_scope="session", params=["litecoind", "bitcoin", "mm2"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[WalletWorld]:
    if request.param == "litecoind":
        made = litecoin_wallet(tmp_path, "bumps", "-mempoolreplacement=1", funded=False)
    else:
        made = reference_wallet(request.param, tmp_path, funded=False)
    async with made as world:
        yield world


async def bumped(pays: NodePayouts) -> tuple[Batch, bytes]:
    """A payout that was sent at a low rate and replaced, and the bytes it had first."""
    pays.fund(1)
    pays.owe(AMOUNTS)
    pays.now_ms += 3_600_000
    await pays.step()
    (sent,) = pays.batches()
    assert sent.raw is not None and pays.waits(sent)
    with pays.database.write() as connection:
        payout_versions.order_bump(connection, sent.id, HIGH)
    await pays.step()
    (batch,) = pays.batches()
    assert (batch.version, batch.state) == (1, "broadcast"), batch
    assert pays.waits(batch) and not pays.waits(sent)
    return batch, sent.raw


def check_fee(pays: NodePayouts, version: int) -> None:
    (batch,) = pays.batches()
    assert (batch.state, batch.version) == ("settled", version)
    assert batch.built is not None and pays.balances().get("expense.txfee", 0) == batch.built.pool_fee
    assert pays.books.holds() == [] and pays.payer.check.difference == 0


async def test_nodes_payout_bump_is_mined_and_booked_to_the_unit(world: WalletWorld, tmp_path: Path) -> None:
    pays = NodePayouts(tmp_path, world, default_fee_rate=LOW)
    batch, _ = await bumped(pays)
    (old,) = batch.others
    assert batch.built is not None and old.built is not None and batch.built.fee == 30 * old.built.fee
    await pays.settle()
    await pays.check_exact(AMOUNTS)
    check_fee(pays, 1)
    more = {1: 700_000}
    pays.fund(1)
    pays.owe(more)
    await pays.settle()
    await pays.check_exact(AMOUNTS | {1: 2_200_000})
    pays.close()


async def test_nodes_payout_bump_the_first_transaction_is_mined_and_a_reorg_swaps_them(
    world: WalletWorld, tmp_path: Path
) -> None:
    pays = NodePayouts(tmp_path, world, default_fee_rate=LOW, fee_policy=FeePolicy.MINER)
    batch, first = await bumped(pays)
    assert batch.raw is not None
    hash_hex = pays.world.mine_only(first)
    await pays.passes(5)
    check_fee(pays, 0)
    await pays.check_exact({})
    before = [pays.paid(number) for number in AMOUNTS]
    pays.node.call("invalidateblock", hash_hex)
    pays.world.mine_only(batch.raw)
    pays.world.mine(3)
    await pays.passes(5)
    check_fee(pays, 1)
    await pays.check_exact({})
    pays._scanned.clear()
    assert [pays.paid(number) for number in AMOUNTS] == before
    pays.close()


async def test_nodes_payout_bump_a_node_that_keeps_the_first_says_so(tmp_path: Path) -> None:
    """litecoind as it is without -mempoolreplacement."""
    async with litecoin_wallet(tmp_path, "keeps", funded=False) as world:
        pays = NodePayouts(tmp_path, world, default_fee_rate=LOW)
        pays.fund(1)
        pays.owe(AMOUNTS)
        pays.now_ms += 3_600_000
        await pays.step()
        (sent,) = pays.batches()
        with pays.database.write() as connection:
            payout_versions.order_bump(connection, sent.id, HIGH)
        await pays.step()
        (batch,) = pays.batches()
        assert (batch.others, batch.bump_rate, batch.raw) == ((), None, sent.raw)
        await pays.settle()
        await pays.check_exact(AMOUNTS)
        check_fee(pays, 0)
        pays.close()
