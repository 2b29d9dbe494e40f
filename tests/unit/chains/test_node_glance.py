"""Peers and mempool: what is read of the answers, and that a node without them is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from chains.node_glance import NodeGlance
from chains.node_rpc import NodeLoginError, NodeTimeoutError, RpcError


class Rpc:
    """Answers by method; an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def ask_aside(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
        self.asked.append(method)
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_node_glance_tells_peers_and_mempool_until_it_forgets_them() -> None:
    glance = NodeGlance(Rpc(getnetworkinfo={"connections": 8}, getmempoolinfo={"size": 30_000, "bytes": 1}))
    assert (glance.peers, glance.mempool) == (None, None)
    await glance.look()
    assert (glance.peers, glance.mempool) == (8, 30_000)
    glance.forget()
    assert (glance.peers, glance.mempool) == (None, None)


@pytest.mark.parametrize("refusal", [RpcError(-32601, "Method not found"), NodeLoginError(403, "not allowed")])
async def test_node_glance_asks_once_for_what_the_node_does_not_give(refusal: Exception) -> None:
    """Each refused call of a whitelisted login is a line in the node's log."""
    rpc = Rpc(getnetworkinfo=refusal, getmempoolinfo={"size": 5})
    glance = NodeGlance(rpc)
    await glance.look()
    await glance.look()
    assert (glance.peers, glance.mempool) == (None, 5)
    assert rpc.asked.count("getnetworkinfo") == 1 and rpc.asked.count("getmempoolinfo") == 2


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"connections": "8"}, {"connections": True}, {"connections": -1}, {"connections": 2**60}]
)
async def test_node_glance_believes_no_nonsense(answer: Any) -> None:
    glance = NodeGlance(Rpc(getnetworkinfo=answer, getmempoolinfo=NodeTimeoutError("no answer")))
    await glance.look()
    await glance.look()
    assert (glance.peers, glance.mempool) == (None, None)
