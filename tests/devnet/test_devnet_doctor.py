"""The doctor beside a running pool: all is well, the pool itself says so of its jobs, and twelve planted faults are
found, each with its remedy."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

from support.devnet import CHAINS, PARENT, Devnet, steps
from support.ports import free_port

from chains.reference.wallet import address
from pool.config.configuration import load
from pool.doctor.doctor import examine
from pool.doctor.finding import Finding, Result, all_good

HANGS_S = 60.0


async def wrong(devnet: Devnet, **overrides: str) -> dict[str, Finding]:
    """What the doctor finds wrong, by `subject check`; overrides as the devnet's, __ for the dots."""
    config = load(devnet.config_path, {key.replace("__", "."): value for key, value in overrides.items()})
    return {f"{f.subject} {f.check}": f for f in await examine(config) if f.result is Result.WRONG}


async def test_devnet_doctor_finds_what_is_planted_and_nothing_else(make_devnet: Any) -> None:
    devnet: Devnet = await make_devnet()

    steps.info("the pool has tried its own jobs")

    async def held() -> bool:
        values = await devnet.metric("job_shape_checks_total")
        return all(values.get(f'chain="{chain}",result="holds"', 0) > 0 for chain in CHAINS)

    await devnet.until(held, "every chain's proof was tried")
    tried = await devnet.metric("job_shape_checks_total")
    assert not [labels for labels, count in tried.items() if count and 'result="holds"' not in labels]

    steps.info("nothing is wrong, and the ports are the pool's own")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pool", "doctor", "-c", str(devnet.config_path), "--json", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    answer = json.loads(out)
    assert (process.returncode, answer["good"]) == (0, True), answer
    found = {f"{item['subject']} {item['check']}": item["found"] for item in answer["findings"]}
    assert {"alpha MM2 proof", "beta[0] own rules", "regnmc AuxPoW proof", f"{PARENT}[0] block proposal"} <= set(found)
    assert found[f"pool port {devnet.config.http.bind}"] == "this pool is at work on it"
    assert all_good(await examine(devnet.config))

    steps.info("a node down, a wrong password, a syncing node, another context")
    await devnet.kill_node("regnmc")
    await devnet.fault("alpha", syncing=True)
    first = await wrong(devnet, chains__regdoge__nodes__0__password="not it", chains__beta__context_name="gamma")
    assert {key: _told(finding) for key, finding in first.items()} == {
        "regnmc[0] answers": "Start the node",
        "regdoge[0] login": "user and password",
        "alpha[0] synced": "caught up",
        "beta[0] network": "context_name",
    }
    await devnet.start_node("regnmc")

    steps.info("another chain id, a hanging node, no database, a port taken, a refused block")
    await devnet.fault("alpha", syncing=False, hang_s=HANGS_S)
    await devnet.fault(PARENT, refuse_containing="fabe6d6d")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        second = await wrong(
            devnet, chains__regdoge__chain_id="7", stratum__ports__0__bind=bind,
            pool__database_url=f"postgresql+psycopg://parapool@127.0.0.1:{free_port()}/pool",
        )  # fmt: skip
    assert {key: _told(finding) for key, finding in second.items()} == {
        "regdoge[0] template": "chain_id",
        "alpha[0] answers": "hangs",
        "pool database": "pool.database_url",
        f"pool port {bind}": "stratum.ports.0.bind",
        f"{PARENT}[0] block proposal": "new rule",
    }
    await devnet.fault("alpha", hang_s=0)
    await devnet.fault(PARENT, refuse_containing="")

    steps.info("another network, a stranger's address, another pool's folder")
    await devnet.fault(PARENT, chain="main")
    third = await wrong(
        devnet, pool__name="another", chains__regnmc__payouts__minimum_payout="100000",
        chains__regnmc__address=address("a stranger", 0),
    )  # fmt: skip
    assert {key: _told(finding) for key, finding in third.items() if "port" not in key} == {
        f"{PARENT}[0] network": "chains.regbtc.network",
        "regnmc address": "getnewaddress",
        "pool data folder": "pool.name back",
    }
    assert {key for key in third if "port" in key}, "the ports are another pool's now"
    await devnet.fault(PARENT, chain=None)


REMEDIES = (
    "Start the node", "user and password", "caught up", "context_name", "chain_id", "hangs", "pool.database_url",
    "stratum.ports.0.bind", "new rule", "chains.regbtc.network", "getnewaddress", "pool.name back",
)  # fmt: skip


def _told(finding: Finding) -> str:
    """Which remedy it is."""
    return next((words for words in REMEDIES if words in finding.remedy), finding.remedy)
