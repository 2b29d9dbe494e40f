"""Watching one chain's nodes: which is usable, what it offers now, and when the chain leaves and rejoins the tree.

Every chain is watched by tasks of its own, so that a slow or hanging node of one chain never delays another's template.
A node that is syncing, on the wrong network or away is not used, is logged once, and comes back by itself.

A chain does not go back: when its node is gone and the next one has not heard of the newest block yet, that one's
template waits. Work on the newest tip is good whoever told of it, a job on an older one would be thrown away by the
next, and a node that is a moment behind catches up within seconds. A reorganisation needs no exception: the node that
gave the newest template is believed whatever it says of itself, and another node's branch shows that it has won by
reaching our height. Should nobody reach it for BEHIND_S, only lost nodes knew that tip, and mining goes on below it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from chains.kind import Health, Network, NodeState
from chains.node_glance import NodeGlance
from chains.node_rpc import NodeTimeoutError, NodeUnavailableError, RpcError
from pool.ticks import next_tick, tick_in

log = logging.getLogger("parapool.chain")

HEALTH_INTERVAL_S = 2.0
# A health check or an auxiliary template that takes longer counts as a hanging node.
HANG_S = 3.0
# A node that gave no usable template is tried last for so long.
FAILED_FOR_S = 30.0
# So long miners stay on a tip that only nodes know that are gone. Blocks cross a network within seconds.
BEHIND_S = 30.0


@dataclass(frozen=True, slots=True)
class NodeHealth(Health):
    """A node's health as seen from here; `unanswered` when it is down because it gave no answer, `answer_s` is how long
    the last answer took."""

    unanswered: bool = False
    answer_s: float | None = None


class WatchedChain:
    """A configured chain at run time: its nodes in order of preference, their health, and the chain's state."""

    def __init__(
        self,
        name: str,
        kind_name: str,
        network: Network,
        nodes: list[Any],
        script: bytes,
        away_s: float,
        glances: Sequence[NodeGlance] = (),
    ) -> None:
        """`glances` are the nodes' own, for the metrics."""
        self.name = name
        self.kind_name = kind_name
        self.network = network
        self.nodes = nodes
        self.script = script
        self.away_s = away_s
        self.glances = tuple(glances)
        self.health = [NodeHealth(NodeState.DOWN, detail="not asked yet") for _ in nodes]
        self.template_failed_at: list[float | None] = [None] * len(nodes)
        self.changed = asyncio.Event()
        self.target: int | None = None
        self.template_at: float | None = None
        self.template_height: int | None = None
        self.template_node: int | None = None
        self.on_behind: Callable[[], None] = lambda: None
        self.in_tree = False

    def adopt(self, newer: WatchedChain) -> list[Any]:
        """Takes over another configuration's nodes of this chain; the template of the former ones stays until they give
        one. Whoever watches has to begin anew. Returns the former nodes."""
        former = list(self.nodes)
        self.nodes[:] = newer.nodes
        self.script, self.away_s = newer.script, newer.away_s
        self.health = newer.health
        self.glances = newer.glances
        self.template_failed_at = newer.template_failed_at
        self.template_node = None
        return former

    @property
    def state(self) -> NodeState:
        """The best state of its nodes."""
        states = {h.state for h in self.health}
        return next(
            (s for s in (NodeState.OK, NodeState.SYNCING, NodeState.WRONG_NETWORK) if s in states), NodeState.DOWN
        )

    @property
    def height(self) -> int | None:
        """The best height of its usable nodes, None without one."""
        return max((h.height for h in self.health if h.state is NodeState.OK), default=None)

    def usable(self, now: float) -> list[int]:
        """Indices of the nodes that may be used, the preferred first. Those whose template failed lately come last, and
        before them those that do not have the newest template's tip yet."""
        good = [i for i, h in enumerate(self.health) if h.state is NodeState.OK]
        return sorted(good, key=lambda i: (self._failed_lately(i, now), self._is_behind(i)))

    def _failed_lately(self, index: int, now: float) -> bool:
        failed_at = self.template_failed_at[index]
        return failed_at is not None and now < failed_at + FAILED_FOR_S

    def _is_behind(self, index: int) -> bool:
        """The newest template's own node is not, whatever its last health check found."""
        if self.template_height is None or index == self.template_node:
            return False
        return self.health[index].height < self.template_height - 1

    def node_named(self, name: str) -> Any:
        """The node of that name, or None when the configuration no longer has it."""
        return next((node for node in self.nodes if node.name == name), None)

    def set_health(self, index: int, health: NodeHealth) -> None:
        before = self.health[index]
        self.health[index] = health
        if before.state is health.state:
            return
        self.changed.set()
        if health.state is NodeState.OK:
            self.template_failed_at[index] = None
        if not (health.unanswered or (before.unanswered and health.state is NodeState.OK)):  # chains/node_rpc.py tells
            level = logging.INFO if health.state is NodeState.OK else logging.WARNING
            log.log(
                level,
                "node %s chain=%s node=%s height=%d %s",
                health.state.value,
                self.name,
                self.nodes[index].name,
                health.height,
                health.detail,
            )

    async def watch_health(self, index: int) -> None:
        """Ask one node how it is, for ever."""
        node = self.nodes[index]
        while True:
            asked_at = time.monotonic()
            try:
                async with asyncio.timeout(HANG_S):
                    answer = await node.health()
                taken_s = time.monotonic() - asked_at
                health = NodeHealth(answer.state, answer.height, answer.detail, answer_s=taken_s)
            except TimeoutError:
                health = NodeHealth(NodeState.DOWN, detail=f"no answer within {HANG_S:g} s")
            except RpcError as error:
                health = NodeHealth(NodeState.DOWN, detail=str(error))
            except NodeUnavailableError as error:
                health = NodeHealth(NodeState.DOWN, detail=str(error), unanswered=True)
            self.set_health(index, health)
            if self.template_height is not None and health.height >= self.template_height:
                self.on_behind()  # its tip is past our template: a long poll that should have told us did not
            await next_tick(HEALTH_INTERVAL_S)


