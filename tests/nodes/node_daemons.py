"""Real chain daemons for tests: litecoind from Debian and bcoin from npm, on regtest, each in a directory of its own.

`start_litecoind(directory)` and `start_bcoin(directory)` return a RealNode that answers RPC and gives templates;
`stop()` ends what was started, by process id. A part that is not installed is a failure that names the command to
install it.
"""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from chains.families import network
from chains.kind import Network
from chains.node_rpc import JsonRpc
from chains.primitives.address import script_to_address

BCOIN = Path(__file__).parent / ".bcoin"
STRATUM_CLIENT = BCOIN / "stratum-client"
START_S = 30.0
STOP_S = 10.0
PAYOUT_SCRIPT = bytes.fromhex("0014") + bytes(range(20))
SEGWIT_HEIGHT = 432  # bcoin's regtest activates segwit there


class RpcFailure(Exception):
    """A JSON-RPC error object."""


@dataclass
class RealNode:
    """A running daemon. `url`, `user` and `password` are what a pool's configuration needs, `address` is where it may
    pay (nobody holds its key), `network` the data of chains.families."""

    name: str
    url: str
    user: str
    password: str
    network: Network
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        address = script_to_address(PAYOUT_SCRIPT, self.network.addresses)
        assert address is not None
        return address

    def client(self, *, timeout_s: float = 10.0) -> JsonRpc:
        return JsonRpc(self.url, user=self.user, password=self.password, timeout_s=timeout_s, name=self.name)

    def call(self, method: str, *params: Any) -> Any:
        """A blocking call, for a test's own preparations; amounts as Decimal."""
        port = int(self.url.rsplit(":", 1)[1].rstrip("/"))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
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
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_S)
        self.processes.clear()


def start_litecoind(directory: Path) -> RealNode:
    """litecoind 0.21 (scrypt, segwit at once, MWEB from 432) at height 1, and a second one beside it, because it gives
    no template without a peer."""
    program = shutil.which("litecoind", path="/usr/lib/litecoin") or shutil.which("litecoind")
    assert program is not None, "litecoind is not installed: run `sh tests/install-parts.sh`"
    port, rpc_port, peer_port, peer_rpc_port = free_ports(4)
    password = secrets.token_hex(8)
    node = RealNode("litecoind", f"http://127.0.0.1:{rpc_port}/", "u", password, network("litecoin", "regtest"))
    common = [program, "-regtest", "-server=1", "-dnsseed=0", "-upnp=0", "-discover=0", "-listenonion=0"]
    common += ["-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1", "-rpcuser=u", f"-rpcpassword={password}"]
    common += ["-fallbackfee=0.001", "-dbcache=16", "-printtoconsole=0"]
    try:
        _start(node, [*common, *_in(directory, "node"), f"-bind=127.0.0.1:{port}", f"-rpcport={rpc_port}"], directory)
        peer = [*common, *_in(directory, "peer"), f"-bind=127.0.0.1:{peer_port}", f"-rpcport={peer_rpc_port}"]
        _start(node, [*peer, "-disablewallet=1", f"-connect=127.0.0.1:{port}"], directory)
        _wait(node, directory, lambda: node.call("getconnectioncount") > 0)
        node.generate(1)
    except BaseException:
        node.stop()
        raise
    return node


def start_bcoin(directory: Path, *, segwit: bool = True) -> RealNode:
    """bcoin 1.0.2 (sha256d, BIP34 on, Core's address prefixes), in memory, at height 432 (segwit is active) or 1."""
    program = shutil.which("node")
    installed = (BCOIN / "node_modules" / "bcoin").is_dir()
    assert program is not None and installed, "bcoin is not installed: run `sh tests/install-parts.sh`"
    (port,) = free_ports(1)
    password = secrets.token_hex(8)
    node = RealNode("bcoin", f"http://127.0.0.1:{port}/", "u", password, network("bitcoin", "regtest"))
    try:
        _start(node, [program, "node.js", str(port), password], directory, BCOIN)
        _wait(node, directory, lambda: node.call("getblockcount") == 0)
        node.generate(SEGWIT_HEIGHT if segwit else 1)
    except BaseException:
        node.stop()
        raise
    return node


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on right now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _in(directory: Path, name: str) -> list[str]:
    (directory / name).mkdir(parents=True)
    return [f"-datadir={directory / name}"]


def _start(node: RealNode, command: list[str], directory: Path, working: Path | None = None) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "output.txt").open("ab") as output:
        node.processes.append(
            subprocess.Popen(command, cwd=working or directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        )


def _wait(node: RealNode, directory: Path, ready: Any) -> None:
    deadline_s = time.monotonic() + START_S
    while True:
        try:
            if ready():
                return
            reason: object = "not ready"
        except (OSError, http.client.HTTPException, ValueError, RpcFailure) as error:
            reason = error
        ended = [process.args for process in node.processes if process.poll() is not None]
        if ended or time.monotonic() > deadline_s:
            output = (directory / "output.txt").read_text(errors="replace")[-2000:]
            raise AssertionError(f"{node.name} did not start ({reason}; ended: {ended}): {output}")
        time.sleep(0.1)
