"""Honest B_k in a network of equal nodes and one constant delay, by the very cores that the real nodes run.

The reference tables are of this network. With random delays they would not compare: there a block waits for votes that
a real one brings along.
"""

from __future__ import annotations

import heapq
import itertools
import random
import statistics
from dataclasses import dataclass

from chains.bk.core import BkCore
from chains.bk.parameters import BkParameters
from chains.peers.core import (
    Asked,
    Broadcast,
    Connected,
    Event,
    Fired,
    PeerHello,
    PeerId,
    Received,
    Refuse,
    Send,
    SetTimer,
    Started,
    Tell,
)
from chains.votes.attempt import attempt, own_first
from chains.votes.graph import KnownBlock
from pool.simulation.bk_miner import DrawingMiner, read_drawn

START_MS = 1_700_000_000_000
SUBSIDY = 1_000_000


@dataclass(frozen=True, slots=True)
class DelayScenario:
    """`votes` proofs of work drawn for all nodes together, `interval_s` after which a block's k votes would be found if
    nobody ever had to wait."""

    k: int
    interval_s: int
    votes: int
    nodes: int = 10
    delay_ms: int = 2_000


@dataclass(frozen=True, slots=True)
class DelayResult:
    """Of one run. `late` votes per block are for blocks of the chain, and in none; `orphaned` is the share of all votes
    that are in none, those for losing siblings too; `leaders` per height are those who had a selection of votes to
    lead at some time, `blocks` what was broadcast; `cv` is the intervals' standard deviation over their mean; `forks`
    the heights with blocks of different parents; `income` each node's over its fair one. The deviations are those of
    one height's value, of which there are `heights`."""

    heights: int
    orphaned: float
    interval_s: float
    cv: float
    late: float
    blocks: float
    leaders: float
    late_deviation: float
    lost_deviation: float
    blocks_deviation: float
    leaders_deviation: float
    forks: int
    income: tuple[float, ...]


