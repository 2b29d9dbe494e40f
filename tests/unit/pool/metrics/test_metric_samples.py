"""What is looked for at intervals: tips, miners, nodes, luck, disk; and that 100,000 workers make no series."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import generate_latest
from support.job_factory import JobFactory, aux_template

from chains.families import network
from chains.kind import NodeState
from chains.node_glance import NodeGlance
from chains.node_rpc import NodeTimeoutError
from pool.metrics import samples
from pool.metrics.collector import TableCollector
from pool.metrics.data_dir import BACKUP_STAMP
from pool.metrics.samples import MetricSamples, difficulty_class
from pool.metrics.table import DIFFICULTY_CLASSES, MAX_SERIES, OF_PROMETHEUS_CLIENT
from pool.services.chain_watch import NodeHealth, WatchedChain
from pool.services.work_tally import WorkTally
from stratum.buckets import Buckets
from stratum.counters import RTT_CLASSES, Counters

NODES = [SimpleNamespace(name="first"), SimpleNamespace(name="second")]


class Rpc:
    """A node that tells of its peers, and not of its mempool."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def ask_aside(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
        if method == "getnetworkinfo":
            return {"connections": len(self.name)}
        raise NodeTimeoutError("no answer")


def glances(name: str) -> list[NodeGlance]:
    return [NodeGlance(Rpc(name)) for _ in NODES]


class World:
    """The samples and the parts they read, only as real as needed."""

    def __init__(self, folder: Path) -> None:
        self.now = 100.0
        self.chains = {
            name: WatchedChain(name, kind, network("bitcoin", "regtest"), NODES, b"", 60.0, glances(name))
            for name, kind in (("regbtc", "bitcoin"), ("alpha", "mm2"))
        }
        self.factory = JobFactory()
        self.jobs: Any = SimpleNamespace(
            table=self.factory.table, chain_jobs={}, refused_shapes={}, clock=self.clock, clock_offset_s=None
        )
        self.intake: Any = SimpleNamespace(tally=WorkTally(), answer_s=Buckets((0.1,)))
        self.blocks: Any = SimpleNamespace(found={}, refusals={}, submit_times={})
        self.servers: list[Any] = [SimpleNamespace(connections=set(), counters=Counters()) for _ in range(2)]
        self.samples = MetricSamples(
            self.chains, self.intake, self.jobs, self.blocks, self.servers, folder, clock=self.clock
        )

    def clock(self) -> float:
        return self.now

    def lines(self) -> list[str]:
        text = generate_latest(TableCollector(self.samples.readers())).decode()  # type: ignore[arg-type]
        return [line.removeprefix("parapool_") for line in text.splitlines() if not line.startswith("#")]

    def values(self, name: str) -> dict[str, float]:
        """A metric's values by its labels as printed, "" for none."""
        found = [line.rpartition(" ") for line in self.lines()]
        return {
            key.partition("{")[2].rstrip("}"): float(value)
            for key, _, value in found
            if key.partition("{")[0] == name
        }


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def connection(users: dict[str, Any], difficulty: float, rtt: int) -> Any:
    session = SimpleNamespace(users=users, assignment=SimpleNamespace(difficulty=difficulty))
    made = SimpleNamespace(session=session, rtt_class=0)
    made.measure = lambda: setattr(made, "rtt_class", rtt)
    return made


class _Hashable(SimpleNamespace):
    __hash__ = object.__hash__


def test_samples_tell_the_age_of_a_tip_since_it_changed(world: World) -> None:
    assert world.values("tip_age_seconds") == {}
    for height, wait in ((7, 5), (7, 5), (8, 3)):
        world.chains["regbtc"].set_health(0, NodeHealth(NodeState.OK, height))
        world.samples.look_at_tips()
        world.now += wait
    assert world.values("tip_age_seconds") == {'chain="regbtc"': 3}


