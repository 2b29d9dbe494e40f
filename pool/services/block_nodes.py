"""The nodes that take found blocks: each is told one until it gives a final answer, and the best answer counts.

The parent's block goes to all its nodes in parallel, a vote too; an auxiliary proof to the node that made the template
(no other one knows the block).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from chains.kind import AuxKind
from chains.node_rpc import NodeUnavailableError, RpcError
from pool.blocks.solution_store import SolutionRecord
from pool.services.submission_ending import Ending, answered, best, given_up

log = logging.getLogger("parapool.blocks")

# Waits between tries (seconds); the last one repeats until the record is given up.
RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
GIVE_UP_S = 7200.0
# A node process forgets its auxiliary templates when it restarts, and no other node knows them.
GIVE_UP_AUX_S = 600.0

Nodes = Mapping[str, list[Any]]


class BlockNodes:
    """`nodes` and `kinds` are by chain name."""

    def __init__(self, nodes: Nodes, kinds: Mapping[str, AuxKind], parent: str) -> None:
        self._nodes = nodes
        self._kinds = kinds
        self._parent = parent
        self._silent: set[str] = set()
        self._asking: set[asyncio.Task[Ending]] = set()

    def any_of(self, chain: str) -> bool:
        return bool(self._nodes.get(chain))

    def know(self, chain: str) -> bool:
        """Whether it is configured; a process without nodes has such chains too."""
        return chain in self._nodes

    def give_up_s(self, chain: str) -> float:
        """How long they are told a block of this chain."""
        return GIVE_UP_S if chain == self._parent else GIVE_UP_AUX_S

    async def ask(self, record: SolutionRecord, until: float, *, again: bool = False) -> Ending:
        """The best answer of the nodes. The first that has the block decides; the others go on being told. There has
        to be a node of the chain. `until` is monotonic. With `again` a first try's answer got lost."""
        asked = {self._begin(node, record, until, again=again) for node in self._targets(record)}
        endings: list[Ending] = []
        while asked and not any(ending.outcome == "accepted" for ending in endings):
            done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            endings += (task.result() for task in done)
        return best(endings)

    async def leave(self) -> None:
        """Whoever has not answered is told no more."""
        asking = list(self._asking)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def _is_vote(self, record: SolutionRecord) -> bool:
        """One of many: a node that is behind may refuse it, and no block is lost by that."""
        return record.chain in self._kinds and self._kinds[record.chain].many

    def _targets(self, record: SolutionRecord) -> list[Any]:
        nodes = self._nodes.get(record.chain, [])
        if record.chain == self._parent or self._is_vote(record):
            return list(nodes)  # every node can judge it
        return [n for n in nodes if n.name in record.nodes] or list(nodes)

    def _begin(self, node: Any, record: SolutionRecord, until: float, *, again: bool) -> asyncio.Task[Ending]:
        task = asyncio.get_running_loop().create_task(self._one_node(node, record, until, again=again))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return task

    async def _one_node(self, node: Any, record: SolutionRecord, until: float, *, again: bool) -> Ending:
        """Tell one node until it answers. Whatever goes wrong on the way is tried again."""
        attempt = 0
        while True:
            try:
                ending = answered(await node.submit(record.payload), first_try=attempt == 0 and not again)
                self._silent.discard(node.name)
                self._tell_refusal(node, record, ending)
                return ending
            except Exception as error:
                if node.name not in self._silent:  # once per outage, not per solve
                    self._silent.add(node.name)
                    expected = isinstance(error, (NodeUnavailableError, RpcError))
                    why = error if expected else repr(error)
                    log.warning(
                        "submission waits chain=%s node=%s: %s", record.chain, node.name, why,
                        exc_info=None if expected else error,
                    )  # fmt: skip
                if time.monotonic() >= until:
                    return given_up(error)
            await asyncio.sleep(wait_s(attempt))
            attempt += 1

    def _tell_refusal(self, node: Any, record: SolutionRecord, ending: Ending) -> None:
        """One node's of several: the others may take the block."""
        if len(self._nodes[record.chain]) > 1 and ending.outcome == "rejected" and not self._is_vote(record):
            log.warning(
                "one node refuses a block chain=%s node=%s hash=%s: %s",
                record.chain, node.name, record.block_hash_hex, ending.reason,
            )  # fmt: skip


def wait_s(attempt: int) -> float:
    """How long to wait after so many tries."""
    return RETRY_S[min(attempt, len(RETRY_S) - 1)]
