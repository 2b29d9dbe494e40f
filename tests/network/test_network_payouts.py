"""The pool pays from an account of real networks of both kinds: processes of nodes and of the payer, killed in between.

The blocks pay the pool's account, the books are credited, and `pool payouts run --once` does the rest, as often as it
is killed on the way. In the end everybody has exactly what he was owed, and books and chain agree to the unit.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from coincurve import PrivateKey
from sqlalchemy import insert
from support.bk_mining import BkMiner
from support.consensus_mining import solved
from support.network import NodeChild, RealNetwork, kind_command, until
from support.payout_world import _add_block
from support.ports import free_port

from chains.accounts.wallet import address_format
from chains.primitives.address import pay_to_pubkey_hash, script_to_address
from chains.signer.keys import create_key
from pool.config.configuration import load
from pool.devnet.demo.children import pool_command
from pool.ledger import income
from pool.storage import ledger_store, payout_rows
from pool.storage.database import Database, upgrade
from pool.storage.tables import accounts, share_logs

CHAIN = "alpha"
MATURITY = 3
NETWORKS: dict[str, dict[str, Any]] = {
    "bk": {
        "name": "payouts", "k": 2, "interval_s": 20, "subsidy": 1_000_003, "maturity_blocks": MATURITY,
        "first_difficulty": 16,
    },
    "parallel": {
        "name": "payouts", "first_bits": "207fffff", "interval_s": 10, "half_life_s": None,
        "chains": [
            {"name": CHAIN, "context_name": "alpha payouts", "subsidy": 1_000_003, "maturity_blocks": MATURITY,
             "hrp": "ppa"},
        ],
    },
}  # fmt: skip
PREFIX = {"bk": "bk", "parallel": "ppa"}
OURS = {"bk": "context_name: payouts\n    maturity: 4", "parallel": "network_name: payouts\n    chain_name: alpha"}
MORE = {"bk": "", "parallel": f"    hrp: ppa\n    maturity_blocks: {MATURITY}\n"}
MINERS = (1, 2, 3)
KILLS = 5


def script_of(number: int) -> bytes:
    return b"\x00\x14" + number.to_bytes(20, "big")


class World:
    """A network, a miner whose rewards go to the pool's account, and the pool's books."""

    def __init__(self, kind: str, folder: Path, network: RealNetwork) -> None:
        self.kind = kind
        self.folder = folder
        self.network = network
        self.random = random.Random(7)
        self.form = address_format(PREFIX[kind])
        self.key_file = folder / "payer.key"
        self.script = pay_to_pubkey_hash(PrivateKey(create_key(self.key_file)).public_key.format())
        self.address = self.address_of(self.script)
        self._miner = BkMiner(1)
        self._miner.script = self.script.hex()
        self._mined = 0
        self.owed: dict[int, int] = dict.fromkeys(MINERS, 0)
        self.earned = 0
        self.config_path = folder / "pool.yaml"
        self._write_config()
        url = load(str(self.config_path), {}).database_url()
        upgrade(url)
        self.database = Database(url)
        with self.database.write() as connection:
            log = {"name": "main", "segment": 0, "byte_offset": 0, "sequence": 0, "updated_ms": 0}
            connection.execute(insert(share_logs).values(**log))
            rows = [
                {"chain": CHAIN, "kind": "miner", "script_hex": script_of(number).hex(),
                 "address": self.address_of(script_of(number))}
                for number in MINERS
            ]  # fmt: skip
            connection.execute(insert(accounts), rows)

    def address_of(self, script: bytes) -> str:
        address = script_to_address(script, self.form)
        assert address is not None
        return address

    def _write_config(self) -> None:
        nodes = "".join(
            f'      - {{url: "http://127.0.0.1:{node.rpc_port}", user: user, password: secret}}\n'
            for node in self.network.nodes
        )
        self.config_path.write_text(f"""\
pool:
  name: test
  data_dir: {self.folder}/data
stratum:
  ports: [{{bind: "127.0.0.1:3333"}}]
http:
  bind: 127.0.0.1:8080
parent: regbtc
chains:
  regbtc:
    kind: bitcoin
    network: regtest
    address: bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080
    nodes: [{{url: "http://127.0.0.1:1", user: a, password: b}}]
  {CHAIN}:
    kind: {self.kind}
    {OURS[self.kind]}
{MORE[self.kind]}    address: {self.address}
    nodes:
{nodes}    payouts:
      minimum_payout: 1000
      interval_s: 60
      confirmations: 2
      key_file: {self.key_file}
