"""The calls that every node has, whatever its kind: its peers, bans, its own life."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from chains.calls.errors import INVALID_PARAMETER, NOT_CONNECTED, CallError
from chains.calls.table import INTEGER, TEXT, Access, Call, Parameter
from chains.peers.core import PeerId
from chains.peers.hello import VERSION
from chains.peers.hub import Peer
from chains.peers.process import NodeProcess
from chains.peers.scores import address_name
from chains.peers.sources import AddressError, split_address
from chains.primitives.hashes import displayed


def getpeerinfo(node: NodeProcess) -> list[dict[str, Any]]:
    now_ms = node.now_ms()
    return [
        {
            "id": peer.id,
            "addr": peer.dialled or peer.host,
            "inbound": peer.inbound,
            "node_key": peer.key.hex() if peer.key is not None else None,
            "version": peer.hello.version if peer.hello is not None else None,
            "features": peer.hello.features if peer.hello is not None else None,
            "port": peer.hello.port if peer.hello is not None else None,
            "conntime": peer.since_ms // 1000,
            "bytessent": peer.sent,
            "bytesrecv": peer.received,
            "pingtime_ms": peer.session.ping_ms,
            "points": _points(node, peer, now_ms),
            "over_rate": peer.session.over_rate,
            "scored": [f"{points}: {reason}" for points, reason in peer.scored],
        }
        for peer in node.hub.peers.values()
        if peer.told
    ]


def _points(node: NodeProcess, peer: Peer, now_ms: int) -> int:
    names = node.hub.scores.names(peer.key, peer.host)
    return max((node.hub.scores.points(name, now_ms) for name in names), default=0)


def getconnectioncount(node: NodeProcess) -> int:
    return sum(peer.told for peer in node.hub.peers.values())


def getnodeinfo(node: NodeProcess) -> dict[str, Any]:
    return {
        "node_key": node.node_key.hex(),
        "network": node.core.network.hex(),
        "genesis": displayed(node.core.genesis),
        "protocolversion": VERSION,
        "port": node.port,
        "connections": getconnectioncount(node),
        "uptime_s": uptime(node),
        "pid": os.getpid(),
    }


def uptime(node: NodeProcess) -> int:
    return (node.now_ms() - node.started_ms) // 1000


def addnode(node: NodeProcess, address: str) -> None:
    try:
        split_address(address)
    except AddressError as error:
        raise CallError(INVALID_PARAMETER, str(error)) from None
    node.sockets.dial(address)


def disconnectnode(node: NodeProcess, peer: int) -> None:
    if PeerId(peer) not in node.hub.peers:
        raise CallError(NOT_CONNECTED, f"no peer {peer}")
    node.hub.drop(PeerId(peer), "disconnected by the operator")


def listbanned(node: NodeProcess) -> list[dict[str, Any]]:
    return [{"name": name, "banned_until": until_ms // 1000} for name, until_ms in node.hub.scores.bans()]


def setban(node: NodeProcess, name: str, command: str, seconds: int) -> None:
    if not name.startswith(("key:", "ip:", "host:")):
        name = f"key:{name}" if len(name) == 64 else address_name(name)
    if command == "add" and seconds > 0:
        node.hub.ban([name], node.now_ms() + seconds * 1000, "by the operator")
    elif command == "remove":
        if not node.lift_ban(name):
            raise CallError(INVALID_PARAMETER, f"{name} is not banned")
    else:
        raise CallError(INVALID_PARAMETER, "command: expected add (for some seconds) or remove")


def stop(node: NodeProcess) -> str:
    node.stop_soon()
    return "node stopping"


PEER = Parameter("peer", INTEGER, "the connection's id, see getpeerinfo")
ADDRESS = Parameter("address", TEXT, "HOST:PORT")
BANNED = Parameter("name", TEXT, "a node key (64 hex digits), an address, or a name as listbanned shows it")

READS = (
    Call("getpeerinfo", "The connected peers.", Access.READ, (),
         "array of objects: `id`, `addr`, `inbound`, `node_key`, `version`, `features`, `port`, `conntime` (seconds "
         "since 1970), `bytessent`, `bytesrecv`, `pingtime_ms`, `points` (of misbehaviour), `over_rate` (messages "
         "dropped), `scored` (the last reasons)", getpeerinfo),
    Call("getconnectioncount", "How many peers there are.", Access.READ, (), "integer", getconnectioncount),
    Call("getnodeinfo", "Who this node is.", Access.READ, (),
         "object: `node_key`, `network`, `genesis`, `protocolversion`, `port`, `connections`, `uptime_s`, `pid`",
         getnodeinfo),
    Call("uptime", "Seconds since the start.", Access.READ, (), "integer", uptime),
    Call("listbanned", "Who is banned, and until when.", Access.READ, (),
         "array of objects: `name`, `banned_until` (seconds since 1970)", listbanned),
)  # fmt: skip

WRITES = (
    Call("addnode", "Dial an address once.", Access.WRITE, (ADDRESS,), "null", addnode),
    Call("disconnectnode", "End a connection.", Access.WRITE, (PEER,), "null", disconnectnode),
    Call("setban", "Ban a key or an address, or lift a ban.", Access.WRITE,
         (BANNED, Parameter("command", TEXT, "`add` or `remove`"),
          Parameter("seconds", INTEGER, "for how long", 86_400)), "null", setban),
    Call("stop", "End the node in order.", Access.WRITE, (), "text", stop),
)  # fmt: skip


def _of_process(call: Call) -> Call:
    return replace(call, of_process=True, group="peers" if call.name not in ("stop", "uptime") else "node")


PEER_CALLS = tuple(_of_process(call) for call in (*READS, *WRITES))
