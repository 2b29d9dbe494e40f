"""What the pool needs on its own machine: a data folder it may write, room on the disk, and its ports.

Nothing is made, written or locked here: rights are asked of the system, and a port is tried without listening on it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from pool.config.configuration import Config
from pool.config.ports import TlsSection
from pool.config.values import parse_bind
from pool.doctor.finding import Finding, good, note, unchecked, wrong
from stratum.tls import Certificate

POOL = "pool"
PORT_S = 3.0
DISK_WRONG_BYTES = 2**30
DISK_NOTE_BYTES = 10 * 2**30
"""A pool of 10,000 shares a minute writes some 2 GB a day into its share log, which is kept for a day and longer while
the database is away."""

DAY_S = 86_400
CERTIFICATE_NOTE_DAYS = 14
"""From here on the alert CertificateEnds tells it, too."""

FEW_FILES = 10_000
KEPT = ("lock", "name", "pool.sqlite", "shares", "solutions", "payouts")
"""What a pool keeps in its data folder (docs/start.md, section 5)."""


def folder_findings(config: Config) -> list[Finding]:
    """Data folder and disk."""
    folder = config.pool.data_dir.absolute()
    return [_folder(config, folder), _disk(folder)]


def _folder(config: Config, folder: Path) -> Finding:
    check, user = "data folder", f"user {os.geteuid()}"
    if not folder.exists():
        above = _nearest(folder)
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            remedy = f"Make {folder} and give it to the pool's user, or set pool.data_dir."
            return wrong(POOL, check, f"{folder} is not there and {above} cannot be written by {user}", remedy)
        return good(POOL, check, f"{folder} will be made at the first start")
    if not folder.is_dir():
        return wrong(POOL, check, f"{folder} is no folder", "Set pool.data_dir to a folder.")
    closed = [path for path in (folder, *_kept(folder)) if not os.access(path, _needed(path))]
    if closed:
        remedy = f"chown -R the pool's user {folder} (did root start the pool once?), or mount it writable."
        return wrong(POOL, check, f"{', '.join(map(str, closed[:3]))} cannot be written by {user}", remedy)
    name = folder / "name"
    if name.exists():
        before = name.read_text("utf-8", "replace").rstrip("\n")
        if before != config.pool.log_name:
            remedy = f"Set pool.name back to {before!a}, or give {config.pool.log_name!r} a data_dir of its own."
            return wrong(POOL, check, f"{folder} belongs to the pool {before!a}", remedy)
    return good(POOL, check, str(folder))


def _needed(path: Path) -> int:
    return os.R_OK | os.W_OK | os.X_OK if path.is_dir() else os.R_OK | os.W_OK


def _kept(folder: Path) -> Iterator[Path]:
    if os.access(folder, os.X_OK):
        yield from (path for path in (folder / name for name in KEPT) if path.exists())


def _nearest(path: Path) -> Path:
    return next(above for above in path.parents if above.exists())


def _disk(folder: Path) -> Finding:
    check, place = "disk", folder if folder.exists() else _nearest(folder)
    free = shutil.disk_usage(place).free
    words = f"{free / 2**30:.1f} GiB free at {place}"
    remedy = "Make room: without any the share log cannot be written, and then the pool stops."
    if free < DISK_WRONG_BYTES:
        return wrong(POOL, check, words, remedy)
    files = os.statvfs(place)
    if files.f_files and files.f_favail < FEW_FILES:
        return wrong(POOL, check, f"{files.f_favail} files (inodes) left at {place}", remedy)
    return note(POOL, check, words, remedy) if free < DISK_NOTE_BYTES else good(POOL, check, words)


def certificate_findings(config: Config) -> list[Finding]:
    """Of each port with TLS: whether its certificate can be used, and for how long."""
    return [_certificate(port.bind, port.tls) for port in config.stratum.ports if port.tls is not None]


def _certificate(bind: str, tls: TlsSection) -> Finding:
    check = f"certificate {bind}"
    try:
        end_s = Certificate(tls.certificate_file, tls.key_file).end_s
    except OSError as error:
        remedy = f"Put a certificate and its own key into {tls.certificate_file} and {tls.key_file}."
        return wrong(POOL, check, f"it cannot be used: {error.strerror or error}", remedy)
    if end_s is None:
        return unchecked(POOL, check, "its end cannot be read")
    days = (end_s - time.time()) / DAY_S
    words = f"until {datetime.fromtimestamp(end_s, UTC):%Y-%m-%d %H:%M} UTC"
    if days < 0:
        return wrong(POOL, check, f"{words}: it has ended", "Renew it, and reload the pool.")
    if days < CERTIFICATE_NOTE_DAYS:
        return note(POOL, check, f"{words}, {days:.0f} days", "Renew it in time, and reload the pool then.")
    return good(POOL, check, words)


async def port_findings(config: Config) -> list[Finding]:
    """The ports that this process would open: free, or held by this very pool at work."""
    wanted = [("http.bind", config.http.bind)]
    if config.pool.serves:
        wanted += [(f"stratum.ports.{number}.bind", port.bind) for number, port in enumerate(config.stratum.ports)]
    taken = {key: await asyncio.to_thread(_refusal, *parse_bind(bind)) for key, bind in wanted}
    ours = await _own_ports(config) if taken["http.bind"] is not None else set()
    return [_port(key, bind, taken[key], bind in ours) for key, bind in wanted]


def _port(key: str, bind: str, refusal: OSError | None, ours: bool) -> Finding:
    check = f"port {bind}"
    if refusal is None:
        return good(POOL, check, "free")
    if ours:
        return good(POOL, check, "this pool is at work on it")
    words = refusal.strerror or str(refusal)
    if isinstance(refusal, PermissionError):
        return wrong(POOL, check, words, f"Set {key} to a port from 1024 on, or allow it (CAP_NET_BIND_SERVICE).")
    if refusal.errno in (None, _NO_SUCH_ADDRESS) or isinstance(refusal, socket.gaierror):
        return wrong(POOL, check, words, f"Set {key} to an address of this machine; 0.0.0.0 is all of them.")
    port = parse_bind(bind)[1]
    return wrong(POOL, check, words, f"End the program that has it (ss -ltnp sport = :{port}), or set {key}.")


_NO_SUCH_ADDRESS = 99  # EADDRNOTAVAIL on Linux


def _refusal(host: str, port: int) -> OSError | None:
    """Why the system does not give us the port, None when it does."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None


async def _own_ports(config: Config) -> set[str]:
    """The addresses that a pool of our name says it listens on, by the HTTP port it has."""
    host, port = config.http.address
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = f"http://{f'[{reached}]' if ':' in reached else reached}:{port}/api/v1/pool"
    try:
        async with asyncio.timeout(PORT_S), aiohttp.ClientSession() as session, session.get(url) as response:
            answer: Any = await response.json()
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
        return set()
    if not isinstance(answer, dict) or answer.get("name") != config.pool.name:
        return set()
    stratum = answer.get("stratum")
    listed = {str(url).removeprefix("stratum+tcp://") for url in stratum} if isinstance(stratum, list) else set()
    return {config.http.bind, *listed}
