"""The pool as processes of one role each, started by the command lines that deploy/ ships, over a real Redis and a real
PostgreSQL that asks for passwords: each does its part, has what it needs, and nothing of what it must not have.
"""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from ruamel.yaml import YAML
from sqlalchemy import make_url
from support.dashboards import queries
from support.devnet import PARENT, Devnet, port_terms, steps
from support.ports import free_port
from support.postgresql import PASSWORD, PostgresqlServer
from support.prometheus import Prometheus, quicker
from support.redis import RedisServer
from support.rpc_gate import RpcGate
from support.shipped import (
    DEPLOY,
    ROLES,
    Shipped,
    below,
    compose,
    compose_health_check,
    documents,
    lay_out,
    pod,
    probes,
    unit,
)

from chains.reference.wallet import address
from pool.demo.children import Child

PAYING = (PARENT, "alpha")
BITS = "1f00ffff"  # 65,536 hashes a block: every 256th share
MINER = {PARENT: address("miner", 0), "alpha": address("miner", 1)}
LOGIN = f"{MINER[PARENT]}+alpha={MINER['alpha']}"
SECRETS = {"node_password": "node-word", "wallet_password": "wallet-word"}
BURIED = 12  # blocks on top, after which a coinbase of devnet may be spent
QUIET_S = 10.0
PASS_S = 90.0  # payers pass every half minute
LAGGING_SHARES = 1100  # BooksBehind asks for more than a thousand
OF_THE_WALLET = frozenset(
    {"listunspent", "listsinceblock", "gettransaction", "getaddressinfo", "walletcreatefundedpsbt", "walletprocesspsbt",
     "signrawtransactionwithwallet", "signrawtransaction", "walletpassphrase", "walletlock", "getwalletinfo",
     "getbalances", "getnewaddress", "sendtoaddress", "lockunspent", "listlockunspent"}
)  # fmt: skip
OF_THE_MACHINE = {"LoopLate", "AnswersSlow", "DiskFull"}
"""What is right to fire on a machine that has too much to do, or little room, as one may that runs tests."""


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
        self._database = make_url(database).set(password=None)
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
            await self.devnet.until(lambda c=chain: self._waiting(c), f"{chain}'s payout is sent")
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

            devnet: Devnet = await make_devnet(edit=edit, start=False, bits=dict.fromkeys(_chains(), BITS))
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


def _chains() -> list[str]:
    return list(documents("devnet.yaml")[0]["chains"])


async def test_devnet_roles_of_compose_and_kubernetes_mine_credit_pay_and_show(
    make_devnet: Any, tmp_path: Path
) -> None:
    shipped = {role: compose(role) for role in ("stratum", "accountant", "payout")}
    shipped |= {"stratum-1": pod("stratum", "stratum-1"), "web": pod("web", "web-0")}
    async with roles_world(make_devnet, tmp_path / "roots", shipped) as world:
        devnet = world.devnet
        steps.info("a share at each front end, and one hash that is a block of every chain")
        rigs = [await devnet.rig(f"{LOGIN}.rig{port}", port=port) for port in range(2)]
        for rig in rigs:
            await rig.share(above=devnet.target(PARENT))
        _, found = await devnet.solve_all(rigs[0])
        for chain, block in found.items():
            whole = await devnet.block(chain, block["hash"])
            assert {credit["miner"] for credit in whole["credits"]} == {MINER.get(chain, MINER[PARENT])}

        steps.info("it is paid")
        await world.pay()
        world.check_rights()
        await _check_pages(world)

        steps.info("every probe that Kubernetes and compose make of a role is answered")
        for process in world.processes.values():
            await _check_probes(process)

        ports = [process.http_port for process in world.processes.values()]
        config_path = DEPLOY / "container" / "prometheus.yml"
        async with Prometheus(tmp_path / "prometheus", *ports, config_path=config_path) as prometheus:
            steps.info("Prometheus asks all of them, and no rule or panel mixes them up")
            await _check_scrapes(world, prometheus)
            await asyncio.sleep(QUIET_S)
            assert await prometheus.fired() - OF_THE_MACHINE == set()

            steps.info("a front end is killed, its miner goes to the other one; a wallet holds more than it may")
            await devnet.kill(_child(world, "stratum"))
            _lower_ceiling(world.processes["payout"])
            await prometheus.fires("PoolDown", "WalletAboveCeiling")
            await rigs[1].share(above=devnet.target(PARENT))
            await world.start("stratum")

            steps.info("Redis is away: shares are answered and wait, and somebody is told")
            world.redis.kill()
            before = len(rigs[1].accepted)
            while len(rigs[1].accepted) < before + LAGGING_SHARES:
                await rigs[1].submit(await rigs[1].find(above=devnet.target(PARENT)))
            await prometheus.fires("BooksBehind")