""")
        self.config_path.chmod(0o600)

    # -- mining -------------------------------------------------------------------------------------------------------

    async def mine(self, node: NodeChild, count: int) -> None:
        """So many more blocks of the chain."""
        start = await self.height(node)
        while await self.height(node) < start + count:
            if self.kind == "bk":
                assert await self._miner.vote(node) in (None, "inconclusive")
                assert await self._miner.lead(node) in (None, "taken", "inconclusive", "duplicate")
            else:
                offer = await node.call("getconsensustemplate", {CHAIN: self.script.hex()})
                self._mined += 1
                proof, bodies = solved(offer, self._mined)
                await node.call("submitconsensusproof", proof.hex(), bodies)

    async def call(self, node: NodeChild, method: str, *parameters: Any) -> Any:
        first = () if self.kind == "bk" else (CHAIN,)
        return await node.call(method, *first, *parameters)

    async def height(self, node: NodeChild) -> int:
        if self.kind == "bk":
            return int(await node.call("getblockcount"))
        return int((await node.call("getchainview"))["chains"][0]["height"])

    async def agree(self) -> None:
        """All nodes are on one tip; a block more breaks a tie."""
        seen: Callable[[dict[str, Any]], Any] = (
            (lambda view: view["bestblockhash"]) if self.kind == "bk" else (lambda view: view["tip"])
        )

        async def one_tip() -> bool:
            tips = {seen(await node.call("getchainview")) for node in self.network.nodes}
            if len(tips) > 1:
                await self.mine(self.network.nodes[0], 1)
            return len(tips) == 1

        await until(one_tip, "one tip")

    # -- books --------------------------------------------------------------------------------------------------------

    async def credit_everything(self, node: NodeChild) -> int:
        """Every mature block that paid the account, as the books of blocks have it: nine tenths for the miners. How
        many blocks that were."""
        tip = await self.height(node)
        earned: dict[tuple[str, int], int] = {}
        for line in await self.call(node, "listtransfers", self.address):
            if line["id"] is None and line["height"] + MATURITY <= tip:
                name = (line.get("proof", line["block"]), line["height"])
                earned[name] = earned.get(name, 0) + line["amount"]
        with self.database.write() as connection:
            ids = {
                row.script_hex: row.id
                for row in connection.execute(accounts.select().where(accounts.c.chain == CHAIN))
            }  # fmt: skip
            for (hash_hex, height), amount in earned.items():
                self.earned += amount
                part = amount * 9 // 10 // len(MINERS)
                fee = amount - part * len(MINERS)
                for number in MINERS:
                    self.owed[number] += part
                owed = {ids[script_of(number).hex()]: part for number in MINERS}
                group = income.credit(CHAIN, hash_hex, income=amount, fee=fee, amounts=owed)
                ledger_store.post(connection, group, 0)
                ledger_store.post(connection, income.mature(CHAIN, hash_hex, income=amount, amounts=owed), 0)
                _add_block(connection, hash_hex, height, amount, fee, owed)
        return len(earned)

    def states(self) -> list[str]:
        with self.database.read() as connection:
            return [str(batch.state) for batch in payout_rows.latest(connection, CHAIN, 100)]

    # -- paying -------------------------------------------------------------------------------------------------------

    async def pay(self, kill_after_s: float | None = None) -> tuple[int, str]:
        """One pass of a payer of its own, killed after a while; its exit code and what it said."""
        child = await asyncio.create_subprocess_exec(
            *pool_command("payouts", "run", CHAIN, "--once", "-c", str(self.config_path)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        if kill_after_s is not None:
            await asyncio.sleep(kill_after_s)
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGKILL)
        out, _ = await child.communicate()
        assert child.returncode is not None
        return child.returncode, out.decode()


@pytest.mark.parametrize("kind", NETWORKS)
async def test_network_pays_from_an_account_whatever_is_killed_in_between(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "network.json"
    file.write_text(json.dumps({"kind": kind, "network": NETWORKS[kind]}))
    async with RealNetwork(tmp_path, 3, free_port, kind_command(file)) as network:
        world = World(kind, tmp_path, network)
        nodes = network.nodes
        try:
            await world.mine(nodes[0], 8)
            await world.agree()
            assert await world.credit_everything(nodes[0]) >= 5
            code, said = await world.pay()
            assert (code, "1 broadcast" in said) == (0, True), said
            nodes[0].kill()  # with the transfer in its memory, and on its disk
            for _ in range(KILLS):
                await world.pay(kill_after_s=world.random.uniform(0.3, 2.5))
                await world.mine(world.random.choice(nodes[1:]), 1)
            await nodes[0].start()
            await world.agree()
            for _ in range(20):
                code, said = await world.pay()
                if world.states() == ["settled"]:
                    break
                await world.mine(nodes[0], 1)
            assert code == 0 and world.states() == ["settled"], said
            await world.agree()
            await check(world)
        finally:
            world.database.close()


async def check(world: World) -> None:
    """Everybody has what he was owed, once, at every node; and what the books call the wallet is what the account got,
    less what left it."""
    with world.database.read() as connection:
        assert ledger_store.audit(connection) == []
        balances = {name: amount for name, amount in ledger_store.chain_balances(connection, CHAIN).items() if amount}
        (batch,) = payout_rows.latest(connection, CHAIN, 100)
    assert batch.built is not None and batch.txid is not None
    assert not any(name.startswith("liab.") for name in balances), balances
    for node in world.network.nodes:
        for number in MINERS:
            found = await world.call(node, "getbalance", world.address_of(script_of(number)))
            assert found["spendable"] == world.owed[number] > 0
        lines = await world.call(node, "listtransfers", world.address)
        left = [line for line in lines if line["amount"] < 0]
        assert [line["id"] for line in left] == [batch.txid[::-1].hex()]
        assert -left[0]["amount"] == sum(world.owed.values()) + batch.built.fee
    assert balances["asset.wallet"] == world.earned - sum(world.owed.values()) - batch.built.fee
