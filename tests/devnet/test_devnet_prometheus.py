"""A real Prometheus looks at a running pool: every query of every dashboard and alert has its data, nothing fires while
all is well, and real faults raise their alerts in time. Its clock runs sixtyfold (tests/support/prometheus.py).
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest_asyncio
from sqlalchemy import text
from support.dashboards import queries
from support.devnet import CHAINS, PARENT, RARE_BITS, Devnet, devnet_in, port_terms, steps
from support.ports import free_port
from support.prometheus import STEP_S, Prometheus, quicker
from support.rule_files import PREFIX, SERIES

from chains.reference.wallet import address
from pool.devnet.demo.children import pool_command
from pool.metrics.table import METRICS, OF_PROMETHEUS_CLIENT, OF_SEVERAL_PROCESSES
from pool.mining_client.client import StratumError
from pool.storage.database import Database

# A block of an auxiliary chain takes 1,024 shares; one of the parent, whose tip makes shares stale, is never found.
BITS = dict.fromkeys(CHAINS, "1e3fffff") | {PARENT: RARE_BITS}
PAYING = ("regbtc", "alpha")
CERTIFICATES = Path(__file__).parents[1] / "fixtures" / "tls"
SHARE_PAUSE_S = 0.03
JOB_S = 2.0
QUIET_S = 15.0
LIMIT_S = 60.0

EMPTY_WHEN_WELL = {
    "Alerts": "nothing fires",
    "Refusals by reason": "no node refused a block; a reason is known with the first one",
    "Broken lines": "a kind is known with the first one",
    "Reserve for bought shares": "no chain buys shares",
    "Shares are bought": "no chain buys shares",
    "Front ends up": "a pool of one process",
    "Connections of each": "a pool of one process",
    "CPU of each": "a pool of one process",
    "Front ends started": "a pool of one process",
    "Blocks found": "an annotation: only just after one",
    "Reorganisations": "an annotation: none happened",
    "Restarts": "an annotation: none happened",
}
RARE = {"Blocks found", "Alerts"}
"""Of these, what there may be all the same; which alerts, test_prometheus_raises_no_alert_while_all_is_well tells."""

UNTOLD_WHEN_WELL = {
    "parapool_parse_errors_total", "parapool_template_rejected_total", "parapool_block_refusals_total",
    "parapool_pps_buying", "parapool_pps_reserve",
    *(name for name in SERIES if name.startswith("parapool_front_end_")),  # of a pool of several processes
    "parapool_leads_blocks", "parapool_led_blocks_total",  # of chains of votes
}  # fmt: skip


OF_THE_MACHINE = {"LoopLate", "AnswersSlow", "DiskFull"}
"""What is right to fire on a machine that has too much to do, or little room, as one may that runs tests."""


def _edit(config: dict[str, Any]) -> None:
    folder = Path(config["pool"]["data_dir"]).parent
    for name in ("certificate.pem", "key.pem"):
        shutil.copy(CERTIFICATES / name, folder / name)
        (folder / name).chmod(0o600)
    tls = {"certificate_file": str(folder / "certificate.pem"), "key_file": str(folder / "key.pem")}
    config["stratum"]["ports"].append(port_terms(free_port()) | {"tls": tls})
    config["chains"]["regnmc"]["away_s"] = 2
    for chain in PAYING:
        config["chains"][chain]["payouts"] = {
            "minimum_payout": 2**40, "interval_s": 60, "default_fee_rate": 5_000, "hot_ceiling": 2**60,
        }  # fmt: skip


class World:
    """The devnet, its Prometheus, and a miner that never stops."""

    def __init__(self, devnet: Devnet, prometheus: Prometheus) -> None:
        self.devnet = devnet
        self.prometheus = prometheus
        self._tasks = [asyncio.create_task(self._mine()), asyncio.create_task(self._find_elsewhere())]

    async def _mine(self) -> None:
        """Some thirty shares a second, back after each end of its connection."""
        while True:
            with suppress(StratumError, OSError, AssertionError, TimeoutError):
                rig = await self.devnet.rig(address("miner", 0) + ".steady")
                while True:
                    await rig.submit_in_time(await rig.find())
                    await asyncio.sleep(SHARE_PAUSE_S)
            await asyncio.sleep(0.2)

    async def _find_elsewhere(self) -> None:
        """Somebody else's blocks of one chain, so that there is a job every few seconds."""
        while True:
            await self.devnet.advance("beta")
            await asyncio.sleep(JOB_S)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def tells(self, expression: str) -> None:
        """Until Prometheus has an answer to it."""
        await self.devnet.until(lambda: self.prometheus.query(expression), expression, LIMIT_S, 0.5)

    async def numbers(self, expression: str) -> list[dict[str, Any]]:
        """Its answer, as soon as there is a number in it."""

        async def some() -> list[dict[str, Any]]:
            found = await self.prometheus.query(expression)
            return found if any(math.isfinite(float(sample["value"][1])) for sample in found) else []

        answer: list[dict[str, Any]] = await self.devnet.until(some, expression, LIMIT_S, 0.5)
        return answer


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def world(tmp_path_factory: Any) -> AsyncIterator[World]:
    """One pool and one Prometheus for all tests of this file, which run in their order."""
    directory = tmp_path_factory.mktemp("prometheus")
    async with (
        devnet_in(directory / "devnet", bits=BITS, edit=_edit) as devnet,
        Prometheus(directory / "prometheus", devnet.http_port) as prometheus,
    ):
        (devnet.data_dir / "last-backup").touch()
        made = World(devnet, prometheus)
        try:
            await made.tells("parapool_block_submit_total offset 3s")
            rig = await devnet.rig(address("miner", 1) + ".solver")
            await rig.share(devnet.target("alpha"))
            await made.tells("sum(increase(parapool_block_submit_seconds_count[1h])) > 0")
            # Slow loops, and enough seconds of them for a rate.
            for name in ("oldest_unpaid_seconds", "wallet_diff_sat", "liabilities_sat", "last_block_timestamp_seconds"):
                await made.tells(f"parapool_{name} offset 5s")
            yield made
        finally:
            await made.close()