def _lower_ceiling(process: Process) -> None:
    """In the payer's file, which it reads again."""
    path = process.root / "etc/parapool/pool.yaml"
    values = YAML(typ="safe").load(path)
    for chain in PAYING:
        values["chains"][chain]["payouts"]["hot_ceiling"] = 1
    with path.open("w") as file:
        YAML(typ="safe").dump(values, file)
    assert process.child is not None
    process.child.process.send_signal(signal.SIGHUP)


async def _check_probes(process: Process) -> None:
    """Kubernetes' from outside, and what compose runs inside."""
    found = probes(process.shipped.role)
    assert found.keys() == {"readinessProbe", "livenessProbe", "startupProbe"}
    for probe in found.values():
        asked = probe.get("httpGet") or probe["tcpSocket"]
        assert asked["port"] == "http"
        _, writer = await asyncio.open_connection("127.0.0.1", process.http_port)
        writer.close()
        if "httpGet" in probe:
            url = f"http://127.0.0.1:{process.http_port}{asked['path']}"
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                assert answer.status == 200
    check = await asyncio.create_subprocess_exec(*compose_health_check(process.http_port))
    assert await check.wait() == 0


async def _check_pages(world: RolesWorld) -> None:
    """The role web shows the books that others keep; who keeps none says so."""
    for path in ("/", "/chains", "/blocks", f"/miner/{MINER[PARENT]}", "/connect"):
        status, text = await world.get("web", path)
        assert status == 200, f"{path}: {text}"
    for name, process in world.processes.items():
        status, _ = await world.get(name, "/api/v1/blocks")
        assert status == (200 if process.shipped.role in ("accountant", "web") else 503), name


async def _check_scrapes(world: RolesWorld, prometheus: Prometheus) -> None:
    """All targets are there, none made a sample twice, and no expression of ours finds two series where it wants one:
    Prometheus refuses such a query."""
    instances = {f"127.0.0.1:{process.http_port}" for process in world.processes.values()}
    await world.devnet.until(lambda: prometheus.query("count(up == 1) == 5"), "all five are scraped")
    for metric in ("up", "parapool_process_start_time_seconds", "parapool_disk_free_bytes"):
        assert {found["metric"]["instance"] for found in await prometheus.query(metric)} == instances, metric
    assert await prometheus.query("scrape_samples_scraped != scrape_samples_post_metric_relabeling") == []
    for rule in prometheus.rules:
        await prometheus.query(rule["expr"])
    for query in queries():
        expression = query.expression.replace("$chain", ".*").replace("$instance", ".*")
        await prometheus.query(quicker(expression.replace("$__rate_interval", "1m")))
    told_twice = await prometheus.query('count by (chain) (parapool_wallet_sat) > 1')
    assert told_twice == [], "one process pays"


async def test_devnet_roles_of_the_systemd_units_work_reload_and_stop(make_devnet: Any, tmp_path: Path) -> None:
    secrets = {
        "stratum": ("redis_url", "node_password"),
        "accountant": ("redis_url", "node_password", "pgpass"),
        "payout": ("node_password", "wallet_password", "pgpass"),
        "web": ("pgpass",),
    }
    shipped = {role: unit(role, secrets[role]) for role in ROLES}
    async with roles_world(make_devnet, tmp_path / "roots", shipped) as world:
        devnet = world.devnet
        await devnet.solve_all(await devnet.rig(f"{LOGIN}.rig"))
        await world.start("payout")
        assert "parapool_payout_hold" in (await world.get("payout", "/metrics"))[1]
        children = {name: _child(world, name) for name in ROLES}

        steps.info("ExecReload, and the units' way to stop")
        for child in children.values():
            child.process.send_signal(signal.SIGHUP)
        for name, child in children.items():
            await devnet.until(lambda c=child: "configuration taken over" in c.log_text(), f"{name} has reloaded")
        for name in reversed(ROLES):
            children[name].process.terminate()
            assert await devnet.exit_code_of(children[name]) == 0, name
        folders = {path.name for role in ROLES for path in (world.processes[role].root / "var/lib").iterdir()}
        assert folders == {"parapool", *(f"parapool-{role}" for role in ROLES)}
        assert not re.search("wallet-word|node-word", devnet.logs())


def _child(world: RolesWorld, name: str) -> Child:
    child = world.processes[name].child
    assert child is not None
    return child