class DelayNetwork:
    """Every message arrives after the delay. What a node passes on, and the receiver was sent already in the same
    bytes, is not delivered again: a core ignores it, and it is nine tenths of all messages."""

    def __init__(self, scenario: DelayScenario, seed: int) -> None:
        self.scenario = scenario
        self.chance = random.Random(seed)
        self.parameters = BkParameters(
            "simulated", k=scenario.k, interval_s=scenario.interval_s, subsidy=SUBSIDY, first_difficulty=1 << 40
        )
        self.now_ms = START_MS
        self.made_ms: dict[bytes, int] = {}
        self.leaders: dict[bytes, set[bytes]] = {}  # block id -> leader votes after it
        self.mined: dict[bytes, int] = {}  # block id -> votes for it
        self.quiet = False
        self._heap: list[tuple[int, int, int, Event]] = []
        self._numbers = itertools.count()
        numbers = range(scenario.nodes)
        self.miners = [DrawingMiner(number, self.chance) for number in numbers]
        self.cores = [BkCore(self.parameters, random.Random(seed * 1000 + number), read_drawn) for number in numbers]
        self._sent: list[set[bytes]] = [set() for _ in numbers]
        self._timers: list[dict[str, int]] = [{} for _ in numbers]
        for number in numbers:
            self._feed(number, Started({}))
        for one, other in itertools.permutations(numbers, 2):
            core = self.cores[other]
            hello = PeerHello(bytes(32), core.network, core.genesis, 1, 0, one < other)
            self._feed(one, Connected(PeerId(other), hello))

    def run(self) -> None:
        """All votes, then the time that the last messages take."""
        mean_ms = 1000 * self.scenario.interval_s / self.scenario.k
        at_ms = float(START_MS)
        for _ in range(self.scenario.votes):
            at_ms += self.chance.expovariate(1 / mean_ms)
            self._until(int(at_ms))
            self._mine(self.chance.randrange(self.scenario.nodes))
        self.quiet = True
        self._until(self.now_ms + 3 * self.scenario.delay_ms)

    def _mine(self, number: int) -> None:
        core, best = self.cores[number], self.cores[number].chain.graph.best
        self.mined[best.id] = self.mined.get(best.id, 0) + 1
        drawn = self.miners[number].draw(best, core.chain.rules, self.now_ms // 1000)
        self._feed(number, Asked("submitvote", 0, drawn))

    def _until(self, until_ms: int) -> None:
        while self._heap and self._heap[0][0] <= until_ms:
            self.now_ms, _, number, event = heapq.heappop(self._heap)
            if isinstance(event, Fired):
                if self._timers[number].get(event.timer) != self.now_ms:
                    continue
                del self._timers[number][event.timer]
            self._feed(number, event)
        self.now_ms = until_ms

    def _feed(self, number: int, event: Event) -> None:
        """One event, and then whatever its miner can lead by it."""
        told = False
        for effect in self.cores[number].on(self.now_ms, event):
            match effect:
                case Send(peer, name, payload):
                    self._post(number, peer, name, payload)
                case Broadcast(name, payload, besides):
                    for other in range(self.scenario.nodes):
                        if other != number and other not in besides and payload not in self._sent[other]:
                            self._sent[other].add(payload)
                            self._post(number, other, name, payload)
                case SetTimer(timer, at_ms) if at_ms is not None and not self.quiet:
                    self._timers[number][timer] = at_ms
                    heapq.heappush(self._heap, (at_ms, next(self._numbers), number, Fired(timer)))
                case Tell():
                    told = True
                case Refuse(_, _, reason):
                    raise AssertionError(reason)
        if told:
            self._lead(number)

    def _post(self, number: int, other: int, name: str, payload: bytes) -> None:
        at_ms = self.now_ms + self.scenario.delay_ms
        heapq.heappush(self._heap, (at_ms, next(self._numbers), other, Received(PeerId(number), name, payload)))

    def _lead(self, number: int) -> None:
        chain, miner = self.cores[number].chain, self.miners[number]
        best = chain.graph.best
        for block in (best, best.previous):
            if block is not None and len(block.votes) >= self.scenario.k:
                votes = own_first(block, miner.key, self.scenario.k)
                if votes is not None:
                    self.leaders.setdefault(block.id, set()).add(votes[0].id)
        found = attempt(chain.graph, miner.key)
        if found is not None:
            offer = miner.signed(*found, chain.build(found[0].id), chain.rules)
            self.made_ms[offer.id] = self.now_ms
            self._feed(number, Asked("submitblock", 0, (offer,)))

    def result(self) -> DelayResult:
        """What became of it, the last two heights left out."""
        graph = max((core.chain.graph for core in self.cores), key=lambda graph: graph.best.rank())
        path: list[KnownBlock] = list(graph.path_from_best())[::-1][:-2]  # genesis first
        heights = len(path) - 1
        of_height: dict[int, list[KnownBlock]] = {}
        for block in graph.blocks.values():
            of_height.setdefault(block.height, []).append(block)
        levels = [of_height[height] for height in range(heights)]
        late_of = [self.mined.get(block.id, 0) - self.scenario.k for block in path[:heights]]
        lost_of = [sum(self.mined.get(block.id, 0) for block in level) - self.scenario.k for level in levels]
        leaders_of = [sum(len(self.leaders.get(block.id, ())) for block in level) for level in levels]
        made_of = [len(of_height[height]) for height in range(1, heights + 1)]
        lost = statistics.fmean(lost_of)
        times = [self.made_ms[block.id] / 1000 for block in path[1:]]
        intervals = [later - earlier for earlier, later in itertools.pairwise(times)]
        mean = statistics.fmean(intervals)
        earned = [0] * self.scenario.nodes
        for block in path[1:]:
            for vote in block.included():
                earned[int.from_bytes(vote.datum.script[2:], "big")] += 1
        return DelayResult(
            heights=heights,
            orphaned=lost / (lost + self.scenario.k),
            interval_s=mean,
            cv=statistics.stdev(intervals) / mean,
            late=statistics.fmean(late_of),
            blocks=statistics.fmean(made_of),
            leaders=statistics.fmean(leaders_of),
            late_deviation=statistics.stdev(late_of),
            lost_deviation=statistics.stdev(lost_of),
            blocks_deviation=statistics.stdev(made_of),
            leaders_deviation=statistics.stdev(leaders_of),
            forks=sum(len({block.header.previous for block in of_height[h]}) > 1 for h in range(1, heights + 1)),
            income=tuple(part * self.scenario.nodes / sum(earned) for part in earned),
        )


def run_delay(scenario: DelayScenario, seed: int) -> DelayResult:
    """One run; the same seed gives the same numbers."""
    network = DelayNetwork(scenario, seed)
    network.run()
    return network.result()
