"""Real chain daemons for tests: litecoind from Debian and bcoin from npm, on regtest, each in a directory of its own.

`start_litecoind(directory)` and `start_bcoin(directory)` return a RealNode that answers RPC and gives templates,
`start_litecoin_pair(directory)` two that see each other's blocks; `stop()` ends what was started, by process id. A part
that is not installed is a failure that names the command to install it.
"""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import shutil
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from support.ports import free_port

from chains.families import network
from chains.kind import Network
from chains.node_rpc import JsonRpc
from chains.primitives.address import script_to_address
from pool.devnet.demo.children import Child, stop

BCOIN = Path(__file__).parent / ".bcoin"
STRATUM_CLIENT = BCOIN / "stratum-client"
START_S = 90.0
STOP_S = 60.0
PAYOUT_SCRIPT = bytes.fromhex("0014") + bytes(range(20))
SEGWIT_HEIGHT = 432  # bcoin's regtest activates segwit there
CALL_S = 300.0  # of hundreds of blocks on a slow machine


class RpcFailure(Exception):
    """A JSON-RPC error object."""


@dataclass
class RealNode:
    """A running daemon. `url`, `user` and `password` are what a pool's configuration needs, `address` is where it may
    pay (nobody holds its key), `network` the data of chains.families, `debug_log` what a litecoind of a pair writes."""

    name: str
    url: str
    user: str
    password: str
    network: Network
    processes: list[Child] = field(default_factory=list)
    launches: list[tuple[list[str], Path]] = field(default_factory=list)
    debug_log: Path | None = None

    @property
    def section(self) -> dict[str, str]:
        """The node as a member of `nodes` in a pool's configuration."""
        return {"url": self.url.rstrip("/"), "user": self.user, "password": self.password}

    @property
    def address(self) -> str:
        address = script_to_address(PAYOUT_SCRIPT, self.network.addresses)
        assert address is not None
        return address

    def client(self, *, timeout_s: float = 60.0) -> JsonRpc:
        return JsonRpc(self.url, user=self.user, password=self.password, timeout_s=timeout_s, name=self.name)

    def call(self, method: str, *params: Any) -> Any:
        """A blocking call, for a test's own preparations; amounts as Decimal."""
        port = int(self.url.rsplit(":", 1)[1].rstrip("/"))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CALL_S)
        try:
            body = json.dumps({"id": 1, "method": method, "params": params})
            login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
            connection.request("POST", "/", body, headers)
            answer = json.loads(connection.getresponse().read(), parse_float=Decimal)
        finally:
            connection.close()
        if answer.get("error") is not None:
            raise RpcFailure(f"{method}: {answer['error']}")
        return answer["result"]

    def generate(self, blocks: int) -> list[str]:
        """Let the node itself mine; returns the block hashes."""
        hashes: list[str] = self.call("generatetoaddress", blocks, self.address)
        return hashes

    def stop(self) -> None:
        stop(self.processes, STOP_S)
        self.processes.clear()

    def start_again(self) -> None:
        """After stop(): the same daemon over the same data and ports, until it answers."""
        launches, self.launches = self.launches, []
        for command, directory in launches:
            _start(self, command, directory)
            _wait(self, directory, lambda: self.call("getblockcount") >= 0)

    def calls_taken(self, method: str) -> int:
        """How often a litecoind of a pair was called with this method."""
        assert self.debug_log is not None
        return self.debug_log.read_text(errors="replace").count(f"ThreadRPCServer method={method} ")


@dataclass
class LitecoinPair:
    """Two daemons to mine with, and a third that connects both: either has a peer, without which there are no
    templates, while the other is away."""

    first: RealNode
    second: RealNode
    between: RealNode

    def stop(self) -> None:
        for node in (self.between, self.first, self.second):
            node.stop()


def start_litecoind(directory: Path, *options: str) -> RealNode:
    """litecoind 0.21 (scrypt, segwit at once, MWEB from 432) at height 1, and a second one beside it, because it gives
    no template without a peer. `options` are further ones of its command line."""
    port, rpc_port, peer_port, peer_rpc_port = free_ports(4)
    node = _litecoin_node("litecoind", rpc_port)
    try:
        _start(node, [*_litecoind(node, directory, "node", port, rpc_port), *options], directory)
        peer = _litecoind(node, directory, "peer", peer_port, peer_rpc_port)
        _start(node, [*peer, "-disablewallet=1", f"-connect=127.0.0.1:{port}"], directory)
        _wait(node, directory, lambda: node.call("getconnectioncount") > 0)
        node.generate(1)
    except BaseException:
        node.stop()
        raise
    return node


