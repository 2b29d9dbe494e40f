"""Networks of our own above which the pool is a process of role stratum and one of role accountant: what the one's
miners find is credited by the other to the unit, whichever of them is killed meanwhile."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import test_network_bk_pool as bk
import test_network_parallel_pool as parallel
from coincurve import PrivateKey
from support.network import until
from support.network_pool import NetworkPool
from support.real_pool import FEE_PPM
from support.redis import RedisServer
from support.split_pool import SplitPool

from chains.accounts.wallet import address_format
from chains.primitives.address import pay_to_pubkey_hash, script_to_address
from chains.signer.keys import create_key
from pool.devnet.demo.children import pool_command

MINER = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
PAYEE = script_to_address(b"\x00\x14" + b"\x09" * 20, address_format("bk"))
PAYOUT_S = 300.0
SUBSIDY = 1_000_003  # beside which a transfer's fee is nothing


class _Split(NetworkPool):
    redis: RedisServer
    pool: SplitPool

    def _new_pool(self) -> SplitPool:
        made = super()._new_pool()
        sections, parent, pow_hash = self.sections, made.parent, made.pow_hash
        return SplitPool(
            made.directory, sections, parent=parent, pow_hash=pow_hash, stratum_port=made.stratum_port,
            http_port=int(made.url.rpartition(":")[2]), redis=self.redis,
        )  # fmt: skip

    async def check_credits(self, chain: str, miner: str) -> None:
        """Each block that counts is its miner's but for the fee, and all of them together are what he has."""
        earned = 0
        for block in await self.blocks(chain):
            if block["state"] not in ("immature", "mature"):
                continue
            whole = await self.pool.get(f"blocks/{chain}/{block['hash']}")
            assert whole["fee"] == whole["reward"] * FEE_PPM // 1_000_000
            assert {credit["miner"] for credit in whole["credits"]} == {miner}
            amount = sum(credit["amount"] for credit in whole["credits"])
            assert amount + whole["fee"] == whole["reward"], whole
            earned += amount
        balance = (await self.pool.get(f"miners/{miner}"))["balances"][chain]
        assert earned == balance["immature"] + balance["available"] + balance["held"] > 0, balance


class BkWorld(_Split, bk.World):
    """The chain pays an account whose key the process that pays has, and the miner has named an address there."""

    login = f"{MINER}+votes={PAYEE}.rig"

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        self.redis = redis
        self._key_file = folder / "payer.key"
        key = PrivateKey(create_key(self._key_file))
        own = script_to_address(pay_to_pubkey_hash(key.public_key.format()), address_format("bk"))
        assert own is not None
        self._own_address = own
        super().__init__(folder)
        network = {**bk.NETWORK["network"], "subsidy": SUBSIDY}
        (folder / "network.yaml").write_text(json.dumps({**bk.NETWORK, "network": network}))

        def pays(config: dict[str, Any]) -> None:
            terms = {"minimum_payout": 1, "interval_s": 3600, "confirmations": 2, "key_file": str(self._key_file)}
            config["chains"]["votes"] |= {"address": own, "payouts": terms}

        self.edit(pays)

    async def start_mining(self, user: str, pause_s: float = 0.0) -> None:
        await super().start_mining(self.login, pause_s)

    async def paid(self, chain: str) -> int:
        return await self.balance(self._own_address)

    async def balance(self, address: str) -> int:
        """As a node that the pool does not ask sees it."""
        account = await self.network.nodes[2].call("getbalance", address)
        return int(account["spendable"] + account["spoken_for"] + account["immature"])

    async def pay(self) -> str:
        """One pass of a process that pays from the accountant's books, with a folder of its own."""
        overrides = {
            "pool.role": "payout", "pool.data_dir": self.folder / "payout",
            "pool.database_url": f"sqlite:///{self.folder}/pool/books/pool.sqlite",
        }  # fmt: skip
        words = [word for key, value in overrides.items() for word in ("--set", f"{key}={value}")]
        command = pool_command("payouts", "run", "votes", "--once", "-c", str(self.pool.config_path), *words)
        child = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(120):
            said, _ = await child.communicate()
        assert child.returncode == 0, said.decode()
        return said.decode()


class ParallelWorld(_Split, parallel.World):
    def __init__(self, folder: Path, redis: RedisServer) -> None:
        self.redis = redis
        super().__init__(folder, maturity=4)


@pytest.mark.nightly
async def test_network_split_roles_votes_are_credited_by_the_accountant(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    async with BkWorld(tmp_path, redis_server) as world:
        await world.pool.in_tree(["votes"])

        async def both_have_led() -> bool:
            ours, theirs = await world.led()
            return ours >= 1 and theirs >= 1

        async with world.both_mining():
            await until(both_have_led, "blocks are led by the pool and by others", 300)
            before = await world.credited("votes")
            await world.pool.kill_accountant()
            await asyncio.sleep(4 * bk.VOTE_PAUSE_S)
        income = (await world.settled(world.paid))["votes"]
        assert income > before
        await world.check_credits("votes", PAYEE)

        # The process with the leader's key dies; what it had found is credited, and its next one finds more.
        await world.pool.kill_front_end()
        for _ in range(bk.K):
            await world.others_vote()
        await world.pool.start_front_end()
        await world.pool.in_tree(["votes"])

        async def more_is_mature() -> bool:
            states = [block["state"] for block in await world.blocks("votes")]
            return await world.credited("votes") > income and "mature" in states

        async with world.both_mining():
            await until(more_is_mature, "votes are credited again, and some have matured", 300)
        await world.settled(world.paid)
        await world.check_credits("votes", PAYEE)
        (status,) = [one for one in (await _chains(world))["items"] if one["name"] == "votes"]
        assert status["leading"]["ready"], "leading is the business of who has the miners"
        assert not list((world.folder / "pool/books").rglob("*.key")), "the accountant knows no key"
        world.audited()

        # What is available is paid by a third process, which has the key.
        available = (await world.pool.get(f"miners/{PAYEE}"))["balances"]["votes"]["available"]
        assert available > 0 and await world.balance(PAYEE) == 0
        said = await world.pay()
        assert "1 broadcast" in said, said

        async def is_settled() -> bool:
            await world.others_vote()
            return "1 settled" in await world.pay()

        await until(is_settled, "the payout is settled", PAYOUT_S)
        assert await world.balance(PAYEE) == available
        world.audited()


async def test_network_split_roles_proofs_are_credited_on_both_chains_by_the_accountant(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    async with ParallelWorld(tmp_path, redis_server) as world:
        await world.pool.in_tree(parallel.CHAINS)
        await world.mine_until_credited(3)
        await world.pool.kill_accountant()
        await world.mine_until_credited(6)
        income = await world.settled(world.paid)
        for name, subsidy in parallel.SUBSIDY.items():
            assert income[name] % subsidy == 0 and income[name] >= 9 * subsidy
            assert "mature" in (await world.states(name)).values()
            await world.check_credits(name, MINER)
        world.audited()


async def _chains(world: NetworkPool) -> Any:
    assert isinstance(world.pool, SplitPool)
    return await world.pool.ask_front_end("/api/v1/chains")
