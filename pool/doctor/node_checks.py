"""One node of a chain: does it answer, to us, as a node of this chain, synced, connected, in time, and takes it blocks.

Asked is what the pool itself asks, by the pool's own classes. A node that does not get past a question is not asked the
next ones: one fault is one line. Each question has a time limit of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from chains.block_lookup import RPC_METHOD_NOT_FOUND
from chains.kind import NodeState, SubmitResult
from chains.node_rpc import (
    NodeConnectionError,
    NodeLoginError,
    NodeTimeoutError,
    NodeUnavailableError,
    RpcError,
)
from pool.config.configuration import BkChain, ChainSection, Mm2Chain, ParallelChain
from pool.doctor.finding import Finding, good, note, unchecked, wrong
from pool.doctor.node_clock import clock_finding
from pool.doctor.node_under_test import ANSWER_S, NodeUnderTest
from pool.doctor.node_zmq import zmq_finding

OWN_KINDS = ("bk", "parallel")
"""Kinds whose nodes are ours, with calls of their own."""

LATENCIES = 5
SLOW_MS = 500
FEW_PEERS = 3


async def node_findings(node: NodeUnderTest) -> list[Finding]:
    """Everything about one node but its templates."""
    stopped = await _answers(node)
    if stopped is not None:
        return [stopped]
    found = [good(node.subject, "answers", node.section.url), _network(node)]
    assert node.health is not None, "it has answered"
    if node.health.state is NodeState.WRONG_NETWORK:
        return found
    found += [_synced(node), await _bounded(node, "latency", _latency)]  # alone, so that it measures the node
    checks: list[tuple[str, Callable[[NodeUnderTest], Awaitable[Finding]]]] = [
        ("peers", _peers), ("clock", clock_finding), ("submission", _submission),
    ]  # fmt: skip
    if node.section.zmq_hashblock is not None:
        checks.append(("zmq", zmq_finding))
    found += await asyncio.gather(*(_bounded(node, name, check) for name, check in checks))
    return found


async def _bounded(
    node: NodeUnderTest, check: str, ask: Callable[[NodeUnderTest], Awaitable[Finding]]
) -> Finding:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await ask(node)
    except (TimeoutError, NodeTimeoutError):
        return wrong(node.subject, check, f"no answer within {ANSWER_S:g} s", _HANGS)
    except NodeLoginError as error:
        return wrong(node.subject, check, str(error), _login_remedy(node, error))
    except (NodeUnavailableError, RpcError) as error:
        return wrong(node.subject, check, str(error), "Read the node's log; update the node if it lacks the method.")


_HANGS = "The node hangs or is overloaded: look at its log, disk and memory; bitcoind wants rpcthreads=16."


async def _answers(node: NodeUnderTest) -> Finding | None:
    """None when it does, and then `node.health` says how it is."""
    subject, url = node.subject, node.section.url
    try:
        async with asyncio.timeout(ANSWER_S):
            node.health = await node.node.health()
        return None
    except (TimeoutError, NodeTimeoutError):
        return wrong(subject, "answers", f"{url}: no answer within {ANSWER_S:g} s", _HANGS)
    except NodeConnectionError as error:
        remedy = f"Start the node, or correct {node.key}.url; its RPC port must be open to this machine."
        return wrong(subject, "answers", f"{url}: {error}", remedy)
    except NodeLoginError as error:
        return wrong(subject, "login", f"{url}: {error}", _login_remedy(node, error))
    except NodeUnavailableError as error:
        if f"({RPC_METHOD_NOT_FOUND})" in str(error):
            remedy = f"Correct {node.key}.url or the chain's kind: this is no node of kind {node.chain.kind}."
        elif "the node is starting" in str(error):
            remedy = "Wait until the node has started; its log says how far it is."
        else:
            remedy = f"Correct {node.key}.url if something else listens there; else read the node's log."
        return wrong(subject, "answers", f"{url}: {error}", remedy)
    except RpcError as error:
        return wrong(subject, "answers", f"{url}: {error}", "Read the node's log.")


def _login_remedy(node: NodeUnderTest, error: NodeLoginError) -> str:
    if error.status == 0:
        return (
            "Let the pool's user read the cookie file (rpccookieperms=group in the node's file, and the user in its "
            "group), or set user and password_file instead."
        )
    if error.status == 403:
        return "Allow this machine (rpcallowip) and the methods the pool calls (rpcwhitelist) in the node's file."
    if node.section.cookie_file is not None:
        return f"Set {node.key}.cookie_file to the .cookie of this very node and network."
    return f"Set {node.key}.user and password (or password_file) to the node's rpcauth, or use its cookie_file."


def _network(node: NodeUnderTest) -> Finding:
    assert node.health is not None
    if node.health.state is not NodeState.WRONG_NETWORK:
        return good(node.subject, "network", _network_words(node.chain))
    key = f"chains.{node.chain_name}"
    own = f"{key}.{_network_key(node)}"
    remedy = f"Point {node.key}.url at a node of {_network_words(node.chain)}, or correct {own}."
    if "can be spent after" in node.health.detail:
        remedy = f"Set {_maturity_key(node)}: credits would be paid before the chain has the coins for good."
    return wrong(node.subject, "network", node.health.detail, remedy)


def _network_words(chain: ChainSection) -> str:
    words = f"{chain.family} {chain.network}"
    if isinstance(chain, ParallelChain):
        return f"{words}, chain {chain.chain_name} of {chain.network_name}"
    return f"{words}, context {chain.context_name}" if isinstance(chain, Mm2Chain | BkChain) else words


def _maturity_key(node: NodeUnderTest) -> str:
    """What is to be set, and to what."""
    key = f"chains.{node.chain_name}"
    if isinstance(node.chain, ParallelChain):
        return f"{key}.maturity_blocks to the chain's, and {key}.maturity, where it is set, to one more at least"
    return f"{key}.maturity to one more than the chain's"


def _network_key(node: NodeUnderTest) -> str:
    """The key of the chain's section that a node of another network is at odds with."""
    if isinstance(node.chain, ParallelChain):
        assert node.health is not None
        return "chain_name" if "does not follow" in node.health.detail else "network_name"
    return "context_name" if isinstance(node.chain, Mm2Chain | BkChain) else "network"


