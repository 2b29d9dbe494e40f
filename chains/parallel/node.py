"""One parallel chain of the pool, at one node of its network: what a chain of any kind is asked, answered for this one.

A consensus proof is known to a chain by the proof's id. Only a *block* of the chain at that proof is income; a gap or a
void is none, and what it is may change with every reorganisation, and with a body that comes late.
"""

from __future__ import annotations

from collections.abc import Mapping

from chains.kind import AuxTemplate, BlockStatus, Health, SubmitAnswer, TemplateError
from chains.node_rpc import NodeUnavailableError
from chains.parallel.network_node import NetworkNode


class ParallelNode:
    """The pool's `chain` at `network`, a node that it shares with the pool's other chains of the network. With
    `waits_for_bodies` no block has more than one confirmation while the node misses bodies of the chain: one that
    comes may undo all that stands above it."""

    def __init__(self, chain: str, network: NetworkNode, *, waits_for_bodies: bool = True) -> None:
        self.chain = chain
        self.name = network.chains[chain].node
        self.network = network
        network.users += 1
        self._waits_for_bodies = waits_for_bodies

    async def health(self) -> Health:
        """Whether it is synced, and a node of the network that follows the chain. Raises NodeUnavailableError."""
        return await self.network.chain_health(self.chain)

    async def template(self) -> AuxTemplate:
        """What to mine now, for all chains of the network at once. Raises NodeUnavailableError, and TemplateError for
        an answer that cannot be mined or that leaves this chain out."""
        found = await self.network.template()
        if self.chain not in found.templates:
            raise TemplateError(f"the chain has not begun at the network's tip, or {self.name} does not follow it")
        return found.templates[self.chain]

    async def submit(self, payload: Mapping[str, str]) -> SubmitAnswer:
        """Hand in a proof. Raises NodeUnavailableError when there is no verdict, so that it is retried."""
        return await self.network.submit(payload)

    async def block_status(self, hash_hex: str) -> BlockStatus:
        """Where the chain's block at a consensus proof is; where there is none (gap, void, orphan) it is off the chain.
        Raises NodeUnavailableError."""
        view = await self.network.block(self.chain, hash_hex)
        if view.state in ("unknown", "held"):
            return BlockStatus(False)
        if view.state != "block":
            return BlockStatus(True, -1, view.height)
        if self._waits_for_bodies and await self.network.holes(self.chain):
            return BlockStatus(True, min(view.confirmations, 1), view.height)
        return BlockStatus(True, view.confirmations, view.height)

    async def block_reward(self, hash_hex: str) -> int:
        """What the chain's block at a consensus proof pays us, in its smallest unit. Raises NodeUnavailableError, too
        when it is no block by now: then it is asked again."""
        view = await self.network.block(self.chain, hash_hex)
        if view.state != "block":
            raise NodeUnavailableError(f"{self.chain} has no block at {hash_hex} any more: {view.state}")
        return view.amount

    async def close(self) -> None:
        await self.network.close()
