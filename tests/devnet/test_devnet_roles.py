"""The pool as processes of one role each, started by the command lines that deploy/ ships, over a real Redis and a real
PostgreSQL that asks for passwords: each does its part, has what it needs, and nothing of what it must not have.
"""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp
from ruamel.yaml import YAML
from support.dashboards import queries
from support.devnet import PARENT, steps
from support.prometheus import Prometheus, quicker
from support.roles_world import LOGIN, MINER, PAYING, SECRETS, Process, RolesWorld, roles_world
from support.shipped import DEPLOY, ROLES, compose, compose_health_check, pod, probes, unit

from pool.devnet.demo.children import Child

QUIET_JOBS, JOB_S = 3, 4.0
LAGGING_SHARES = 1100  # BooksBehind asks for more than a thousand
NOTHING_TO_TELL = {
    "Alerts", "Refusals by reason", "Broken lines", "Reserve for bought shares", "Shares are bought", "Blocks found",
    "Reorganisations", "Restarts", "Age of the last backup", "Hot wallet against ceiling", "TLS certificate ends in",
    "Front ends up", "Connections of each", "CPU of each", "Front ends started",
}  # fmt: skip
"""Panels of what this pool has not, or what did not happen yet."""

OF_THE_MACHINE = {"LoopLate", "AnswersSlow", "DiskFull", "WorkBehindNode"}
"""What is right to fire on a machine that has too much to do, or little room, as one may that runs tests; of the last
one ten seconds are five here."""


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
            for _ in range(QUIET_JOBS):
                await devnet.advance("beta")
                until_s = time.monotonic() + JOB_S
                while time.monotonic() < until_s:
                    await rigs[0].share(above=devnet.target(PARENT))
            await _check_panels(prometheus)
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
    told_twice = await prometheus.query("count by (chain) (parapool_wallet_sat) > 1")
    assert told_twice == [], "one process pays"


async def _check_panels(prometheus: Prometheus) -> None:
    """Every panel has its data, whichever of the processes tells it."""
    silent = set()
    for query in queries():
        expression = query.expression.replace("$chain", ".*").replace("$instance", ".*")
        if not await prometheus.query(quicker(expression.replace("$__rate_interval", "1m"))):
            silent.add(query.title)
    assert silent <= NOTHING_TO_TELL


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
        await devnet.until(lambda: all(map(_has_reloaded, children.values())), "every role has reloaded")
        for name in reversed(ROLES):
            children[name].process.terminate()
            assert await devnet.exit_code_of(children[name]) == 0, name
        folders = {path.name for role in ROLES for path in (world.processes[role].root / "var/lib").iterdir()}
        assert folders == {"parapool", *(f"parapool-{role}" for role in ROLES)}
        assert not [word for word in SECRETS.values() if word in devnet.logs()]


def _has_reloaded(child: Child) -> bool:
    return "configuration taken over" in child.log_text()


def _child(world: RolesWorld, name: str) -> Child:
    child = world.processes[name].child
    assert child is not None
    return child
