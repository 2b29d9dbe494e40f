"""A devnet whose pool is processes of one role each, started as deploy/ ships them (support/shipped.py), over a Redis
and a PostgreSQL that asks for passwords; between pool and nodes a gate that notes who asks what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from ruamel.yaml import YAML
from sqlalchemy import make_url

from chains.reference.wallet import address
from pool.devnet.demo.children import Child
from support.devnet import CHAINS, PARENT, Devnet, port_terms
from support.ports import free_port
from support.postgresql import PASSWORD, PostgresqlServer
from support.redis import RedisServer
from support.rpc_gate import RpcGate
from support.shipped import Shipped, below, documents, lay_out

PAYING = (PARENT, "alpha")
BITS = "1f00ffff"  # 65,536 hashes a block: every 256th share
MINER = {PARENT: address("miner", 0), "alpha": address("miner", 1)}
LOGIN = f"{MINER[PARENT]}+alpha={MINER['alpha']}"
SECRETS = {"node_password": "node-word", "wallet_password": "wallet-word"}
BURIED = 12  # blocks on top, after which a coinbase of devnet may be spent
PASS_S = 90.0  # payers pass every half minute
OF_THE_WALLET = frozenset(
    {"listunspent", "listsinceblock", "gettransaction", "getaddressinfo", "walletcreatefundedpsbt", "walletprocesspsbt",
     "signrawtransactionwithwallet", "signrawtransaction", "walletpassphrase", "walletlock", "getwalletinfo",
     "getbalances", "getnewaddress", "sendtoaddress", "lockunspent", "listlockunspent"}
)  # fmt: skip


class Process:
    """One shipped process of the pool and where it answers."""

    def __init__(self, name: str, shipped: Shipped, root: Path) -> None:
        self.name = name
        self.shipped = shipped
        self.root = root
        self.http_port, self.stratum_port = free_port(), free_port()
        self.child: Child | None = None


class RolesWorld:
    """Nodes behind two gates, one for work and one for wallets, the servers, and the pool's processes."""

    def __init__(
        self, devnet: Devnet, redis: RedisServer, postgresql: PostgresqlServer, database: str, processes: list[Process]
    ) -> None:
        self.devnet = devnet
        self.redis = redis
        self.processes = {process.name: process for process in processes}
        self._config = documents("container/pool.yaml")[0]
        [self._chain] = self._config["chains"].values()
        self._database = make_url(database)
        behind = ("devnet", "devnet")
        node, payouts = self._chain["nodes"][0], self._chain["payouts"]
        self.nodes = RpcGate(free_port(), devnet.ports, (node["user"], SECRETS["node_password"]), behind)
        self.wallets = RpcGate(free_port(), devnet.ports, (payouts["user"], SECRETS["wallet_password"]), behind)
        self._secrets = SECRETS | {
            "redis_url": redis.url, "pgpass": f"127.0.0.1:{postgresql.port}:*:parapool:{PASSWORD}",
        }  # fmt: skip

    def _values(self, process: Process) -> dict[str, Any]:
        """The shipped pool.yaml, of the devnet's chains and on ports of this machine."""
        theirs, ours = make_url(self._config["pool"]["database_url"]), self._database
        url = theirs.set(host=ours.host, port=ours.port, database=ours.database)
        values: dict[str, Any] = dict(self._config)
        values["pool"] = values["pool"] | {"database_url": url.render_as_string()}
        values["http"] = values["http"] | {"bind": f"127.0.0.1:{process.http_port}"}
        [port] = values["stratum"]["ports"]
        ports = [port | port_terms(process.stratum_port)]
        values["stratum"] = values["stratum"] | {"ports": ports, "limits": {"exempt_loopback": True}}
        values["parent"], values["chains"] = PARENT, {}
        for name, chain in YAML(typ="safe").load(self.devnet.config_path)["chains"].items():
            chain["nodes"] = [self._chain["nodes"][0] | {"url": self.nodes.url(name)}]
            if name in PAYING:
                terms = {"wallet_url": self.wallets.url(name), "confirmations": 2, "default_fee_rate": 5_000}
                chain["payouts"] = self._chain["payouts"] | terms
            values["chains"][name] = chain
        return values

    async def start(self, name: str) -> None:
        """As its host would, until it is healthy."""
        process = self.processes[name]
        shipped, root = process.shipped, process.root
        if not root.exists():
            lay_out(root, shipped, self._values(process), self._secrets)
            if shipped.first:
                await self._run_first(process)
        binds = {shipped.http: f"127.0.0.1:{process.http_port}"} if shipped.http else {}
        variables = [f"{key}={value}" for key, value in shipped.variables(root).items()]
        process.child = self.devnet.child(f"pool-{name}", ["env", *variables, *shipped.command(root, binds)])
        await self.devnet.until(lambda: self._is_healthy(process), f"{name} is healthy", 90)

    async def _run_first(self, process: Process) -> None:
        """A pod's init container."""
        words = [below(process.root, word) for word in process.shipped.first]
        first = self.devnet.child(f"first-{process.name}", words)
        assert await self.devnet.exit_code_of(first) == 0, first.log_text()

    async def start_mining(self) -> None:
        """The accountant first: it makes the books, and must know a new front end before that serves anybody. The payer
        follows when there is something to pay; with nothing it would look again after ten minutes only."""
        await self.devnet.start_nodes()
        await self.start("accountant")
        names = self.processes.keys() - {"accountant", "payout"}
        await asyncio.gather(*(self.start(name) for name in names))
        await self.devnet.all_chains_mined()

    async def _is_healthy(self, process: Process) -> bool:
        assert process.child is not None
        assert process.child.exit_code() is None, process.child.log_text()
        try:
            status, _ = await self.get(process.name, "/healthz")
        except aiohttp.ClientError:
            return False
        return status == 200

    async def get(self, name: str, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.processes[name].http_port}{path}"
        async with self.devnet.session.get(url) as answer:
            return answer.status, await answer.text()

    async def pay(self) -> None:
        """What the miner earned for good reaches him, and the pages say so."""
        for chain in PAYING:
            await self.devnet.advance(chain, BURIED)
        await self.devnet.until(self._all_mature, "every block is mature")
        await self.start("payout")
        for chain in PAYING:
            await self.devnet.until(partial(self._waiting, chain), f"{chain}'s payout is sent")
            await self.devnet.advance(chain, 3)
        await self.devnet.until(self._shows_payments, "the pages show every payment", PASS_S)

    async def _all_mature(self) -> bool:
        blocks = [block for chain in PAYING for block in await self.devnet.blocks(chain)]
        return {block["state"] for block in blocks} == {"mature"}

    async def _waiting(self, chain: str) -> list[str]:
        found: list[str] = await self.devnet.rpc(chain, "getrawmempool")
        return found

    async def _shows_payments(self) -> bool:
        for chain, miner in MINER.items():
            items = (await self.devnet.api(f"/miners/{miner}/payouts"))["items"]
            if not [item for item in items if item["chain"] == chain and item["txid"]]:
                return False
        return True

    def check_rights(self) -> None:
        """Who pays asks wallets and holds their word; nobody else does, or could."""
        for chain in PAYING:
            assert self.wallets.asked[chain] & OF_THE_WALLET, "the payer has asked"
        for asked in self.nodes.asked.values():
            assert not asked & OF_THE_WALLET
        assert (self.nodes.refused, self.wallets.refused) == (0, 0)
        for process in self.processes.values():
            held = {path.name for path in (process.root / "run/secrets").iterdir()}
            role = process.shipped.role
            assert ("wallet_password" in held) == (role == "payout")
            assert ("pgpass" in held) == (role != "stratum")
            assert ("redis_url" in held) == (role in ("stratum", "accountant"))
            assert process.child is not None
            text = process.child.log_text()
            assert not [word for word in (*SECRETS.values(), PASSWORD, self._secrets["redis_url"]) if word in text]
            assert role == "payout" or not (process.root / "var/lib/parapool/payouts").exists()


@asynccontextmanager
async def roles_world(make_devnet: Any, folder: Path, shipped: Mapping[str, Shipped]) -> AsyncIterator[RolesWorld]:
    redis, postgresql = RedisServer(), PostgresqlServer(asks_password=True)
    try:
        with postgresql.database() as database:
            processes = [Process(name, one, folder / name) for name, one in shipped.items()]
            serving = [process.stratum_port for process in processes if process.shipped.role == "stratum"]

            def edit(config: dict[str, Any]) -> None:
                config["pool"]["database_url"] = database
                config["stratum"]["ports"] = [port_terms(port) for port in serving]

            devnet: Devnet = await make_devnet(edit=edit, start=False, bits=dict.fromkeys(CHAINS, BITS))
            devnet.http_port = next(process.http_port for process in processes if process.shipped.role == "web")
            world = RolesWorld(devnet, redis, postgresql, database, processes)
            async with world.nodes, world.wallets:
                try:
                    await world.start_mining()
                    yield world
                finally:
                    await devnet.close()
    finally:
        postgresql.close()
        redis.close()
