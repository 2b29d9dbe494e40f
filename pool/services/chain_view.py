"""A chain as the books ask it: where a block is and what it paid, from any of the chain's usable nodes."""

from __future__ import annotations

from chains.kind import BlockStatus, NodeState
from chains.node_rpc import NodeUnavailableError, RpcError
from pool.services.chain_watch import WatchedChain


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

    def _usable(self) -> list[int]:
        return [i for i, health in enumerate(self.chain.health) if health.state is NodeState.OK]

    async def block_status(self, hash_hex: str) -> BlockStatus:
        """The best sight of the block. That it is not on the chain is believed only when every usable node says so:
        the one that is silent may be the one that is ahead. Raises NodeUnavailableError."""
        best: BlockStatus | None = None
        failure: Exception | None = None
        for index in self._usable():
            try:
                status: BlockStatus = await self.chain.nodes[index].block_status(hash_hex)
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
        for index in self._usable():
            node = self.chain.nodes[index]
            try:
                status = await node.block_status(hash_hex)
                if status.found and status.confirmations > 0:
                    reward: int = await node.block_reward(hash_hex)
                    return reward
            except (NodeUnavailableError, RpcError) as error:
                failure = error
        raise NodeUnavailableError(
            str(failure or f"no usable node of {self.chain.name} has block {hash_hex} on its chain")
        ) from failure
