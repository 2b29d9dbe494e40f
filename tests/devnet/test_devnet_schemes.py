"""Reward schemes in one pool: a port where blocks belong to their solver, one where shares are bought, and the rest."""

from __future__ import annotations

from typing import Any

from support.devnet import BLOCK_BITS, CHAINS, PARENT, Devnet, port_terms, steps
from support.ports import free_port
from support.rig import Rig

from chains.primitives.target import bits_to_target, work_of
from chains.reference.wallet import address
from pool.audit.books_audit import audit
from pool.audit.terms import TermsBook
from pool.ledger.account import ASSET_WALLET, OPERATOR_AVAILABLE, OPERATOR_IMMATURE
from pool.ledger.transfer import Transfer, TransferGroup
from pool.storage import ledger_store
from pool.storage.database import Database, upgrade

REWARD = 50 * 10**8
FEE_PPM = 10_000
PPS_FEE_PPM = 50_000
SHARE_WORK = 256
SHARE_VALUE = SHARE_WORK * REWARD * (10**6 - PPS_FEE_PPM) // (work_of(bits_to_target(int(BLOCK_BITS, 16))) * 10**6)
FUND = 12 * SHARE_VALUE
SOLO, BOUGHT = 1, 2
"""Places of the ports; the first one is PPLNS."""

ALONE, SELLER, OTHER = (address(name, 0) for name in ("alone", "seller", "other"))
AUX = CHAINS[1:]


def _three_ports(config: dict[str, Any]) -> None:
    for scheme in ("solo", {"alpha": "pps"}):
        config["stratum"]["ports"].append(port_terms(free_port()) | {"scheme": scheme})
    config["chains"]["alpha"]["pps"] = {
        "minimum_reserve": 5 * SHARE_VALUE, "resume_reserve": 6 * SHARE_VALUE, "fee_ppm": PPS_FEE_PPM,
        "credit_interval_s": 1,
    }  # fmt: skip


def _fund(devnet: Devnet) -> None:
    """The operator puts money in before the pool first starts."""
    devnet.data_dir.mkdir(parents=True)
    upgrade(devnet.config.database_url())
    database = Database(devnet.config.database_url())
    group = TransferGroup("fund:alpha:1", "alpha", "fund", (Transfer(ASSET_WALLET, OPERATOR_AVAILABLE, FUND),))
    with database.write() as connection:
        ledger_store.post(connection, group, 0)
    database.close()


def _login(miner: str) -> str:
    return miner + "".join(f"+{name}=same" for name in AUX) + ".rig"


async def _sell(devnet: Devnet, rig: Rig, count: int) -> None:
    """Shares that are no block of any chain."""
    offers = await devnet.offers()
    easiest = max(devnet.target(chain) for chain in CHAINS)
    for _ in range(count):
        await rig.share(above=easiest, where=offers.held_by)


def _audited(devnet: Devnet) -> list[str]:
    with devnet.database() as connection:
        return [str(finding) for finding in audit(connection, TermsBook({})).findings]


def _operator(devnet: Devnet) -> dict[str, int]:
    with devnet.database() as connection:
        balances = ledger_store.chain_balances(connection, "alpha")
    return {name: balances.get(name, 0) for name in (OPERATOR_IMMATURE, OPERATOR_AVAILABLE)}


async def test_devnet_solo_and_bought_shares_beside_a_pplns_port(make_devnet: Any) -> None:
    devnet: Devnet = await make_devnet(start=False, edit=_three_ports)
    _fund(devnet)
    await devnet.start()
    alpha = await devnet.chain("alpha")
    assert (alpha["schemes"], alpha["buying"]) == (["pplns", "solo", "pps"], True)
    plain, alone = await devnet.rig(_login(OTHER)), await devnet.rig(_login(ALONE), port=SOLO)
    seller = await devnet.rig(_login(SELLER), port=BOUGHT)

    steps.info("three shares are bought, with no block at all")
    await _sell(devnet, plain, 2)
    await _sell(devnet, seller, 3)
    await devnet.until(lambda: _has(devnet, SELLER, 3 * SHARE_VALUE), "three shares are credited")
    assert await devnet.balance(OTHER, "alpha") == {"immature": 0, "available": 0, "held": 0}

    steps.info("a block of every chain at the solo port: all of it is its solver's")
    _, blocks = await devnet.solve_all(alone)
    for block in blocks.values():
        fee = REWARD * FEE_PPM // 10**6
        assert (block["reward"], block["fee"]) == (REWARD, fee)
        assert [(credit["miner"], credit["amount"]) for credit in block["credits"]] == [(ALONE, REWARD - fee)]

    steps.info("one at the port that buys alpha: on alpha it is the operator's, elsewhere the window's")
    _, blocks = await devnet.solve_all(seller)
    assert (blocks["alpha"]["fee"], blocks["alpha"]["credits"]) == (0, [])
    assert {credit["miner"] for credit in blocks[PARENT]["credits"]} == {OTHER, SELLER}
    assert _operator(devnet)[OPERATOR_IMMATURE] == REWARD
    assert _audited(devnet) == []


async def test_devnet_stops_buying_when_the_reserve_is_low(make_devnet: Any) -> None:
    devnet: Devnet = await make_devnet(start=False, edit=_three_ports)
    _fund(devnet)
    await devnet.start()
    seller = await devnet.rig(_login(SELLER), port=BOUGHT)
    await _sell(devnet, seller, 9)
    await devnet.until(lambda: _buying(devnet, False), "the reserve is low")
    assert "reserve is low, new jobs count for PPLNS chain=alpha" in devnet.logs()
    assert await devnet.metric("pps_buying") == {'chain="alpha"': 0.0}
    await devnet.until(lambda: _has(devnet, SELLER, 9 * SHARE_VALUE), "all nine shares are credited")
    earned = (await devnet.balance(SELLER, "alpha"))["available"]

    steps.info("a block now is divided among the shares of new jobs: the seller's own")
    await devnet.all_chains_mined()
    _, blocks = await devnet.solve_all(seller)
    assert [credit["miner"] for credit in blocks["alpha"]["credits"]] == [SELLER]
    assert _operator(devnet)[OPERATOR_IMMATURE] == 0
    assert (await devnet.balance(SELLER, "alpha"))["available"] == earned
    assert _audited(devnet) == []


async def _has(devnet: Devnet, miner: str, available: int) -> bool:
    return (await devnet.balance(miner, "alpha"))["available"] >= available


async def _buying(devnet: Devnet, wanted: bool) -> bool:
    return (await devnet.chain("alpha"))["buying"] is wanted