def _asked(expression: str) -> str:
    """A panel's query as Grafana sends it, a sixtieth as long."""
    filled = expression.replace("$chain", ".*").replace("$instance", ".*").replace("$__rate_interval", "1m")
    return quicker(filled)


async def test_prometheus_is_told_every_metric_of_the_table_and_no_other(world: World) -> None:
    _, page = await world.devnet.http("/metrics")
    told = set(re.findall(rf"^# TYPE {PREFIX}(\w+) (\w+)$", page, re.MULTILINE))
    assert told == {(metric.name, metric.kind) for metric in METRICS if metric.name not in OF_SEVERAL_PROCESSES}
    assert len([line for line in page.splitlines() if not line.startswith("#")]) < 1000
    assert {name for name, _ in told} >= OF_PROMETHEUS_CLIENT
    names = await world.prometheus.query(f'group by (__name__) ({{__name__=~"{PREFIX}.+"}})')
    assert SERIES - {found["metric"]["__name__"] for found in names} <= UNTOLD_WHEN_WELL


async def test_prometheus_has_data_for_every_query_of_every_panel(world: World) -> None:
    """Executed as Grafana would, with the labels that the legend names, and a number. What happens every half minute
    only (a job) is waited for: five minutes are five seconds here."""
    asked = list(queries())
    assert len(asked) > 90
    assert {query.title for query in asked} >= EMPTY_WHEN_WELL.keys()
    for query in asked:
        expression = _asked(query.expression)
        if query.title in EMPTY_WHEN_WELL:
            found = await world.prometheus.query(expression)
            assert found == [] or query.title in RARE, query
            continue
        found = await world.numbers(expression)
        labels = set(re.findall(r"{{(\w+)}}", query.legend))
        assert labels <= {label for sample in found for label in sample["metric"]}, query
        if query.title in ("State", "In the jobs", "Tip age"):
            assert {sample["metric"]["chain"] for sample in found} == set(CHAINS)


