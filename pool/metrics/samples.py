"""Figures that are looked for at intervals, or put together when Prometheus asks: ages, nodes, luck, distances.

Nothing here waits for anything: its loop serves the miners. What looks at every connection does so in slices.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chains.kind import NodeState
from chains.node_glance import NodeGlance
from pool.metrics.collector import Readers, Reading, by, one
from pool.metrics.data_dir import DataDirReadings
from pool.metrics.table import DIFFICULTY_CLASSES, LIABILITIES
from pool.services.block_submission import SUBMIT_BOUNDS_S, BlockSubmission
from pool.services.chain_watch import WatchedChain
from pool.services.job_broadcast import JobBroadcast
from pool.services.share_intake import ShareIntake
from pool.ticks import next_tick, tick_in
from stratum.buckets import Buckets
from stratum.counters import BROADCAST_BOUNDS_S, RTT_CLASSES
from stratum.server import StratumServer

LAG_SAMPLE_S = 0.5
LAG_KEPT = 120  # a minute of samples
FOLD_SAMPLES = 10  # every so many lag samples expected solves are worked out, so that no job is kept alive for them
MINERS_S = 15.0
NODES_S = 15.0
FIRST_NODES_S = 5.0  # by then it is known which are usable
MINERS_SLICE = 250  # connections per turn of the loop: under a millisecond


@dataclass
class MoneyReadings:
    """What the books said of the chains' money last, by chain and kind; empty where this process has no books."""

    liabilities: Mapping[tuple[str, str], int] = field(default_factory=dict)
    coins: Mapping[tuple[str, str], int] = field(default_factory=dict)
    fees: Mapping[str, int] = field(default_factory=dict)
    imbalance: Mapping[str, int] = field(default_factory=dict)
    last_block_ms: Mapping[str, int] = field(default_factory=dict)
    oldest_unpaid_s: Mapping[str, float] = field(default_factory=dict)