class TemplateWatch:
    """Fetches one chain's templates from its best node and posts them; None takes the chain out of the tree."""

    def __init__(
        self,
        chain: WatchedChain,
        post: Callable[[Any], None],
        *,
        poll_interval_s: float,
        longpoll: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.chain = chain
        self.post = post
        self.poll_interval_s = poll_interval_s
        self.longpoll = longpoll
        self.clock = clock
        self.hints = asyncio.Event()  # set by a notification such as ZMQ: fetch now
        self._failure = ""
        self._behind_since: float | None = None
        chain.on_behind = self.hints.set

    async def run(self) -> None:
        """The loop of one chain; every failure is a state, none ends it."""
        tasks = [asyncio.create_task(self.chain.watch_health(i)) for i in range(len(self.chain.nodes))]
        try:
            while True:
                await self._step()
        finally:
            for task in tasks:
                task.cancel()

    async def _step(self) -> None:
        chain = self.chain
        self.hints.clear()  # first of all: a hint that stays set ends every pause before it begins, for ever
        usable = chain.usable(self.clock())
        if not usable:
            self._leave_if_due()
            await self._pause(0.25)
            return
        index = usable[0]
        try:
            template = await self._fetch(index)
        except (TimeoutError, NodeTimeoutError):
            if self.longpoll and self._longpoll_id is not None:
                self._longpoll_id = None  # a long poll that ran out is no failure: ask again
                return
            self._failed(index, f"no template within {HANG_S:g} s")
            chain.template_at = None  # hanging, not away: it leaves at once
        except NodeUnavailableError:
            self._failed(index, "")  # chains/node_rpc.py tells an outage
        except (RpcError, ValueError) as error:
            self._failed(index, str(error))
        else:
            if template is None:  # the node's state changed while we waited
                return
            chain.template_failed_at[index] = None
            if self._goes_back(index, template.height):
                self._longpoll_id = None  # it is asked again, without waiting
                await self._pause(min(1.0, self.poll_interval_s))
                return
            chain.target = template.target
            chain.template_at = self.clock()
            chain.template_height = template.height
            chain.template_node = index
            if self._failure:
                log.info("templates again chain=%s node=%s", chain.name, chain.nodes[index].name)
                self._failure = ""
            if not chain.in_tree:
                chain.in_tree = True
                log.info("chain joins chain=%s height=%d", chain.name, template.height)
            self._longpoll_id = getattr(template, "longpoll_id", None)
            self.post(template)
            if not self.longpoll:
                await self._pause(tick_in(self.poll_interval_s, asyncio.get_running_loop().time()))
            return
        self._leave_if_due()
        await self._pause(min(1.0, self.poll_interval_s))

    _longpoll_id: str | None = None

    def _goes_back(self, index: int, height: int) -> bool:
        """Whether this template would take the chain back below the tip that it is on, and has to wait for that. A
        height of 0 is one that the node does not tell."""
        chain = self.chain
        is_below = chain.template_height is not None and 0 < height < chain.template_height
        if not chain.in_tree or not is_below or index == chain.template_node:
            self._behind_since = None
            return False
        tail = f"chain={chain.name} node={chain.nodes[index].name} height={height} newest={chain.template_height}"
        if self._behind_since is None:
            self._behind_since = self.clock()
            log.warning("node is behind, its template waits %s", tail)
        if self.clock() - self._behind_since < BEHIND_S:
            return True
        self._behind_since = None
        log.warning("no node has the newest tip any more, the chain goes back %s", tail)
        return False

    async def _fetch(self, index: int) -> Any:
        """A template of this node. A long poll ends early, with None, when a node's health changes or a hint comes. So
        does the call without waiting that comes before it when health changes: a node that hangs in it is not waited
        for longer than its health check waits."""
        node = self.chain.nodes[index]
        if not self.longpoll:
            async with asyncio.timeout(HANG_S):
                return await node.template()
        longpoll_id = self._longpoll_id if self.chain.template_node == index else None
        self.chain.changed.clear()
        calls: list[Coroutine[Any, Any, Any]] = [node.template(longpoll_id), self.chain.changed.wait()]
        if longpoll_id is not None:
            calls.append(self.hints.wait())
        waiting = [asyncio.ensure_future(call) for call in calls]
        for future in waiting:
            future.add_done_callback(_note_end)
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in waiting:
                if not future.done():
                    future.cancel()
            if longpoll_id is not None:
                self.chain.template_at = self.clock()  # as long as the poll waited there was no newer one
        if waiting[0] in done:
            return waiting[0].result()
        self._longpoll_id = None  # ask anew, without waiting
        return None

    def _failed(self, index: int, reason: str) -> None:
        self.chain.template_failed_at[index] = self.clock()
        self._longpoll_id = None
        if reason and reason != self._failure:
            self._failure = reason
            log.warning("no template chain=%s node=%s: %s", self.chain.name, self.chain.nodes[index].name, reason)

    def _leave_if_due(self) -> None:
        """Take the chain out of the tree: at once when its nodes are syncing, on another network or hanging, else
        `away_s` after its last good template."""
        chain = self.chain
        if not chain.in_tree:
            return
        away = chain.template_at is not None and chain.state in (NodeState.DOWN, NodeState.OK)
        if away and chain.template_at is not None and self.clock() - chain.template_at < chain.away_s:
            return
        chain.in_tree = False
        chain.target = None
        log.warning("chain leaves chain=%s state=%s", chain.name, chain.state.value)
        self.post(None)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.hints.wait()
        except TimeoutError:
            return


def _note_end(future: asyncio.Future[Any]) -> None:
    """A call that fails while nobody waits for it any more, because the watch was ended, is nobody's error."""
    if not future.cancelled():
        future.exception()
