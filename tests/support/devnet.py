"""A whole devnet of real processes for one test: five reference nodes and the pool, on free ports, in a folder.

Everything is a child process that is ended by its own id, however the test ends; should the test run itself be killed,
the kernel sends the children SIGTERM. Nodes have fixed, easy targets, so that a test decides which hash solves what.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
from ruamel.yaml import YAML
from sqlalchemy import Connection

from chains.kind import AuxTemplate
from chains.primitives.hashes import displayed
from chains.primitives.target import bits_to_target
from chains.reference.settings import NodeSettings
from pool.config.chains import AuxpowChain
from pool.config.configuration import load
from pool.devnet.demo.children import Child, pool_command
from pool.devnet.node import node_settings
from pool.mining_client.client import Job
from pool.storage.database import Database
from support.offers import Offers, offer_of, parent_of
from support.ports import free_port
from support.rig import LIMIT_S, Found, Rig

ROOT = Path(__file__).parents[2]
CHAINS = ("regbtc", "regnmc", "regdoge", "alpha", "beta")
PARENT = "regbtc"
SHARE_DIFFICULTY = 2.0**-24  # 256 hashes a share
BLOCK_BITS = "1f0fffff"  # 4,096 hashes a block
RARE_BITS = "1b0fffff"  # 2^44 hashes: no test meets one by chance, as one did with 2^28
SOLVES = 5  # tries until a share that solves every chain meets nothing that comes first

TRACEBACK = "Traceback (most recent call last)"

steps = logging.getLogger("tests.devnet")
EditConfig = Callable[[dict[str, Any]], None]


class DevnetRpcError(Exception):
    """A node's refusal."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


