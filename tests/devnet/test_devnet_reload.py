"""A chain is added to a pool that a thousand miners are connected to, and taken out again: nobody notices."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

from ruamel.yaml import YAML
from support.devnet import CHAINS, PARENT, RARE_BITS, Devnet, steps

from chains.reference.wallet import address

MINERS = 1_000
ADDED = "beta"
ADDRESS = address("miner", 0)
LOGIN = f"{ADDRESS}+{ADDED}=same"


class Miners:
    """Connections that only listen. `jobs` counts the jobs of each, `ended` those that the pool closed."""

    def __init__(self) -> None:
        self.jobs = [0] * MINERS
        self.ended = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def connect(self, host: str, port: int) -> None:
        for start in range(0, MINERS, 100):
            self._tasks += [
                asyncio.create_task(self._listen(number, host, port)) for number in range(start, start + 100)
            ]
            while min(self.jobs[start : start + 100]) == 0:
                assert not self.ended
                await asyncio.sleep(0.02)

    async def _listen(self, number: int, host: str, port: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        requests: list[tuple[str, list[str]]] = [
            ("mining.subscribe", []), ("mining.authorize", [f"{LOGIN}.rig{number}", "x"])
        ]  # fmt: skip
        for place, (method, params) in enumerate(requests, start=1):
            writer.write(json.dumps({"id": place, "method": method, "params": params}).encode() + b"\n")
        while line := await reader.readline():
            self.jobs[number] += b"mining.notify" in line
        self.ended += 1

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _write(devnet: Devnet, config: dict[str, Any]) -> None:
    with devnet.config_path.open("w") as file:
        YAML(typ="safe").dump(config, file)


async def test_devnet_reload_adds_a_chain_under_a_thousand_miners(make_devnet: Any) -> None:
    devnet: Devnet = await make_devnet(start=False, bits=dict.fromkeys(CHAINS, RARE_BITS))
    whole = YAML(typ="safe").load(devnet.config_path)
    fewer = whole | {"chains": {name: chain for name, chain in whole["chains"].items() if name != ADDED}}
    _write(devnet, fewer)
    await devnet.start_nodes()
    await devnet.start_pool()
    assert devnet.pool is not None
    pool = devnet.pool
    miners = Miners()
    try:
        await miners.connect("127.0.0.1", devnet.config.stratum.ports[0].address[1])
        rig = await devnet.rig(f"{LOGIN}.rig")

        steps.info("a file that is no good changes nothing")
        devnet.config_path.write_text("pool: {name: devnet}\n")
        pool.process.send_signal(signal.SIGHUP)
        await devnet.until(lambda: "configuration not taken over" in pool.log_text(), "it says so")
        await rig.share(above=devnet.target(PARENT))

        steps.info("nor does a mistake in a file that the good one includes")
        more = devnet.directory / "more.yaml"
        _write(devnet, fewer | {"include": [more.name]})
        more.write_text(f"chains:\n\t{ADDED}: {{}}\n")
        pool.process.send_signal(signal.SIGHUP)
        refusal = f"configuration not taken over: {more}:2: file: expected spaces"
        await devnet.until(lambda: refusal in pool.log_text(), "it says where")
        await rig.share(above=devnet.target(PARENT))

        steps.info("one more chain, in that file")
        with more.open("w") as file:
            YAML(typ="safe").dump({"chains": {ADDED: whole["chains"][ADDED]}}, file)
        before = list(miners.jobs)
        pool.process.send_signal(signal.SIGHUP)
        await devnet.until(lambda: "configuration taken over: added=beta" in pool.log_text(), "it is taken over")
        await devnet.all_chains_mined()

        def all_have_it() -> bool:
            return all(now > then for now, then in zip(miners.jobs, before, strict=True))

        await devnet.until(all_have_it, "every miner has a job that carries it")
        await rig.share(above=devnet.target(PARENT))
        await devnet.advance(PARENT)

        steps.info("and less again")
        _write(devnet, fewer)
        pool.process.send_signal(signal.SIGHUP)
        await devnet.until(lambda: "configuration taken over: removed=beta" in pool.log_text(), "it is taken out")
        names = [chain["name"] for chain in (await devnet.api("/chains"))["items"]]
        assert sorted(names) == sorted(fewer["chains"])
        await rig.share(above=devnet.target(PARENT))
        assert miners.ended == 0 and await _connections(devnet) == MINERS + 1
        assert not rig.refused
    finally:
        await miners.close()


async def _connections(devnet: Devnet) -> int:
    [count] = (await devnet.metric("connections")).values()
    return int(count)
