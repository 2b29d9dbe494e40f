"""One node of a chain: does it answer, to us, as a node of this chain, synced, connected, in time, and takes it blocks.

Asked is what the pool itself asks, by the pool's own classes. A node that does not get past a question is not asked the
next ones: one fault is one line. Each question has a time limit of its own.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from statistics import median
from typing import Any

from chains.block_lookup import RPC_METHOD_NOT_FOUND
from chains.kind import Health, NodeState, SubmitResult
from chains.node_rpc import (
    JsonRpc,
    NodeConnectionError,
    NodeLoginError,
    NodeTimeoutError,
    NodeUnavailableError,
    RpcError,
    one_line,
)
from pool.config import BkChain, ChainSection, Mm2Chain, NodeSection, ParallelChain
from pool.doctor.finding import Finding, good, note, unchecked, wrong

ANSWER_S = 4.0
"""For one question. The pool gives a node up after three seconds (services/chain_watch.py)."""

OWN_KINDS = ("bk", "parallel")
"""Kinds whose nodes are ours, with calls of their own."""

LATENCIES = 5
SLOW_MS = 500
FEW_PEERS = 3
CLOCK_NOTE_S = 5
CLOCK_WRONG_S = 60
"""A block's time may be two hours ahead of the network's, so a minute loses none; but a clock that is a minute off is
not being set by anybody, and goes on from there."""

MAX_AHEAD_S = 2 * 3600
"""No node takes a block that is later than so much after its own now (MAX_FUTURE_BLOCK_TIME of Bitcoin Core)."""

ZMTP_GREETING = 10  # bytes of a ZMQ peer's signature: ff, eight bytes, 7f (ZMTP 3, section 2)


@dataclass
class NodeUnderTest:
    """A configured node: the pool's object for it, and a client of our own for what the pool does not ask."""

    chain_name: str
    number: int
    chain: ChainSection
    section: NodeSection
    node: Any
    rpc: JsonRpc
    health: Health | None = None

    @property
    def subject(self) -> str:
        return f"{self.chain_name}[{self.number}]"

    @property
    def key(self) -> str:
        """Where the node stands in the file."""
        return f"chains.{self.chain_name}.nodes.{self.number}"

    @property
    def is_usable(self) -> bool:
        return self.health is not None and self.health.state is NodeState.OK


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
        ("peers", _peers), ("clock", _clock), ("submission", _submission),
    ]  # fmt: skip
    if node.section.zmq_hashblock is not None:
        checks.append(("zmq", _zmq))
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


_TIME_SERVICE = "Let a time service (chrony, systemd-timesyncd) set the clocks of both machines."


async def _clock(node: NodeUnderTest) -> Finding:
    """Three witnesses: the Date of the HTTP answer, which is whole seconds and was written between our call and its
    answer; what the node's peers say of its clock; and the time of its newest block."""
    subject, check = node.subject, "clock"
    begun_s = time.time()
    is_of_proofs = node.chain.kind == "parallel"
    tip = await node.rpc.call("getchainview" if is_of_proofs else "getbestblockhash")
    ended_s, date = time.time(), node.rpc.date
    if is_of_proofs:
        block_s = _number_in(tip, "time")
    else:
        block_s = await _number_of(node, "time", "getblockheader", tip)
    if block_s is not None and block_s - ended_s > MAX_AHEAD_S:
        words = f"its newest block is of {(block_s - ended_s) / 3600:.1f} h after our now"
        return wrong(subject, check, words, f"{_TIME_SERVICE} No network takes such a block: ours is behind.")
    peers_s = await _number_of(node, "timeoffset", "getnetworkinfo")
    if peers_s is not None and abs(peers_s) >= CLOCK_WRONG_S:
        words = f"{abs(peers_s)} s {'behind' if peers_s > 0 else 'ahead of'} its peers'"
        return wrong(subject, check, words, "Let a time service (chrony, systemd-timesyncd) set the node's clock.")
    if date is None:
        return unchecked(subject, check, "the node's answers have no Date")
    try:
        theirs_s = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return unchecked(subject, check, f"the node's answers have a Date that is none: {one_line(date)[:40]}")
    # Cut to whole seconds: theirs lay between theirs_s and theirs_s + 1.
    behind_s, ahead_s = begun_s - (theirs_s + 1), theirs_s - ended_s
    off_s = round(max(behind_s, ahead_s, 0))
    if off_s == 0:
        return good(subject, check, "as ours")
    words = f"{off_s} s {'behind' if behind_s > ahead_s else 'ahead of'} ours"
    if off_s >= CLOCK_WRONG_S:
        return wrong(subject, check, words, f"{_TIME_SERVICE} Ours may be the wrong one.")
    if off_s >= CLOCK_NOTE_S:
        return note(subject, check, words, _TIME_SERVICE)
    return good(subject, check, words)


async def _number_of(node: NodeUnderTest, field: str, method: str, *params: Any) -> int | None:
    """A whole number in an answer; None of a daemon that does not tell it."""
    try:
        answer = await node.rpc.call(method, *params)
    except RpcError:
        return None
    return _number_in(answer, field)


def _number_in(answer: Any, field: str) -> int | None:
    number = answer.get(field) if isinstance(answer, dict) else None
    return number if type(number) is int else None


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


async def _zmq(node: NodeUnderTest) -> Finding:
    """Whether a ZMQ publisher listens where the file says, and the node says that it publishes blocks there."""
    subject, check, endpoint = node.subject, "zmq", node.section.zmq_hashblock
    assert endpoint is not None
    remedy = f"Start the node with zmqpubhashblock={endpoint}, or take {node.key}.zmq_hashblock out: it is a hint only."
    try:
        async with asyncio.timeout(ANSWER_S / 2):
            greeting = await _first_bytes(endpoint)
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        words = "nothing is published" if isinstance(error, TimeoutError) else _os_words(error)
        return wrong(subject, check, f"{endpoint}: {words}", remedy)
    if greeting[0] != 0xFF or greeting[9] != 0x7F:
        return wrong(subject, check, f"{endpoint}: something else than ZMQ listens there", remedy)
    try:
        published = await node.rpc.call("getzmqnotifications")
    except RpcError:
        return good(subject, check, endpoint)  # before 0.17, or without ZMQ's own RPC
    listed = published if isinstance(published, list) else []
    if not any(isinstance(entry, dict) and entry.get("type") == "pubhashblock" for entry in listed):
        return wrong(subject, check, f"{endpoint}: the node publishes no hashblock", remedy)
    return good(subject, check, endpoint)


async def _first_bytes(endpoint: str) -> bytes:
    tcp = re.fullmatch(r"tcp://(.+):(\d+)", endpoint)
    if tcp is None:
        reader, writer = await asyncio.open_unix_connection(endpoint.removeprefix("ipc://"))
    else:
        reader, writer = await asyncio.open_connection(tcp[1].strip("[]"), int(tcp[2]))
    try:
        return await reader.readexactly(ZMTP_GREETING)
    finally:
        writer.close()


def _os_words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "the connection ended at once"
