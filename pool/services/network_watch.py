"""Work for all the pool's chains of one consensus-proof network: one watch, one datum, a template for each chain.

A datum commits to the bodies of all these chains, so their templates change together and are in the jobs together: a
proof never pays a chain that no job has booked it for. Each chain's own health, which the books go by, is watched
beside it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from chains.kind import AuxTemplate
from chains.parallel.network_node import NetworkTemplate
from pool.services.chain_watch import TemplateWatch, WatchedChain

log = logging.getLogger("parapool.chain")

Together = Mapping[str, AuxTemplate | None]


class NetworkWatch:
    """`network` is watched as a chain of its own, whose nodes offer NetworkTemplates; `members` are the pool's chains
    of it, by name. `post` gets the templates of all members at once, None for one that has no work."""

    def __init__(
        self,
        network: WatchedChain,
        members: Mapping[str, WatchedChain],
        post: Callable[[Together], None],
        *,
        poll_interval_s: float,
    ) -> None:
        self.members = members
        self._post = post
        self._network = network
        self.watch = TemplateWatch(network, self._share_out, poll_interval_s=poll_interval_s, longpoll=False)

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.watch.run())
            for chain in self.members.values():
                for index in range(len(chain.nodes)):
                    group.create_task(chain.watch_health(index))

    def _share_out(self, template: NetworkTemplate | None) -> None:
        together = {name: None if template is None else template.templates.get(name) for name in self.members}
        for name, own in together.items():
            self._note(self.members[name], own)
        self._post(together)

    def _note(self, chain: WatchedChain, template: AuxTemplate | None) -> None:
        if template is not None:
            chain.target, chain.template_height = template.target, template.height
            chain.template_at, chain.template_node = self._network.template_at, self._network.template_node
        else:
            chain.target = None
        if chain.in_tree is not (template is not None):
            chain.in_tree = template is not None
            if template is not None:
                log.info("chain joins chain=%s height=%d", chain.name, template.height)
            else:
                log.warning("chain leaves chain=%s state=%s", chain.name, chain.state.value)


def network_of(members: Mapping[str, WatchedChain], name: str) -> WatchedChain:
    """The network that these chains are of, to be watched under this name: their nodes as all of them share them. What
    was there before a reload goes on."""
    first = next(iter(members.values()))
    nodes: list[Any] = [node.network for node in first.nodes]
    network = WatchedChain(name, first.kind_name, first.network, nodes, b"", first.away_s)
    network.in_tree = any(chain.in_tree for chain in members.values())
    network.template_at = max((at for chain in members.values() if (at := chain.template_at) is not None), default=None)
    return network
