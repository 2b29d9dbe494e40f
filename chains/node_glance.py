"""What operators like to know of a node and nothing depends on: how many peers it has, and what waits in its mempool.

A node that lacks a method, or does not allow it to our login, is asked for it once; of one that does not answer nothing
is known, and that is no outage: the health checks tell those.
"""

from __future__ import annotations

from typing import Any, Protocol

from chains.block_lookup import RPC_METHOD_NOT_FOUND
from chains.node_rpc import NodeLoginError, NodeUnavailableError, RpcError

GLANCE_S = 3.0
FORBIDDEN = 403  # by rpcwhitelist
MOST = 2**53


class AsideRpc(Protocol):
    """What is needed of chains/node_rpc.py's JsonRpc."""

    async def ask_aside(self, method: str, *params: Any, timeout_s: float | None = None) -> Any: ...


class NodeGlance:
    """One node's. `peers` and `mempool` (transactions) are those of the last look, None when they are not known."""

    def __init__(self, rpc: AsideRpc) -> None:
        self.peers: int | None = None
        self.mempool: int | None = None
        self._rpc = rpc
        self._refused: set[str] = set()

    async def look(self) -> None:
        """Two calls, of which none raises."""
        self.peers = await self._number("getnetworkinfo", "connections")
        self.mempool = await self._number("getmempoolinfo", "size")

    def forget(self) -> None:
        """The node is not usable: what it said last is over."""
        self.peers = self.mempool = None

    async def _number(self, method: str, field: str) -> int | None:
        if method in self._refused:
            return None
        try:
            answer = await self._rpc.ask_aside(method, timeout_s=GLANCE_S)
        except RpcError as error:
            if error.code == RPC_METHOD_NOT_FOUND:
                self._refused.add(method)
            return None
        except NodeUnavailableError as error:
            if isinstance(error, NodeLoginError) and error.status == FORBIDDEN:
                self._refused.add(method)
            return None
        number = answer.get(field) if isinstance(answer, dict) else None
        return number if type(number) is int and 0 <= number < MOST else None
