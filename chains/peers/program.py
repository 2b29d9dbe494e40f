"""A node as a program: key, store, process, calls and signals around whatever core it is given.

In the data folder, which belongs to one process: `node.key` (made at the first start), `records.db`, `.cookie` (user
and password for this machine's callers, new at each start, removed at its end).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chains.calls.server import CallServer, CallSettings
from chains.calls.table import Call, CallTable
from chains.peers.core import NodeCore
from chains.peers.hub import PeerLimits
from chains.peers.peer_calls import PEER_CALLS
from chains.peers.process import NodeProcess, ProcessSettings, RefusedError
from chains.peers.sources import ConfiguredPeers
from chains.signer.keys import KeyFileError, create_key, read_key
from chains.store.store import Store, StoreError, StoreFailedError

log = logging.getLogger("parapool.node")

KEY_NAME = "node.key"
COOKIE_NAME = ".cookie"


@dataclass(frozen=True, slots=True)
class NodeParts:
    """What a kind gives: its core, its calls, and the exceptions (with `code` and `reason`) that its calls raise."""

    core: NodeCore
    calls: Sequence[Call] = ()
    refusals: tuple[type[Exception], ...] = ()


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """How a node runs. Port 0 lets the system choose; `port` None listens nowhere. `login` is user:password, besides
    the cookie."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int | None = 0
    peers: tuple[str, ...] = ()
    rpc_host: str = "127.0.0.1"
    rpc_port: int = 0
    login: str | None = None
    open_reads: bool = False
    limits: PeerLimits = field(default_factory=PeerLimits)


def run_node(parts: NodeParts, options: NodeOptions) -> int:
    """Run until SIGINT, SIGTERM or the call `stop`. Prints `READY pid=… port=… rpc=… key=…` when it answers. The exit
    code: 0 after an orderly end, 1 when something it needs cannot be used, or broke."""
    if "twisted.internet.reactor" in sys.modules:
        raise RuntimeError("a reactor is installed already")
    from twisted.internet import asyncioreactor

    # Python's own loop: uvloop stops watching a socket that has data and an error at once, and nobody hears of its end.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    asyncioreactor.install(loop)
    from twisted.internet import reactor as installed

    reactor: Any = installed
    reactor.startRunning(installSignalHandlers=False)
    try:
        return loop.run_until_complete(_run(parts, options, reactor))
    finally:
        reactor.fireSystemEvent("shutdown")
        loop.stop()
        loop.run_forever()  # a last turn
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _run(parts: NodeParts, options: NodeOptions, reactor: Any) -> int:
    try:
        store = Store(options.data_dir, parts.core.network + parts.core.genesis)
    except StoreError as error:
        return _complain(error)
    try:
        return await _run_on(store, parts, options, reactor)
    except (KeyFileError, StoreFailedError, OSError) as error:
        return _complain(error)
    finally:
        store.close()


async def _run_on(store: Store, parts: NodeParts, options: NodeOptions, reactor: Any) -> int:
    key_path = options.data_dir / KEY_NAME
    secret = read_key(key_path) if key_path.exists() else create_key(key_path)
    settings = ProcessSettings(options.host, options.port, (ConfiguredPeers(options.peers),), options.limits)
    node = NodeProcess(parts.core, store, secret, settings, reactor)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.stop)
    server: CallServer | None = None
    cookie = write_cookie(options.data_dir)
    try:
        node.start()
        logins = (cookie,) if options.login is None else (cookie, options.login)
        call_settings = CallSettings(options.rpc_host, options.rpc_port, logins, options.open_reads)
        table = CallTable((*PEER_CALLS, *parts.calls))
        server = CallServer(table, node, (RefusedError, *parts.refusals), call_settings)
        try:
            rpc_port = await server.start()
        except OSError as error:
            raise OSError(f"cannot listen on {options.rpc_host}:{options.rpc_port}: {error.strerror}") from error
        if not node.failed:
            print(
                f"READY pid={os.getpid()} port={node.port} rpc={rpc_port} key={node.node_key.hex()}", flush=True
            )  # fmt: skip
        await node.stopped.wait()
    finally:
        node.stop()
        if server is not None:
            await server.close()
        await asyncio.sleep(0.05)  # for the last words on the wires
        with contextlib.suppress(FileNotFoundError):
            (options.data_dir / COOKIE_NAME).unlink()
    return 1 if node.failed else 0


def write_cookie(directory: Path) -> str:
    """A new password for this run, readable by the owner alone; as user:password."""
    cookie = f"__cookie__:{secrets.token_hex(32)}"
    path = directory / COOKIE_NAME
    fresh = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(cookie)
    fresh.rename(path)
    return cookie


def _complain(error: Exception) -> int:
    print(f"node: {error}", file=sys.stderr, flush=True)
    return 1
