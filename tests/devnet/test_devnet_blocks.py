"""Blocks on five chains from one proof of work, and what becomes of every unit of their rewards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select
from support.devnet import CHAINS, PARENT, SHARE_DIFFICULTY, Devnet, devnet_in, port_terms, steps
from support.ports import free_port
from support.rig import Rig

from chains.reference.wallet import address
from pool.mining_client.client import LoginRefusedError
from pool.storage import tables
from pool.storage.ledger_store import audit

AUX = CHAINS[1:]
FEE_PPM = 10_000
SHARE_WORK = 256
MATURITY = 11

# One miner with two addresses of its own, one with none, one whose key is good everywhere.
SPLIT, SPLIT_NMC, SPLIT_ALPHA = address("split", 0), address("split", 1), address("split", 2)
PLAIN = address("plain", 0)
SAME = address("same", 0)
LOGINS = {
    SPLIT: f"{SPLIT}+regnmc={SPLIT_NMC}+alpha={SPLIT_ALPHA}.rig",
    PLAIN: f"{PLAIN}.rig",
    SAME: SAME + "".join(f"+{name}=same" for name in AUX) + ".rig",
}
# (address, held) that a share of each login earns for, where that is not the parent address itself.
PAYEES: dict[str, dict[str, tuple[str, bool]]] = {
    SPLIT: {
        "regnmc": (SPLIT_NMC, False), "alpha": (SPLIT_ALPHA, False), "regdoge": (SPLIT, True), "beta": (SPLIT, True),
    },
    PLAIN: {name: (PLAIN, True) for name in AUX},
    SAME: {},
}  # fmt: skip


def _two_ports_and_a_short_window(config: dict[str, Any]) -> None:
    config["stratum"]["ports"].append(port_terms(free_port()) | {"extranonce2_size": 8})
    config["chains"][PARENT]["pplns"] = {"factor": 2.1, "window_min_s": 0}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def devnet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Devnet]:
    async with devnet_in(tmp_path_factory.mktemp("blocks"), edit=_two_ports_and_a_short_window) as devnet:
        yield devnet


def _payee(miner: str, chain: str) -> tuple[str, bool]:
    return PAYEES[miner].get(chain, (miner, False))


def _window(shares: Sequence[str], bound: int) -> dict[str, int]:
    """Work by miner of the newest shares up to the bound, the oldest of them cut."""
    work: dict[str, int] = {}
    for miner in reversed(shares):
        counted = min(SHARE_WORK, bound - sum(work.values()))
        work[miner] = work.get(miner, 0) + counted
    return {miner: counted for miner, counted in work.items() if counted}


async def _reward_on_the_node(devnet: Devnet, chain: str, hash_hex: str) -> int:
    """What the block's coinbase pays to the pool's address, in smallest units."""
    block = await devnet.rpc(chain, "getblock", hash_hex, 2)
    ours = [
        output["value"] * Decimal(10**8)
        for output in block["tx"][0]["vout"]
        if output["scriptPubKey"].get("address") == devnet.config.chains[chain].address
    ]
    assert len(ours) == 1
    return int(ours[0])


def _credits(block: Mapping[str, Any]) -> dict[tuple[str, bool], int]:
    return {(credit["miner"], credit["held"]): credit["amount"] for credit in block["credits"]}


async def test_devnet_one_share_credits_five_chains_to_the_unit(devnet: Devnet) -> None:
    rigs = {miner: await devnet.rig(login) for miner, login in LOGINS.items()}
    not_a_block = devnet.target(PARENT)
    order = [SPLIT, PLAIN, SAME, SPLIT, SPLIT, PLAIN, SAME] * 7
    steps.info("mine %d shares of three miners", len(order))
    offers = await devnet.offers()
    for miner in order:
        await rigs[miner].share(above=not_a_block, where=offers.held_by)
    _, blocks = await devnet.solve_all(rigs[PLAIN])
    order.append(PLAIN)

    bound = 2**256 // (devnet.target(PARENT) + 1) * 21 // 10
    assert bound < len(order) * SHARE_WORK, "the parent's window must be full for this test"
    for chain, block in blocks.items():
        reward = await _reward_on_the_node(devnet, chain, block["hash"])
        assert block["reward"] == reward == 50 * 10**8
        assert block["fee"] == reward * FEE_PPM // 10**6
        assert block["confirmations"] == 1
        credits = _credits(block)
        assert sum(credits.values()) + block["fee"] == reward
        window = _window(order, bound if chain == PARENT else len(order) * SHARE_WORK)
        total = sum(window.values())
        assert set(credits) == {_payee(miner, chain) for miner in window}
        for miner, work in window.items():
            exact = Fraction((reward - block["fee"]) * work, total)
            assert abs(credits[_payee(miner, chain)] - exact) < 1, (chain, miner)

    steps.info("credits are pending for %d confirmations", MATURITY)
    for chain, block in blocks.items():
        for (payee, held), amount in _credits(block).items():
            kind = "held" if held else "immature"
            assert await devnet.balance(payee, chain) == {"immature": 0, "available": 0, "held": 0} | {kind: amount}
        await devnet.advance(chain, MATURITY - 2)

    async def all_lack_one() -> bool:
        found = [await devnet.block(chain, block["hash"]) for chain, block in blocks.items()]
        return all(block["confirmations"] == MATURITY - 1 for block in found)

    await devnet.until(all_lack_one, "ten confirmations")
    for chain, block in blocks.items():
        assert (await devnet.block(chain, block["hash"]))["state"] == "immature"
        await devnet.advance(chain)
    for chain, block in blocks.items():
        mature = await devnet.in_state(chain, block["hash"], "mature")
        assert mature["credits"] == block["credits"]
        for (payee, held), amount in _credits(block).items():
            kind = "held" if held else "available"
            assert await devnet.balance(payee, chain) == {"immature": 0, "available": 0, "held": 0} | {kind: amount}
    _check_books(devnet)


def _check_books(devnet: Devnet) -> None:
    """Every credited block of SQLite adds up, and so does the ledger."""
    with devnet.database() as connection:
        assert audit(connection) == []
        rows = connection.execute(select(tables.blocks).where(tables.blocks.c.reward.is_not(None))).all()
        credits = connection.execute(select(tables.credits.c.block_id, tables.credits.c.amount)).all()
        assert {row.chain for row in rows} == set(CHAINS)
        for row in rows:
            assert sum(credit.amount for credit in credits if credit.block_id == row.id) + row.fee == row.reward


async def test_devnet_port_of_eight_extranonce2_bytes_finds_blocks(devnet: Devnet) -> None:
    rig = await devnet.rig(LOGINS[SAME], port=1)
    assert rig.client.extranonce2_size == 8
    assert (await rig.job()).difficulty == SHARE_DIFFICULTY
    for extranonce2 in (bytes(8), b"\xff" * 8, b"\x01\x02\x03\x04\x05\x06\x07\x08"):
        await rig.share(extranonce2=extranonce2)  # one in sixteen is a block, and the next is for another tip
    _, blocks = await devnet.solve_all(rig)
    for chain, block in blocks.items():
        assert block["hash"] == await devnet.rpc(chain, "getbestblockhash")
        assert sum(_credits(block).values()) + block["fee"] == block["reward"]
    _check_books(devnet)


async def test_devnet_login_remarks_reach_the_miner_and_credits_are_held(devnet: Devnet) -> None:
    odd = address("odd", 0)
    rig = await devnet.rig(f"{odd}+nosuch={SPLIT}+alpha={SPLIT[:-1]}q.rig", "regnmc=notanaddress,beta=same,x=1")
    steps.info("the miner is told what of its login was not understood")
    await devnet.until(lambda: bool(rig.client.messages), "client.show_message")
    shown = " ".join(rig.client.messages)
    assert "unknown chain 'nosuch'" in shown
    assert "alpha" in shown and "regnmc" in shown and f"held for {odd}" in shown
    _, blocks = await devnet.solve_all(rig)
    for chain, held in {"regbtc": False, "beta": False, "alpha": True, "regnmc": True, "regdoge": True}.items():
        assert (odd, held) in _credits(blocks[chain]), chain
        balance = await devnet.balance(odd, chain)
        assert balance["held" if held else "immature"] > 0
        assert balance["immature" if held else "held"] == balance["available"] == 0

    steps.info("a login without a good parent address is refused")
    for bad in ("notanaddress.rig", SPLIT[:-1] + "q.rig", "", "+alpha=same", f"{SPLIT}+alpha", f"{odd} {odd}"):
        with pytest.raises(LoginRefusedError, match=r"\(24\)"):
            await devnet.rig(bad)


async def test_devnet_views_never_show_which_addresses_shared_a_login(devnet: Devnet) -> None:
    """The first test of this file mined with a login of three addresses."""
    addresses = {SPLIT, SPLIT_NMC, SPLIT_ALPHA}
    for own in addresses:
        status, text = await devnet.http(f"/api/v1/miners/{own}")
        assert status == 200
        assert not any(other in text for other in addresses - {own}), own
    parent_page, alpha_page = [await devnet.api(f"/miners/{own}") for own in (SPLIT, SPLIT_ALPHA)]
    assert [worker["name"] for worker in parent_page["workers"]] == ["rig"]
    assert alpha_page["workers"] == [] and alpha_page["hashrate_1h"] == 0
    assert set(alpha_page["balances"]) == {"alpha"}
    paths = ("/metrics", "/", "/api/v1/pool", "/api/v1/chains", "/api/v1/blocks")
    pages = await asyncio.gather(*map(devnet.http, paths))
    for _, text in pages:
        assert not any(one in text for one in addresses)
    assert not any(one in devnet.logs() for one in addresses)


async def test_devnet_login_changes_no_other_route(devnet: Devnet) -> None:
    """Somebody who logs in with a stranger's parent address and his own for alpha takes nothing of the stranger's."""
    victim, thief = address("victim", 0), address("thief", 0)
    honest: Rig = await devnet.rig(f"{victim}.rig")
    _, offers = await devnet.full_job(honest)
    for _ in range(5):
        await honest.share(above=devnet.target(PARENT), where=offers.held_by)
    stealing = await devnet.rig(f"{victim}+alpha={thief}.rig")
    await stealing.share(above=devnet.target(PARENT), where=offers.held_by)
    _, blocks = await devnet.solve_all(honest)
    credits = _credits(blocks["alpha"])
    assert credits[victim, True] == pytest.approx(6 * credits[thief, False], abs=6)
