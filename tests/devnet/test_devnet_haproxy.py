"""Two front ends behind HAProxy, with an accountant and Redis behind them: one of them is killed under load, Redis is
stopped for seconds, and nothing that was answered is lost. All on loopback addresses of their own."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select
from support.devnet import CHAINS, RARE_BITS, Devnet, steps
from support.ports import free_port
from support.redis import RedisServer
from support.rig import Rig

from chains.reference.wallet import address
from pool.devnet.demo.children import Child
from pool.mining_client.client import StratumError
from pool.storage import tables
from pool.storage.ledger_store import audit

ROOT = Path(__file__).parents[2]
LOGIN = address("miner", 0)
FRONT_ENDS = {"eu": "127.0.0.11", "us": "127.0.0.12"}
PROCESSES = {"eu": 1, "us": 2}  # as seen from outside there is no difference
PROXY = "127.0.0.5"
MINERS = 8


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


class Site:
    """The devnet is the accountant's; `ends` are the front ends by name, each on an address of its own."""

    def __init__(self, devnet: Devnet, stratum: int, http: int) -> None:
        self.devnet = devnet
        self.stratum = stratum
        self.http = http
        self.ends: dict[str, Child] = {}

    def start(self, name: str) -> None:
        host = FRONT_ENDS[name]
        self.ends[name] = self.devnet.spawn_pool(
            f"front-end-{name}",
            pool__role="stratum",
            pool__front_end=name,
            pool__data_dir=str(self.devnet.directory / name),
            http__bind=f"{host}:{self.http}",
            stratum__ports__0__bind=f"{host}:{self.stratum}",
            stratum__processes=str(PROCESSES[name]),
        )

    async def ready(self, name: str) -> None:
        url = f"http://{FRONT_ENDS[name]}:{self.http}/readyz"

        async def answers() -> bool:
            assert self.ends[name].exit_code() is None, self.ends[name].log_text()
            try:
                async with self.devnet.session.get(url) as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        await self.devnet.until(answers, f"{name} is ready", 90)

    def proxy_file(self) -> Path:
        """deploy/haproxy/haproxy.cfg with our addresses, quicker checks, and no TLS ports."""
        text = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
        text = re.sub(r"^frontend stratum_tls\n(?: .*\n)*", "", text, flags=re.MULTILINE)
        text = re.sub(r"^backend front_ends_tls\n(?: .*\n)*", "", text, flags=re.MULTILINE)
        text = re.sub(r"^ +log .*\n", "", text, flags=re.MULTILINE)
        text = text.replace("bind :3333", f"bind {PROXY}:{self.stratum}").replace("maxconn 50000", "maxconn 500")
        for name, host in FRONT_ENDS.items():
            text = re.sub(rf"server {name} \S+", f"server {name} {host}:{self.stratum} source {PROXY}", text)
        text = text.replace("check port 8080 inter 5s", f"check port {self.http} inter 500ms")
        path = self.devnet.directory / "haproxy.cfg"
        path.write_text(text)
        return path

    def stored(self) -> list[bytes]:
        with self.devnet.database() as connection:
            return list(connection.execute(select(tables.shares.c.header_hash)).scalars())


class Miner:
    """Mines by the proxy, and connects anew whenever its connection ends."""

    def __init__(self, site: Site, number: int) -> None:
        self._site = site
        self._login = f"{LOGIN}.rig{number}"
        self.rigs: list[Rig] = []
        self.stopped = False

    @property
    def answered(self) -> int:
        return sum(len(rig.accepted) for rig in self.rigs)

    async def run(self) -> None:
        while not self.stopped:
            rig = Rig(PROXY, self._site.stratum, self._login, "x")
            self.rigs.append(rig)
            try:
                await rig.connect()
                while not self.stopped:
                    await rig.submit(await rig.find())
            except (StratumError, OSError, AssertionError):
                await asyncio.sleep(0.1)
            finally:
                await rig.close()


async def test_devnet_haproxy_a_front_end_and_redis_may_go_and_nothing_answered_is_lost(
    make_devnet: Any, redis: RedisServer, tmp_path: Path
) -> None:
    assert shutil.which("haproxy"), "tests/install-parts.sh installs it"
    url_file = tmp_path / "redis-url"
    url_file.write_text(redis.url + "\n")
    url_file.chmod(0o600)
    stratum, http = free_port(), free_port()

    def edit(config: dict[str, Any]) -> None:
        config["pool"] |= {"role": "accountant", "front_end": "books"}
        config["pool"]["database_url"] = f"sqlite:///{tmp_path / 'books.sqlite'}"
        config["transport"] = {"kind": "redis", "redis_url_file": str(url_file)}
        config["stratum"]["ports"][0]["proxy_protocol_from"] = [PROXY]

    devnet: Devnet = await make_devnet(edit=edit, start=False, bits=dict.fromkeys(CHAINS, RARE_BITS))
    await devnet.start_nodes()
    await devnet.start_pool()
    site = Site(devnet, stratum, http)
    for name in FRONT_ENDS:
        site.start(name)
    for name in FRONT_ENDS:
        await site.ready(name)
    path = site.proxy_file()
    check = devnet.child("haproxy-check", ["haproxy", "-c", "-f", str(path)])
    assert await devnet.exit_code_of(check) == 0, check.log_text()
    proxy = devnet.child("haproxy", ["haproxy", "-db", "-f", str(path)])

    miners = [Miner(site, number) for number in range(MINERS)]
    tasks = [asyncio.ensure_future(miner.run()) for miner in miners]

    async def all_mine(what: str) -> None:
        before = [miner.answered for miner in miners]
        await devnet.until(
            lambda: all(miner.answered > count for miner, count in zip(miners, before, strict=True)), what, 90
        )

    await all_mine("all of them mine")
    assert proxy.exit_code() is None, proxy.log_text()

    def logs() -> list[str]:
        return sorted(path.parent.name for path in devnet.directory.glob("*s/front-ends/*/shares"))

    await devnet.until(lambda: logs() == ["1", "2"], "the processes of one machine have a share log each")

    steps.info("a front end is killed: its miners go on at the other one")
    await devnet.kill(site.ends["eu"])
    await all_mine("all of them mine at the other one")

    steps.info("Redis is away for seconds: nobody notices")
    redis.kill()
    await all_mine("all of them mine without Redis")
    await asyncio.sleep(2.0)
    redis.start()

    steps.info("the dead one comes back, with what it had answered")
    site.start("eu")
    await site.ready("eu")
    await all_mine("all of them mine")
    for miner in miners:
        miner.stopped = True
    await asyncio.gather(*tasks)
    rigs = [rig for miner in miners for rig in miner.rigs]
    answered = {header_hash for rig in rigs for header_hash in rig.accepted}
    await devnet.until(lambda: answered <= set(site.stored()), f"{len(answered)} shares are in the books", 120)
    stored = site.stored()
    assert len(stored) == len(set(stored)), "a share is counted twice"
    assert set(stored) - answered <= {header_hash for rig in rigs for header_hash in rig.unanswered}
    with devnet.database() as connection:
        assert audit(connection) == []