def start_litecoin_pair(directory: Path) -> LitecoinPair:
    """Two litecoinds at height 1 that see each other's blocks and write down which calls they take."""
    ports, rpc_ports = free_ports(3), free_ports(3)
    names = ("first", "second", "between")
    nodes = [_litecoin_node(name, port) for name, port in zip(names, rpc_ports, strict=True)]
    pair = LitecoinPair(*nodes)
    connect = [f"-connect=127.0.0.1:{port}" for port in ports[:2]]
    try:
        for node, port, rpc_port in zip(nodes, ports, rpc_ports, strict=True):
            command = [*_litecoind(node, directory, node.name, port, rpc_port), "-disablewallet=1", "-debug=rpc"]
            _start(node, command + (connect if node is pair.between else []), directory)
            node.debug_log = directory / node.name / "regtest" / "debug.log"
        _wait(pair.between, directory, lambda: pair.between.call("getconnectioncount") == 2)
        (hash_hex,) = pair.first.generate(1)
        block = pair.first.call("getblock", hash_hex, 0)
        for node in (pair.between, pair.second):  # which may not ask each other before they have a recent block
            node.call("submitblock", block)
            assert node.call("getbestblockhash") == hash_hex
    except BaseException:
        pair.stop()
        raise
    return pair


def start_bcoin(directory: Path, *, segwit: bool = True) -> RealNode:
    """bcoin 1.0.2 (sha256d, BIP34 on, Core's address prefixes), in memory, at height 432 (segwit is active) or 1."""
    program = shutil.which("node")
    installed = (BCOIN / "node_modules" / "bcoin").is_dir()
    assert program is not None and installed, "bcoin is not installed: run `sh tests/install-parts.sh`"
    (port,) = free_ports(1)
    password = secrets.token_hex(8)
    node = RealNode("bcoin", f"http://127.0.0.1:{port}/", "u", password, network("bitcoin", "regtest"))
    try:
        _start(node, [program, str(BCOIN / "node.js"), str(port), password], directory)
        _wait(node, directory, lambda: node.call("getblockcount") == 0)
        node.generate(SEGWIT_HEIGHT if segwit else 1)
    except BaseException:
        node.stop()
        raise
    return node


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on right now."""
    return [free_port() for _ in range(count)]


def _litecoin_node(name: str, rpc_port: int) -> RealNode:
    url, password = f"http://127.0.0.1:{rpc_port}/", secrets.token_hex(8)
    return RealNode(name, url, "u", password, network("litecoin", "regtest"))


def _litecoind(node: RealNode, directory: Path, name: str, port: int, rpc_port: int) -> list[str]:
    """The command line of a daemon with its data in a folder of that name."""
    program = shutil.which("litecoind", path="/usr/lib/litecoin") or shutil.which("litecoind")
    assert program is not None, "litecoind is not installed: run `sh tests/install-parts.sh`"
    (directory / name).mkdir(parents=True)
    command = [program, "-regtest", "-server=1", "-dnsseed=0", "-upnp=0", "-discover=0", "-listenonion=0"]
    command += ["-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1", "-rpcuser=u", f"-rpcpassword={node.password}"]
    command += ["-fallbackfee=0.001", "-dbcache=16", "-printtoconsole=0", f"-datadir={directory / name}"]
    return [*command, f"-bind=127.0.0.1:{port}", f"-rpcport={rpc_port}"]


def _start(node: RealNode, command: list[str], directory: Path) -> None:
    """As a child that ends with the test run, however that ends."""
    node.launches.append((command, directory))
    node.processes.append(Child(node.name, command, directory / "output.txt"))


def _wait(node: RealNode, directory: Path, ready: Any) -> None:
    deadline_s = time.monotonic() + START_S
    while True:
        try:
            if ready():
                return
            reason: object = "not ready"
        except (OSError, http.client.HTTPException, ValueError, RpcFailure) as error:
            reason = error
        ended = [process.process.args for process in node.processes if process.exit_code() is not None]
        if ended or time.monotonic() > deadline_s:
            output = (directory / "output.txt").read_text(errors="replace")[-2000:]
            raise AssertionError(f"{node.name} did not start ({reason}; ended: {ended}): {output}")
        time.sleep(0.1)