class Devnet:
    """`bits` are the fixed compact targets by chain. `edit` may change the configuration before it is written."""

    def __init__(
        self, directory: Path, *, bits: Mapping[str, str] | None = None, edit: EditConfig | None = None
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.data_dir = directory / "data"
        self.config_path = directory / "pool.yaml"
        self.bits = dict.fromkeys(CHAINS, BLOCK_BITS) | dict(bits or {})
        self.nodes: dict[str, Child] = {}
        self.rigs: list[Rig] = []
        self.children: list[Child] = []
        self.pool: Child | None = None
        self.allowed_tracebacks = 0
        self._session: aiohttp.ClientSession | None = None
        self.ports = {name: free_port() for name in CHAINS}
        self.http_port = free_port()
        self.write_config(edit)

    def write_config(self, edit: EditConfig | None) -> None:
        """deploy/devnet.yaml with our ports and folder, shares of a fixed difficulty, and quick polls; only the chains
        with reference nodes, and without their payouts, so that only tests which want them have money that moves by
        itself."""
        config = YAML(typ="safe").load(ROOT / "deploy" / "devnet.yaml")
        config["chains"] = {name: config["chains"][name] for name in CHAINS}
        config["pool"]["data_dir"] = str(self.data_dir)
        config["http"]["bind"] = f"127.0.0.1:{self.http_port}"
        config["stratum"]["ports"][0].update(port_terms(free_port()))
        for name in CHAINS:
            config["chains"][name]["nodes"][0]["url"] = f"http://127.0.0.1:{self.ports[name]}"
            config["chains"][name]["poll_interval_s"] = 0.2
            del config["chains"][name]["payouts"]
        if edit is not None:
            edit(config)
        with self.config_path.open("w") as file:
            YAML(typ="safe").dump(config, file)
        self.config = load(str(self.config_path), {})

    # -- children -------------------------------------------------------------------------------------------------

    def child(self, name: str, command: list[str]) -> Child:
        """Any child process, ended with the devnet."""
        child = Child(name, command, self.directory / "logs" / f"{name}.log")
        self.children.append(child)
        return child

    async def start(self) -> None:
        """Nodes and pool, until a job carries all five chains."""
        self._spawn_nodes()
        self.pool = self.spawn_pool()  # the slowest to start, so it finds the nodes there
        await self._nodes_listen()
        await self.pool_answers()
        await self.all_chains_mined()

    async def start_nodes(self) -> None:
        self._spawn_nodes()
        await self._nodes_listen()

    def _spawn_nodes(self) -> None:
        for name in CHAINS:
            self.nodes[name] = self.child(f"node-{name}", self.node_command(name))

    async def _nodes_listen(self) -> None:
        for name in CHAINS:
            await self.until(self.nodes[name].is_ready, f"node {name} listens")

    async def start_node(self, name: str) -> None:
        steps.info("start node %s", name)
        self.nodes[name] = self.child(f"node-{name}", self.node_command(name))
        await self.until(self.nodes[name].is_ready, f"node {name} listens")

    async def kill_node(self, name: str) -> None:
        steps.info("kill -9 node %s", name)
        await self.kill(self.nodes[name])

    def node_command(self, name: str) -> list[str]:
        """The node that `pool devnet node NAME` would start, with a fixed target."""
        settings: NodeSettings = node_settings(self.config, name, None)
        return [
            sys.executable, "-P", "-m", "chains.reference.run", "--kind", settings.kind, "--name", name,
            "--port", str(self.ports[name]), "--user", settings.user, "--password", settings.password,
            "--data", str(self.directory / "nodes" / name), "--seed", settings.seed, "--bits", self.bits[name],
            "--chain-id", str(settings.chain_id), "--dialect", settings.dialect,
            "--context-name", settings.context_name, "--maturity", str(settings.maturity),
        ]  # fmt: skip

    def spawn_pool(self, name: str = "pool", **overrides: str) -> Child:
        """`pool run`, without waiting for anything; `overrides` are dotted keys with __ for the dots."""
        settings = [word for key, value in overrides.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]
        return self.child(name, pool_command("run", "-c", str(self.config_path), *settings))

    async def start_pool(self) -> None:
        """The pool until it answers."""
        steps.info("start the pool")
        self.pool = self.spawn_pool()
        await self.pool_answers()

    async def pool_answers(self) -> None:
        """Until the pool takes shares."""
        await self.until(self._pool_answers, "the pool answers")

    async def _pool_answers(self) -> bool:
        assert self.pool is not None
        assert self.pool.exit_code() is None, self.pool.log_text()
        try:
            status, _ = await self.http("/healthz")
        except aiohttp.ClientError:
            return False
        return status == 200

    async def kill_pool(self) -> None:
        steps.info("kill -9 the pool")
        assert self.pool is not None
        await self.kill(self.pool)

    async def stop_pool(self) -> int:
        """SIGTERM; the exit code."""
        steps.info("SIGTERM to the pool")
        assert self.pool is not None
        self.pool.process.terminate()
        return await self.exit_code_of(self.pool)

    async def kill(self, child: Child) -> None:
        child.process.kill()
        await self.exit_code_of(child)

    async def exit_code_of(self, child: Child) -> int:
        """Of a child that is about to end."""
        await self.until(lambda: child.exit_code() is not None, f"{child.name} ends")
        code = child.exit_code()
        assert code is not None
        return code

    async def close(self) -> None:
        """End everything; called however the test ends."""
        for rig in self.rigs:
            await rig.close()
        if self._session is not None:
            await self._session.close()
        for child in reversed(self.children):
            if child.exit_code() is None:
                child.process.terminate()
        for child in reversed(self.children):
            try:
                async with asyncio.timeout(5):
                    while child.exit_code() is None:
                        await asyncio.sleep(0.02)
            except TimeoutError:
                child.process.kill()
                child.process.wait()

    def logs(self, prefix: str = "pool") -> str:
        """Everything that the pool (or another child) has written over all its starts."""
        paths = sorted((self.directory / "logs").glob(f"{prefix}*.log"))
        return "".join(path.read_text("utf-8", "replace") for path in paths)

    # -- questions ------------------------------------------------------------------------------------------------

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT_S))
        return self._session

    async def http(self, path: str) -> tuple[int, str]:
        async with self.session.get(f"http://127.0.0.1:{self.http_port}{path}") as answer:
            return answer.status, await answer.text()

    async def api(self, path: str) -> Any:
        """The JSON of an HTTP API path below /api/v1."""
        status, text = await self.http(f"/api/v1{path}")
        assert status == 200, f"{path}: {status} {text}"
        return json.loads(text)

    async def chain(self, name: str) -> dict[str, Any]:
        items = (await self.api("/chains"))["items"]
        found: dict[str, Any] = next(item for item in items if item["name"] == name)
        return found

    async def blocks(self, chain: str) -> list[dict[str, Any]]:
        """The pool's blocks of a chain, newest first."""
        return list((await self.api(f"/blocks?chain={chain}&limit=200"))["items"])

    async def block(self, chain: str, hash_hex: str) -> dict[str, Any]:
        return dict(await self.api(f"/blocks/{chain}/{hash_hex}"))

    async def metric(self, name: str) -> dict[str, float]:
        """A metric's values by its labels as printed, "" for none."""
        _, text = await self.http("/metrics")
        found = re.findall(rf"^parapool_{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
        return {labels: float(value) for labels, value in found}

    async def rpc(self, node: str, method: str, *params: Any) -> Any:
        """A call to a node. Numbers with a point are Decimal. Raises DevnetRpcError."""
        chain = self.config.chains[node].nodes[0]
        body = {"id": 1, "method": method, "params": params}
        login = {"Authorization": aiohttp.encode_basic_auth(chain.user or "", chain.read_password() or "")}
        async with self.session.post(f"http://127.0.0.1:{self.ports[node]}/", json=body, headers=login) as response:
            answer = json.loads(await response.text(), parse_float=Decimal)
        if answer["error"] is not None:
            raise DevnetRpcError(answer["error"]["code"], answer["error"]["message"])
        return answer["result"]

    async def advance(self, node: str, count: int = 1) -> list[str]:
        """Blocks of somebody else."""
        return list(await self.rpc(node, "devnet_advance", count))

    async def fault(self, node: str, **faults: Any) -> None:
        steps.info("node %s: %s", node, faults)
        await self.rpc(node, "devnet_set", faults)

    def target(self, chain: str) -> int:
        return bits_to_target(int(self.bits[chain], 16))

    @contextmanager
    def database(self) -> Iterator[Connection]:
        """The pool's database, read beside it."""
        database = Database(self.config.database_url())
        try:
            with database.read() as connection:
                yield connection
        finally:
            database.close()

    # -- miners ---------------------------------------------------------------------------------------------------

    async def rig(self, login: str, password: str = "x", *, port: int = 0, **options: Any) -> Rig:
        """A miner that is logged in; `port` counts the configured Stratum ports."""
        host, number = self.config.stratum.ports[port].address
        rig = Rig(host, number, login, password, **options)
        self.rigs.append(rig)
        await rig.connect()
        return rig

    async def offers(self) -> Offers:
        """What the auxiliary nodes offer the pool now: asked with the pool's addresses, they give it the same."""
        return Offers.of([await self._offer(name) for name in self.config.aux_chains])

    async def _offer(self, name: str) -> AuxTemplate:
        chain = self.config.aux_chains[name]
        if isinstance(chain, AuxpowChain):
            answer = await self.rpc(name, "createauxblock", chain.address)
            return offer_of(name, answer, chain_id=chain.chain_id, context_name=None)
        answer = await self.rpc(name, "createmm2block", chain.address)
        return offer_of(name, answer, chain_id=None, context_name=chain.context_name)

    async def full_job(self, rig: Rig) -> tuple[Job, Offers]:
        """The rig's newest job, once a share of it may be the next block of every chain."""

        async def newest() -> tuple[Job, Offers] | None:
            offers, tip_hex = await self.offers(), await self.rpc(PARENT, "getbestblockhash")
            job = await rig.job()
            return (job, offers) if displayed(job.previous_hash) == tip_hex and offers.held_by(job) else None

        found: tuple[Job, Offers] = await self.until(newest, "a job for the next block of every chain")
        return found

    async def all_chains_mined(self) -> str:
        """Until a job on a fresh parent tip works for the next block of every chain; the tip (displayed hex)."""
        (tip_hex,) = await self.advance(PARENT)
        async with self.passing_rig() as rig:
            await rig.job_on(tip_hex)
            await self.full_job(rig)
        return tip_hex

    async def solve_all(self, rig: Rig) -> tuple[Found, dict[str, dict[str, Any]]]:
        """One share that solves every chain, and the block that each of them got for it, credited. Should an earlier
        share's block come in between, another share is found: the blocks are this one's, by their own proofs."""
        await self.all_chains_mined()
        for _ in range(SOLVES):
            job, offers = await self.full_job(rig)
            found = await rig.find(min(self.target(chain) for chain in CHAINS), job=job)
            if not await rig.submit_in_time(found):
                continue
            tip = await self.rpc(PARENT, "getblockheader", displayed(job.previous_hash))
            places = {PARENT: (tip["height"] + 1, found.hash_hex)}
            places |= {name: (offer.height, offers.hash_hex(name)) for name, offer in offers.templates.items()}
            blocks = {name: await self._credited(name, *place) for name, place in places.items()}
            if all(blocks.values()) and await self._proven_by(found, offers):
                return found, blocks
            steps.info("another share's block came first")
        raise AssertionError(f"none of {SOLVES} shares was a block of every chain")

    async def _credited(self, chain: str, height: int, hash_hex: str) -> dict[str, Any]:
        """A block once it is credited; empty when the chain has another one in its place."""

        async def decided() -> list[dict[str, Any]]:
            reached = await self.rpc(chain, "getblockcount") >= height
            if reached and await self.rpc(chain, "getblockhash", height) != hash_hex:
                return [{}]
            block = await self._block_in(chain, hash_hex, "immature")
            return [block] if block else []

        (block,) = await self.until(decided, f"block {hash_hex} of {chain} is credited")
        return dict(block)

    async def _proven_by(self, found: Found, offers: Offers) -> bool:
        """Whether it was this very share's proof of work that made blocks of all that was on offer."""
        parents = [
            parent_of(offer, await self.rpc(name, "getblockheader", offers.hash_hex(name), False))
            for name, offer in offers.templates.items()
        ]
        return all(parent == found.header_hash for parent in parents)

    async def in_state(self, chain: str, hash_hex: str, state: str) -> dict[str, Any]:
        """Wait until the books have a block in this state; the block with its credits."""
        what = f"block {hash_hex} of {chain} is {state}"
        block: dict[str, Any] = await self.until(lambda: self._block_in(chain, hash_hex, state), what)
        return block

    async def _block_in(self, chain: str, hash_hex: str, state: str) -> dict[str, Any]:
        """The block with its credits if the books have it in this state, else empty."""
        if hash_hex not in [block["hash"] for block in await self.blocks(chain)]:
            return {}
        block = await self.block(chain, hash_hex)
        return block if block["state"] == state else {}

    async def balance(self, address: str, chain: str) -> dict[str, int]:
        """What an address has on a chain; zeros for an address that earned nothing."""
        status, text = await self.http(f"/api/v1/miners/{address}")
        found = json.loads(text)["balances"] if status == 200 else {}
        return dict(found.get(chain, {"immature": 0, "available": 0, "held": 0}))

    @asynccontextmanager
    async def passing_rig(self) -> AsyncIterator[Rig]:
        """A miner for a look at the jobs."""
        rig = await self.rig(self.config.chains[PARENT].address + ".passing")
        yield rig
        self.rigs.remove(rig)
        await rig.close()

    async def until(
        self, condition: Callable[[], Any], what: str, limit_s: float = LIMIT_S, every_s: float = 0.05
    ) -> Any:
        """Wait for a true answer, of a function or a coroutine function, and give it back; fails with `what` and the
        pool's last lines."""
        begun = time.monotonic()
        while True:
            answer = condition()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                steps.info("%s (after %.2f s)", what, time.monotonic() - begun)
                return answer
            if time.monotonic() - begun > limit_s:
                tail = "\n".join(self.logs().splitlines()[-30:])
                raise AssertionError(f"not within {limit_s:g} s: {what}\n{tail}")
            await asyncio.sleep(every_s)


@asynccontextmanager
async def devnet_in(directory: Path, *, start: bool = True, **options: Any) -> AsyncIterator[Devnet]:
    """A devnet that is ended however the test ends, and whose pool may have logged no traceback."""
    devnet = Devnet(directory, **options)
    try:
        if start:
            await devnet.start()
        yield devnet
    finally:
        await devnet.close()
    assert devnet.logs().count(TRACEBACK) <= devnet.allowed_tracebacks, devnet.logs()


def port_terms(number: int) -> dict[str, Any]:
    """A Stratum port on which every share has one and the same difficulty."""
    return {
        "bind": f"127.0.0.1:{number}", "start_difficulty": SHARE_DIFFICULTY, "minimum_difficulty": SHARE_DIFFICULTY,
        "maximum_difficulty": SHARE_DIFFICULTY, "vardiff": False,
    }  # fmt: skip