def test_samples_tell_of_each_node_what_it_said_itself(world: World) -> None:
    world.chains["regbtc"].health = [
        NodeHealth(NodeState.OK, 7, answer_s=0.25), NodeHealth(NodeState.DOWN, unanswered=True)
    ]  # fmt: skip
    up = world.values("node_up")
    assert up == {
        'chain="regbtc",node="first"': 1, 'chain="regbtc",node="second"': 0,
        'chain="alpha",node="first"': 0, 'chain="alpha",node="second"': 0,
    }  # fmt: skip
    assert world.values("node_height") == {'chain="regbtc",node="first"': 7}
    assert world.values("node_answer_seconds") == {'chain="regbtc",node="first"': 0.25}


def test_samples_tell_what_the_newest_job_works_for(world: World) -> None:
    assert world.values("job_height") == {}
    job = world.factory.make(None, aux_template("alpha"))
    parent = job.templates.parent
    assert world.values("job_height")[f'chain="{parent.chain}"'] == parent.height
    world.jobs.chain_jobs["alpha"] = 3
    assert world.values("chain_jobs_total") == {'chain="regbtc"': 0, 'chain="alpha"': 3}
    world.jobs.refused_shapes = {"a": world.now - 1, "b": world.now + 1}
    assert world.values("refused_shapes") == {"": 1}
    world.chains["alpha"].template_at = 40.0
    assert world.values("template_age_seconds") == {'chain="alpha"': 60}


def test_samples_tell_luck_and_submissions_with_zeros_from_the_beginning(world: World) -> None:
    for name in ("expected_blocks_total", "found_blocks_total", "near_misses_total", "expected_near_misses_total"):
        assert world.values(name) == {'chain="regbtc"': 0, 'chain="alpha"': 0}
    assert sum(world.values("block_submit_seconds_count").values()) == 0
    world.blocks.found["alpha"] = 1
    world.blocks.refusals["alpha", "bad-txns: \"x\""] = 2
    times = world.blocks.submit_times["alpha"] = Buckets(samples.SUBMIT_BOUNDS_S)
    times.observe(0.3)
    assert world.values("found_blocks_total")['chain="alpha"'] == 1
    assert world.values("block_refusals_total") == {'chain="alpha",reason="bad_txns_x"': 2}
    assert world.values("block_submit_seconds_sum")['chain="alpha"'] == 0.3


def test_samples_count_effort_from_the_last_solve_on(world: World) -> None:
    world.intake.tally.expected["alpha"] = 1.5
    assert world.values("effort_ratio")['chain="alpha"'] == 1.5
    world.blocks.found["alpha"] = 1
    assert world.values("effort_ratio")['chain="alpha"'] == 0
    world.intake.tally.expected["alpha"] += 0.25
    assert world.values("effort_ratio") == {'chain="regbtc"': 0, 'chain="alpha"': 0.25}


async def test_samples_look_at_every_connection(world: World) -> None:
    world.servers[0].connections = {
        _Hashable(**vars(connection({"a": 1, "b": 2}, 0.5, 1))), _Hashable(**vars(connection({"c": 1}, 16.0, 1)))
    }  # fmt: skip
    world.servers[1].connections = {_Hashable(**vars(connection({}, 2.0**70, 6)))}
    for server in world.servers:
        for one in server.connections:
            one.measure = lambda one=one: setattr(one, "rtt_class", 1)
    await world.samples.look_at_miners()
    assert world.values("workers") == {"": 3}
    by_rtt = world.values("connections_by_rtt")
    assert by_rtt['rtt="0.025"'] == 3 and len(by_rtt) == len(RTT_CLASSES)
    by_difficulty = world.values("connections_by_difficulty")
    assert by_difficulty['difficulty="below_1"'] == by_difficulty['difficulty="from_16"'] == 1
    assert sum(by_difficulty.values()) == 3 and len(by_difficulty) == len(DIFFICULTY_CLASSES)


def test_samples_classes_of_difficulty_hold_sixteen_times_their_number() -> None:
    assert [difficulty_class(d) for d in (0.9, 1, 15.9, 16, 255, 256, 1e30)] == [
        "below_1", "from_1", "from_1", "from_16", "from_16", "from_256", DIFFICULTY_CLASSES[-1]
    ]  # fmt: skip


