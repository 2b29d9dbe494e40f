"""A chain as the books ask it: where a block is and what it paid, from any of the chain's usable nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from chains.kind import BlockIncome, BlockStatus, NodeState
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.registry import AUX_KINDS
from pool.services.chain_watch import WatchedChain

# For a node after which another one can be asked: one that hangs is found out by its health check only seconds later,
# and the books' own patience (NODE_TIMEOUT_S in followed_chain.py) must do for all of them.
ANSWER_S = 4.0

T = TypeVar("T")


class ChainNodesView:
    """Implements the bookkeeping's ChainView. A block that one node knows is known, even if another lags behind."""

    def __init__(self, chain: WatchedChain) -> None:
        self.chain = chain

    @property
    def synced(self) -> bool:
        return self.chain.state is NodeState.OK

    @property
    def tip_height(self) -> int | None:
        return self.chain.height

    @property
    def votes(self) -> bool:
        """Whether what is found on this chain are votes, of which a block has many."""
        kind = AUX_KINDS.get(self.chain.kind_name)
        return kind is not None and kind.many

    def _usable(self) -> list[int]:
        return [i for i, health in enumerate(self.chain.health) if health.state is NodeState.OK]

    async def block_status(self, hash_hex: str) -> BlockStatus:
        """The best sight of the block. That it is not on the chain is believed only when every usable node says so:
        the one that is silent may be the one that is ahead. Raises NodeUnavailableError."""
        best: BlockStatus | None = None
        failure: Exception | None = None
        usable = self._usable()
        for index in usable:
            try:
                status: BlockStatus = await _answer(self.chain.nodes[index].block_status(hash_hex), index == usable[-1])
            except (NodeUnavailableError, RpcError) as error:
                failure = error
                continue
            if status.found and status.confirmations > 0:
                return status
            if best is None or status.found:
                best = status
        if failure is not None or best is None:
            raise NodeUnavailableError(str(failure or f"no usable node of {self.chain.name}")) from failure
        return best

    async def block_reward(self, hash_hex: str) -> int:
        """What the block's coinbase pays us, from a node that has the block on its main chain. Raises
        NodeUnavailableError."""
        failure: Exception | None = None
        usable = self._usable()
        for index in usable:
            node = self.chain.nodes[index]
            is_last = index == usable[-1]
            try:
                status = await _answer(node.block_status(hash_hex), is_last)
                if status.found and status.confirmations > 0:
                    reward: int = await _answer(node.block_reward(hash_hex), is_last)
                    return reward
            except (NodeUnavailableError, RpcError) as error:
                failure = error
        raise NodeUnavailableError(
            str(failure or f"no usable node of {self.chain.name} has block {hash_hex} on its chain")
        ) from failure

    async def income_at(self, height: int) -> BlockIncome | None:
        """What the main chain's block at a height pays our votes, by the first usable node that answers; None beyond
        its tip. Of a chain of votes only. Raises NodeUnavailableError."""
        failure: Exception | None = None
        usable = self._usable()
        for index in usable:
            try:
                income: BlockIncome | None = await _answer(
                    self.chain.nodes[index].income_at(height), index == usable[-1]
                )
                return income
            except (NodeUnavailableError, RpcError) as error:
                failure = error
        raise NodeUnavailableError(str(failure or f"no usable node of {self.chain.name}")) from failure


async def _answer(call: Awaitable[T], is_last: bool) -> T:
    """A node's answer. Raises NodeUnavailableError, too when it takes too long and there is another node to ask."""
    try:
        async with asyncio.timeout(None if is_last else ANSWER_S):
            return await call
    except TimeoutError as error:
        raise NodeUnavailableError(f"no answer within {ANSWER_S:g} s") from error