class MetricSamples:
    """`money` is set by whoever reads the books."""

    def __init__(
        self,
        chains: Mapping[str, WatchedChain],
        intake: ShareIntake,
        jobs: JobBroadcast,
        blocks: BlockSubmission,
        servers: Sequence[StratumServer],
        data_dir: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.money = MoneyReadings()
        self._chains = chains
        self._intake = intake
        self._jobs = jobs
        self._blocks = blocks
        self._servers = servers
        self._data_dir = DataDirReadings(data_dir)
        self._clock = clock
        self._lags: deque[float] = deque(maxlen=LAG_KEPT)
        self._tips: dict[str, tuple[int, float]] = {}
        self._solved: dict[str, tuple[int, float]] = {}  # solves of a chain, and what was expected at the last
        self._workers = 0
        self._by_rtt: Mapping[str, int] = dict.fromkeys(RTT_CLASSES, 0)
        self._by_difficulty: Mapping[str, int] = dict.fromkeys(DIFFICULTY_CLASSES, 0)

    # -- looking -------------------------------------------------------------------------------------------------------

    def work(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What goes on for as long as the pool runs."""
        yield self.run()
        yield self.watch_miners()
        yield self.watch_nodes()

    async def run(self) -> None:
        """For ever: how late the loop comes to a timer, whether tips moved, and the expected solves."""
        loop = asyncio.get_running_loop()
        samples = 0
        while True:
            pause_s = tick_in(LAG_SAMPLE_S, loop.time())
            due = loop.time() + pause_s
            await asyncio.sleep(pause_s)
            self._lags.append(max(0.0, loop.time() - due))
            self.look_at_tips()
            samples += 1
            if samples % FOLD_SAMPLES == 0:
                self._intake.tally.fold()
            self.look_at_solves()

    async def watch_miners(self) -> None:
        """For ever: where the miners are and what they are asked for."""
        while True:
            await self.look_at_miners()
            await next_tick(MINERS_S)

    async def watch_nodes(self) -> None:
        """For ever: what usable nodes say of their peers and mempools."""
        await next_tick(FIRST_NODES_S)
        while True:
            await self.look_at_nodes()
            await next_tick(NODES_S)

    async def look_at_nodes(self) -> None:
        """Asks all of them at once; a node that is not usable has nothing to say."""
        looks = []
        for chain in self._chains.values():
            for glance, health in zip(chain.glances, chain.health, strict=False):
                if health.state is NodeState.OK:
                    looks.append(glance.look())
                else:
                    glance.forget()
        await asyncio.gather(*looks)

    def look_at_tips(self) -> None:
        """Notice when a chain's best height became another."""
        for name, chain in self._chains.items():
            height = known_height(chain)
            if height is not None and self._tips.get(name, (None, 0.0))[0] != height:
                self._tips[name] = height, self._clock()

    def look_at_solves(self) -> None:
        """Notice new solves, from which on effort is counted."""
        for chain, found in self._blocks.found.items():
            if found != self._solved.get(chain, (0, 0.0))[0]:
                self._intake.tally.fold()
                self._solved[chain] = found, self._intake.tally.expected.get(chain, 0.0)

    async def look_at_miners(self) -> None:
        """One look at every connection, a slice at a time."""
        workers, rtt, difficulty = 0, Counter[str](), Counter[str]()
        connections = [connection for server in self._servers for connection in server.connections]
        for begin in range(0, len(connections), MINERS_SLICE):
            for connection in connections[begin : begin + MINERS_SLICE]:
                connection.measure()
                rtt[RTT_CLASSES[connection.rtt_class]] += 1
                difficulty[difficulty_class(connection.session.assignment.difficulty)] += 1
                workers += len(connection.session.users)
            await asyncio.sleep(0)
        self._workers = workers
        self._by_rtt = {**dict.fromkeys(RTT_CLASSES, 0), **rtt}
        self._by_difficulty = {**dict.fromkeys(DIFFICULTY_CLASSES, 0), **difficulty}

    @property
    def reactor_lag_s(self) -> float:
        """The worst of the last minute."""
        return max(self._lags, default=0.0)

    # -- telling -------------------------------------------------------------------------------------------------------

    def readers(self) -> Readers:
        """By metric name (pool/metrics/table.py)."""
        tally = self._intake.tally
        return {
            "workers": lambda: one(self._workers),
            "connections_by_rtt": lambda: by(self._by_rtt),
            "connections_by_difficulty": lambda: by(self._by_difficulty),
            "vardiff_retargets_total": self._retargets,
            "shares_by_rtt_total": self._shares_by_rtt,
            "share_answer_seconds": lambda: one(self._intake.answer_s),
            "chain_jobs_total": lambda: self._of_chains(self._jobs.chain_jobs),
            "job_height": self._job_heights,
            "job_broadcast_seconds": self._broadcasts,
            "refused_shapes": lambda: one(
                sum(until > self._jobs.clock() for until in self._jobs.refused_shapes.values())
            ),
            "tip_age_seconds": lambda: (((name,), self._clock() - at) for name, (_, at) in self._tips.items()),
            "template_age_seconds": self._template_ages,
            "node_up": self._of_nodes(lambda health: health.state is NodeState.OK),
            "node_height": self._of_nodes(lambda health: health.height or None),
            "node_answer_seconds": self._of_nodes(lambda health: health.answer_s),
            "node_peers": self._of_glances(lambda glance: glance.peers),
            "node_mempool_transactions": self._of_glances(lambda glance: glance.mempool),
            "clock_offset_seconds": lambda: one(self._jobs.clock_offset_s),
            "expected_blocks_total": self._expected_blocks,
            "found_blocks_total": lambda: self._of_chains(self._blocks.found),
            "effort_ratio": self._efforts,
            "last_block_timestamp_seconds": lambda: (
                ((chain,), last_ms / 1000) for chain, last_ms in self.money.last_block_ms.items()
            ),
            "expected_near_misses_total": lambda: self._of_chains(tally.expected_near),
            "near_misses_total": lambda: self._of_chains(tally.near),
            "block_refusals_total": lambda: self._blocks.refusals.items(),
            "block_submit_seconds": self._submissions,
            "liabilities_sat": lambda: self._of_kinds(self.money.liabilities, LIABILITIES),
            "coins_sat": lambda: self._of_kinds(self.money.coins, ("immature", "wallet")),
            "fee_income_sat": lambda: by(self.money.fees),
            "ledger_imbalance_sat": lambda: by(self.money.imbalance),
            "oldest_unpaid_seconds": lambda: by(self.money.oldest_unpaid_s),
            **self._data_dir.readers(),
        }

    def _of_chains(self, values: Mapping[str, float] | Mapping[str, int]) -> Iterator[Reading]:
        """One for each chain, 0 where nothing happened yet."""
        return (((name,), values.get(name, 0)) for name in self._chains)

    def _of_nodes(self, value: Callable[[Any], float | None]) -> Callable[[], Iterator[Reading]]:
        def read() -> Iterator[Reading]:
            for name, chain in self._chains.items():
                # A machine that follows another's jobs knows how its chains are, and has no nodes.
                for node, health in zip(chain.nodes, chain.health, strict=False):
                    found = value(health)
                    if found is not None:
                        yield (name, node.name), found

        return read

    def _of_glances(self, value: Callable[[NodeGlance], int | None]) -> Callable[[], Iterator[Reading]]:
        def read() -> Iterator[Reading]:
            for name, chain in self._chains.items():
                for node, glance in zip(chain.nodes, chain.glances, strict=False):
                    found = value(glance)
                    if found is not None:
                        yield (name, node.name), found

        return read

    @staticmethod
    def _of_kinds(values: Mapping[tuple[str, str], int], kinds: Iterable[str]) -> Iterator[Reading]:
        chains = {chain for chain, _ in values}
        return (((chain, kind), values.get((chain, kind), 0)) for chain in sorted(chains) for kind in kinds)

    def _retargets(self) -> Iterator[Reading]:
        counts = sum((server.counters.retargets for server in self._servers), Counter[str]())
        return (((direction,), counts[direction]) for direction in ("up", "down"))

    def _shares_by_rtt(self) -> Iterator[Reading]:
        for index, name in enumerate(RTT_CLASSES):
            yield (name, "accepted"), sum(server.counters.accepted_by_rtt[index] for server in self._servers)
            yield (name, "stale"), sum(server.counters.stale_by_rtt[index] for server in self._servers)

    def _job_heights(self) -> Iterator[Reading]:
        job = self._jobs.table.current
        if job is not None:
            heights = {template.chain: template.height for template in job.templates.aux.values()}
            heights[job.templates.parent.chain] = job.templates.parent.height
            yield from by({chain: height for chain, height in heights.items() if height > 0})

    def _broadcasts(self) -> Iterator[Reading]:
        times = Buckets(BROADCAST_BOUNDS_S)
        for server in self._servers:
            times.add(server.counters.broadcast_s)
        return one(times)

    def _template_ages(self) -> Iterator[Reading]:
        for name, chain in self._chains.items():
            if chain.template_at is not None:
                yield (name,), max(0.0, self._clock() - chain.template_at)

    def _expected_blocks(self) -> Iterator[Reading]:
        self._intake.tally.fold()
        return self._of_chains(self._intake.tally.expected)

    def _efforts(self) -> Iterator[Reading]:
        self.look_at_solves()
        for name in self._chains:
            expected = self._intake.tally.expected.get(name, 0.0)
            yield (name,), max(0.0, expected - self._solved.get(name, (0, 0.0))[1])

    def _submissions(self) -> Iterator[Reading]:
        return (((name,), self._blocks.submit_times.get(name) or Buckets(SUBMIT_BOUNDS_S)) for name in self._chains)


def known_height(chain: WatchedChain) -> int | None:
    """The best height of the usable nodes, else of those that are still syncing; None while no node has told one."""
    if chain.height is not None:
        return chain.height
    return max((h.height for h in chain.health if h.state is NodeState.SYNCING), default=None)


def difficulty_class(difficulty: float) -> str:
    """The name in DIFFICULTY_CLASSES."""
    if difficulty < 1:
        return DIFFICULTY_CLASSES[0]
    power = (int(difficulty).bit_length() - 1) // 4
    return DIFFICULTY_CLASSES[min(1 + power, len(DIFFICULTY_CLASSES) - 1)]