async def test_samples_of_a_hundred_thousand_workers_make_no_series(world: World) -> None:
    """Names with quotes, control characters and markup, on a thousand connections: none is on the page."""
    few = len(world.lines())
    world.servers[0].connections = {
        _Hashable(
            session=SimpleNamespace(
                users={f'worker "{number}-{index}"\n<b>\x07': None for index in range(100)},
                assignment=SimpleNamespace(difficulty=float(number + 1)),
            ),
            rtt_class=0, measure=lambda: None,
        )
        for number in range(1000)
    }  # fmt: skip
    await world.samples.look_at_miners()
    world.servers[0].counters.rejected["low_difficulty"] += 100_000
    lines = world.lines()
    assert world.values("workers") == {"": 100_000}
    assert len(lines) == few < MAX_SERIES
    assert not any("worker " in line for line in lines)


async def test_samples_tell_what_usable_nodes_say_of_their_peers(world: World) -> None:
    chain = world.chains["regbtc"]
    chain.set_health(0, NodeHealth(NodeState.OK, 5))
    await world.samples.look_at_nodes()
    assert world.values("node_peers") == {'chain="regbtc",node="first"': len("regbtc")}
    assert world.values("node_mempool_transactions") == {}
    chain.set_health(0, NodeHealth(NodeState.DOWN))
    await world.samples.look_at_nodes()
    assert world.values("node_peers") == {}


def test_samples_tell_disk_and_backup(world: World, tmp_path: Path) -> None:
    free, size = world.values("disk_free_bytes")[""], world.values("disk_size_bytes")[""]
    assert 0 < free < size
    assert world.values("last_backup_timestamp_seconds") == {}
    stamp = tmp_path / BACKUP_STAMP
    stamp.touch()
    os.utime(stamp, (1_700_000_000, 1_700_000_000))
    assert world.values("last_backup_timestamp_seconds") == {"": 1_700_000_000}


def test_samples_tell_the_money_that_the_books_told(world: World) -> None:
    assert world.values("liabilities_sat") == {} and world.values("ledger_imbalance_sat") == {}
    money = world.samples.money
    money.liabilities, money.coins = {("alpha", "available"): 5}, {("alpha", "wallet"): 9}
    money.imbalance, money.fees, money.oldest_unpaid_s = {"alpha": 0}, {"alpha": 4}, {"alpha": 1.5}
    assert world.values("liabilities_sat") == {
        'chain="alpha",kind="immature"': 0, 'chain="alpha",kind="available"': 5, 'chain="alpha",kind="reserved"': 0
    }  # fmt: skip
    assert world.values("coins_sat")['chain="alpha",kind="wallet"'] == 9
    assert world.values("oldest_unpaid_seconds") == {'chain="alpha"': 1.5}
    assert world.values("fee_income_sat") == {'chain="alpha"': 4}
    assert world.values("last_block_timestamp_seconds") == {}
    money.last_block_ms = {"alpha": 1500}
    assert world.values("last_block_timestamp_seconds") == {'chain="alpha"': 1.5}


async def test_samples_measure_how_late_the_loop_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "LAG_SAMPLE_S", 0.01)
    monkeypatch.setattr(samples, "FOLD_SAMPLES", 1)
    world.chains["regbtc"].set_health(0, NodeHealth(NodeState.OK, 7))
    assert world.samples.reactor_lag_s == 0.0
    job = world.factory.make()
    world.intake.tally.add(job, 2**40, 0)
    work = [asyncio.create_task(loop) for loop in world.samples.work()]
    await asyncio.sleep(0.02)
    time.sleep(0.05)  # noqa: ASYNC251  # what must not happen in the program
    async with asyncio.timeout(10):
        while world.samples.reactor_lag_s < 0.03 or not world.intake.tally.expected:
            await asyncio.sleep(0.01)
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    assert world.values("tip_age_seconds") == {'chain="regbtc"': 0}


def test_samples_readers_are_of_our_own_metrics(world: World) -> None:
    assert not set(world.samples.readers()) & OF_PROMETHEUS_CLIENT
