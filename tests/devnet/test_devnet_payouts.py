"""Payouts on a whole devnet: a miner's solves become coins in three wallets, and the payer brings them to him,
through reorganisations and with nodes killed in between: on the parent, a chain of Dogecoin's age, and an MM2 chain.
"""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

from support.devnet import PARENT, Devnet, steps

from chains.families import network
from chains.primitives.address import address_to_script
from chains.reference.wallet import OWN_BLOCK_KEY, address, script
from pool.devnet.demo.children import pool_command
from pool.devnet.node import node_settings
from pool.ledger.account import ASSET_WALLET
from pool.payout_setup import open_wallet, payout_service
from pool.storage.database import Database
from pool.storage.ledger_store import audit, chain_balances

PAYING = (PARENT, "regdoge", "alpha")
MINER = {PARENT: address("miner", 0), "regdoge": address("miner", 1, witness=False), "alpha": address("miner", 2)}
LOGIN = f"{MINER[PARENT]}+regdoge={MINER['regdoge']}+alpha={MINER['alpha']}.rig"
UNITS = 10**8
BURIED = 12  # blocks on top, after which a coinbase of devnet may be spent


def _with_payouts(config: dict[str, Any]) -> None:
    for chain in PAYING:
        config["chains"][chain]["payouts"] = {
            "minimum_payout": 100_000,
            "interval_s": 60,
            "confirmations": 2,
            "default_fee_rate": 5_000,
        }


class Payer:
    """The three chains' payers in the test's own process, from the pool's configuration, one pass at a time; `cli` is
    the same as an operator would call it. And what the chains hold afterwards."""

    def __init__(self, devnet: Devnet) -> None:
        self.devnet = devnet
        self._runs = itertools.count(1)
        self._executor = ThreadPoolExecutor(1)
        self._database = Database(devnet.config.database_url())
        self._wallets = {chain: open_wallet(devnet.config, chain) for chain in PAYING}
        self._services = [
            payout_service(devnet.config, chain, wallet, self._database, self._executor, _now_ms)
            for chain, wallet in self._wallets.items()
        ]

    async def close(self) -> None:
        for wallet in self._wallets.values():
            await wallet.close()
        self._executor.shutdown()
        self._database.close()

    async def step(self) -> list[bool]:
        """One pass of each chain; which of them could be made."""
        return [await service.step() for service in self._services]

    async def cli(self, *words: str) -> tuple[int, str]:
        """`pool payouts ...`: exit code and what it said."""
        command = pool_command("payouts", *words, "-c", str(self.devnet.config_path))
        child = self.devnet.child(f"pool-payouts-{next(self._runs)}", command)
        return await self.devnet.exit_code_of(child), child.log_text()

    async def waiting(self, chain: str) -> list[str]:
        """The transactions of the chain's mempool, as hex."""
        txids = await self.devnet.rpc(chain, "getrawmempool")
        return [await self.devnet.rpc(chain, "getrawtransaction", txid) for txid in txids]

    async def paid(self, chain: str) -> list[int]:
        """Every output of the chain's blocks that pays the miner, in units."""
        section = self.devnet.config.chains[chain]
        form = network(section.family, section.network).addresses
        wanted = address_to_script(MINER[chain], form).hex()
        found = []
        for height in range(1, await self.devnet.rpc(chain, "getblockcount") + 1):
            block = await self.devnet.rpc(chain, "getblock", await self.devnet.rpc(chain, "getblockhash", height), 2)
            outputs = [output for transaction in block["tx"] for output in transaction["vout"]]
            found += [_units(output["value"]) for output in outputs if output["scriptPubKey"]["hex"] == wanted]
        return found

    async def in_wallet(self, chain: str) -> int:
        """What the wallet holds of the pool's: not the blocks that the node made for itself."""
        settings = node_settings(self.devnet.config, chain, None)
        own = script(settings.seed, OWN_BLOCK_KEY, witness=chain != "regdoge").hex()
        coins = await self.devnet.rpc(chain, "listunspent")
        return sum(_units(coin["amount"]) for coin in coins if coin["scriptPubKey"] != own)


def _now_ms() -> int:
    return time.time_ns() // 10**6


def _units(value: Decimal | int) -> int:
    return int(value * UNITS)


async def test_devnet_payouts_reach_the_miner_on_three_kinds_of_chain(make_devnet: Any) -> None:
    devnet: Devnet = await make_devnet(edit=_with_payouts)
    await devnet.solve_all(await devnet.rig(LOGIN))
    owed = {chain: await _owed_for_good(devnet, chain) for chain in PAYING}
    await devnet.kill_pool()
    payer = Payer(devnet)
    try:
        steps.info("the payer sends on all three chains")
        code, said = await payer.cli("run", "--once")
        assert code == 0, said
        sent = {chain: await payer.waiting(chain) for chain in PAYING}
        assert all(len(raws) == 1 for raws in sent.values())
        for chain in PAYING:
            await devnet.advance(chain)
            assert await payer.waiting(chain) == []
        assert await payer.step() == [True, True, True]

        steps.info("each loses the block of its payment, and the node of one is killed besides")
        for chain in PAYING:
            await devnet.rpc(chain, "devnet_reorganise", 1)
        await devnet.kill_node("regdoge")
        assert await payer.step() == [True, False, True]
        await devnet.start_node("regdoge")
        assert await payer.step() == [True, True, True]
        assert {chain: await payer.waiting(chain) for chain in PAYING} == sent

        steps.info("the same bytes confirm and settle")
        for _ in range(3):
            for chain in PAYING:
                await devnet.advance(chain)
            assert await payer.step() == [True, True, True]
        code, said = await payer.cli("show")
        assert code == 0, said
        for chain in PAYING:
            with devnet.database() as connection:
                balances = chain_balances(connection, chain)
                assert audit(connection) == []
            assert await payer.paid(chain) == [owed[chain]]
            assert not any(amount for name, amount in balances.items() if name.startswith("liab."))
            assert balances[ASSET_WALLET] == await payer.in_wallet(chain)
            assert balances["expense.txfee"] > 0
    finally:
        await payer.close()


async def _owed_for_good(devnet: Devnet, chain: str) -> int:
    """What the chain owes the miner once every block of the pool's is mature."""
    await devnet.advance(chain, BURIED)

    async def all_mature() -> bool:
        return {block["state"] for block in await devnet.blocks(chain)} == {"mature"}

    await devnet.until(all_mature, f"every block of {chain} is mature")
    with devnet.database() as connection:
        balances = chain_balances(connection, chain)
    owed = sum(amount for name, amount in balances.items() if name.startswith("liab."))
    assert owed > 0
    return owed