async def test_prometheus_has_the_metrics_of_every_rule(world: World) -> None:
    for rule in world.prometheus.rules:
        await world.prometheus.query(rule["expr"])
        for name in set(re.findall(r"\bparapool_\w+", rule["expr"])) - UNTOLD_WHEN_WELL:
            assert await world.prometheus.query(f"{name} offset 1s"), f"{rule}: {name}"
    for rule in world.prometheus.rules:
        if "record" in rule and rule["record"] != "pool:hashrate:same_hour_median":  # of a pool that was here yesterday
            assert await world.prometheus.query(rule["record"]), rule


async def test_prometheus_raises_no_alert_while_all_is_well(world: World) -> None:
    began_s = time.time()
    await asyncio.sleep(QUIET_S)
    fired = await world.prometheus.series('ALERTS{alertstate="firing"}', began_s)
    assert [series["metric"] for series in fired if series["metric"]["alertname"] not in OF_THE_MACHINE] == []


async def test_prometheus_raises_the_alerts_of_real_faults(world: World) -> None:
    devnet = world.devnet
    steps.info("a backup that is a day late, a ledger that somebody edited, a payout hold")
    stamp = time.time() - 27 * 3600
    os.utime(devnet.data_dir / "last-backup", (stamp, stamp))
    _edit_ledger(devnet, "alpha", 1)
    held = asyncio.create_task(_cli(devnet, "payouts", "hold", "regbtc", "--reason", "a drill"))
    steps.info("a certificate that nobody renewed in time")
    shutil.copy(CERTIFICATES / "ending.pem", devnet.directory / "certificate.pem")
    assert devnet.pool is not None
    devnet.pool.process.send_signal(signal.SIGHUP)
    steps.info("a node that is gone, a node that refuses a block, garbage, and a miner that repeats its shares")
    await devnet.kill_node("regnmc")
    repeating = asyncio.create_task(_repeat_shares(devnet))
    await _solve_a_refused_block(devnet)
    await _send_garbage(devnet)
    await held
    await world.prometheus.fires(
        "BackupOld", "LedgerDoesNotBalance", "PayoutsOnHold", "ChainDown", "ChainOutOfTree", "BlockNotAccepted",
        "ManyParseErrors", "RejectedShares", "CertificateEnds",
    )  # fmt: skip
    repeating.cancel()
    await asyncio.gather(repeating, return_exceptions=True)
    steps.info("a process that stands still")
    os.kill(devnet.pool.pid, signal.SIGSTOP)
    try:
        await world.prometheus.fires("PoolDown")
    finally:
        os.kill(devnet.pool.pid, signal.SIGCONT)
    await world.prometheus.fires("LoopLate")


def _edit_ledger(devnet: Devnet, chain: str, amount: int) -> None:
    """What no program of ours does."""
    database = Database(devnet.config.database_url())
    try:
        with database.write() as connection:
            edit = "UPDATE balances SET amount = amount + :amount WHERE chain = :chain AND account = 'income.fee'"
            assert connection.execute(text(edit), {"amount": amount, "chain": chain}).rowcount == 1
    finally:
        database.close()


async def _cli(devnet: Devnet, *words: str) -> None:
    child = devnet.child("pool-cli", pool_command(*words, "-c", str(devnet.config_path)))
    assert await devnet.exit_code_of(child) == 0, child.log_text()


async def _send_garbage(devnet: Devnet) -> None:
    """Lines that are no Stratum, on connections of their own; the counter has to be there before it can grow."""
    host, port = devnet.config.stratum.ports[0].address
    for count in (1, 120):
        for _ in range(count):
            with suppress(OSError):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(b"{\n")
                await writer.drain()
                await reader.read()
                writer.close()
        await asyncio.sleep(2.5 * STEP_S)


async def _solve_a_refused_block(devnet: Devnet) -> None:
    await devnet.rpc("regdoge", "devnet_refuse_next", "bad-drill")
    rig = await devnet.rig(address("miner", 2) + ".refused")
    await rig.submit(await rig.find(devnet.target("regdoge")))


async def _repeat_shares(devnet: Devnet) -> None:
    """The same share again and again, as broken firmware does."""
    while True:
        with suppress(StratumError, OSError):
            rig = await devnet.rig(address("miner", 3) + ".broken")
            found = await rig.find()
            for _ in range(20):
                await rig.submit(found)
                await asyncio.sleep(0.05)