def _synced(node: NodeUnderTest) -> Finding:
    assert node.health is not None
    if node.health.state is NodeState.SYNCING:
        remedy = "Wait until the node has caught up; the pool uses it by itself from then on."
        return wrong(node.subject, "synced", f"height {node.health.height}: {node.health.detail}", remedy)
    return good(node.subject, "synced", f"height {node.health.height}")


async def _peers(node: NodeUnderTest) -> Finding:
    subject, check = node.subject, "peers"
    try:
        if node.chain.kind in OWN_KINDS:
            info: Any = {"connections": await node.rpc.call("getconnectioncount")}
        else:
            info = await node.rpc.call("getnetworkinfo")
    except RpcError as error:
        if error.code == RPC_METHOD_NOT_FOUND:
            return unchecked(subject, check, "the node cannot be asked")
        raise
    count = info.get("connections") if isinstance(info, dict) else None
    if type(count) is not int:
        return unchecked(subject, check, "the node does not tell how many it has")
    if node.chain.network == "regtest":
        return good(subject, check, f"{count}, on regtest")
    if info.get("networkactive") is False:
        return wrong(subject, check, "the node's network is switched off", "Switch it on: setnetworkactive true.")
    if count == 0:
        remedy = "Open the node's way to its network (connect, addnode, proxy, firewall): blocks go nowhere like this."
        return wrong(subject, check, "none", remedy)
    if count < FEW_PEERS:
        return note(subject, check, str(count), "A block of ours spreads slowly: let the node find more peers.")
    return good(subject, check, str(count))


async def _latency(node: NodeUnderTest) -> Finding:
    """The median of what the pool's own health check takes; of fewer when a slow node would use up the time."""
    taken_ms: list[float] = []
    while len(taken_ms) < LATENCIES and sum(taken_ms) < ANSWER_S * 1000 / 2:
        begun_s = time.perf_counter()
        await node.node.health()
        taken_ms.append((time.perf_counter() - begun_s) * 1000)
    middle_ms = median(taken_ms)
    words = f"{middle_ms:.1f} ms, the median of {len(taken_ms)}"
    if middle_ms > SLOW_MS:
        return note(node.subject, "latency", words, "Blocks go out that late. Is the node busy, or far away?")
    return good(node.subject, "latency", words)


_NOTHING = {
    "bitcoin": {"block": "00"},
    "auxpow": {"hash": "00" * 32, "auxpow": "00"},
    "mm2": {"hash": "00" * 32, "proof": "00"},
    "bk": {"hash": "00" * 32, "datum": "00", "proof": "00"},
    "parallel": {"hash": "00" * 32, "datum": "00", "proof": "00"},
}
"""What no node can take for a block: its refusal shows that the method is there and that our login may call it."""


async def _submission(node: NodeUnderTest) -> Finding:
    subject, check = node.subject, "submission"
    try:
        answer = await node.node.submit(_NOTHING[node.chain.kind])
    except NodeLoginError:
        raise
    except NodeUnavailableError as error:
        if node.health is not None and node.health.state is NodeState.SYNCING:
            return unchecked(subject, check, f"not while it is syncing: {error}")
        remedy = "Blocks could not be handed in. Is the method missing, or forbidden to this login (rpcwhitelist)?"
        return wrong(subject, check, str(error), remedy)
    if answer.result in (SubmitResult.REJECTED, SubmitResult.STALE):
        return good(subject, check, "the node answers to it")
    return wrong(subject, check, f"the node takes nonsense for a block: {answer.result}", "Do not mine with it.")
