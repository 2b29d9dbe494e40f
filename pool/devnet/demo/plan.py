"""What the demo starts, from the configuration: command lines, ports, and the login of its own miner."""

from __future__ import annotations

import errno
import hashlib
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from chains.families import network
from chains.primitives.address import script_to_address
from pool.config.configuration import Config
from pool.devnet.demo.children import pool_command

# Nobody's key: the demo's coins are worth nothing and are never spent.
MINER_KEY_HASH = hashlib.sha256(b"parapool demo miner").digest()[:20]
# Different targets, so that one sees hashes that solve some chains and not others.
BLOCK_INTERVALS_S = (8, 4, 5, 6, 7)


@dataclass(frozen=True, slots=True)
class Port:
    """A port that something will listen on, and how to choose another."""

    host: str
    number: int
    purpose: str
    remedy: str


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """`config` is the file with `overrides` (by dotted key, as `--set` has them) laid over it; children get both."""

    config_path: str
    config: Config
    overrides: dict[str, str]

    @property
    def data_dir(self) -> Path:
        return self.config.pool.data_dir

    @property
    def algorithm(self) -> str:
        chain = self.config.parent_chain
        return network(chain.family, chain.network).pow_hash

    @property
    def stratum_address(self) -> tuple[str, int]:
        return self.config.stratum.ports[0].address

    @property
    def stratum_url(self) -> str:
        return f"stratum+tcp://{_url_host(*self.stratum_address)}"

    @property
    def http_url(self) -> str:
        return f"http://{_url_host(*self.config.http.address)}"

    @property
    def miner_address(self) -> str:
        """An address on the parent, of a key hash, so that `same` gives every other chain one of the same key."""
        chain = self.config.parent_chain
        form = network(chain.family, chain.network).addresses
        script = b"\x00\x14" + MINER_KEY_HASH
        if form.bech32_hrp is None:
            script = b"\x76\xa9\x14" + MINER_KEY_HASH + b"\x88\xac"
        address = script_to_address(script, form)
        assert address is not None, "a key-hash script has an address on every network"
        return address

    def login(self, worker: str) -> str:
        """A login that is credited on every chain."""
        return "+".join((self.miner_address, *(f"{name}=same" for name in self.config.aux_chains))) + f".{worker}"

    @property
    def node_names(self) -> list[str]:
        """The chains that a node is started for: chains with one address have one node."""
        seen: dict[str, str] = {}
        for name, chain in self.config.chains.items():
            seen.setdefault(chain.nodes[0].url, name)
        return list(seen.values())

    def node_rpc_port(self, name: str) -> int:
        url = urlsplit(self.config.chains[name].nodes[0].url)
        return url.port or (443 if url.scheme == "https" else 80)

    def ports(self) -> list[Port]:
        """Every port that will be listened on, in the order of the start."""
        ports = []
        for name in self.node_names:
            chain = self.config.chains[name]
            host = urlsplit(chain.nodes[0].url).hostname or "127.0.0.1"
            remedy = f"is another demo running? Else change the url of {name} in {self.config_path}"
            ports.append(Port(host, self.node_rpc_port(name), f"the RPC of node {name}", remedy))
        ports.append(Port(*self.stratum_address, "Stratum", "choose another with STRATUM_PORT=… make demo"))
        ports.append(Port(*self.config.http.address, "HTTP", "choose another with HTTP_PORT=… make demo"))
        return ports

    def node_command(self, name: str) -> list[str]:
        place = list(self.config.chains).index(name)
        interval_s = BLOCK_INTERVALS_S[place % len(BLOCK_INTERVALS_S)]
        return pool_command(
            "devnet", "node", name, "-c", self.config_path, "--block-interval-s", str(interval_s), *self._set_options()
        )

    def pool_command(self) -> list[str]:
        return pool_command("run", "-c", self.config_path, *self._set_options())

    def miner_command(self) -> list[str]:
        # One thread: the machine also runs the nodes and the pool.
        return pool_command(
            "mine", self.stratum_url, "-u", self.login("demo"), "-p", "x",
            "--algorithm", self.algorithm, "--threads", "1",
        )

    def _set_options(self) -> list[str]:
        return [word for key, value in self.overrides.items() for word in ("--set", f"{key}={value}")]


def port_problems(ports: list[Port]) -> list[str]:
    """A sentence for each port that cannot be had; empty when all can."""
    problems = []
    purposes: dict[tuple[str, int], str] = {}
    for port in ports:
        earlier = purposes.setdefault((port.host, port.number), port.purpose)
        if earlier != port.purpose:
            problems.append(f"port {port.number} is wanted by both {earlier} and {port.purpose}; {port.remedy}")
            continue
        why = _cannot_bind(port.host, port.number)
        if why is not None:
            problems.append(f"port {port.number} for {port.purpose} {why}; {port.remedy}")
    return problems


def _cannot_bind(host: str, number: int) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no obstacle
        try:
            probe.bind((host, number))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is in use already"
            return f"cannot be opened on {host} ({error.strerror or error})"
    return None


def _url_host(host: str, port: int) -> str:
    """How this machine reaches what listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
