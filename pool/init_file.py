"""The file that `pool init` writes: what is known of chains that can be mined together, and a commented configuration
made of a few answers. Pure: questions are asked in pool/cli/init.py.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KnownChain:
    """What a chain's section needs. Ports and folders are the daemon's own (chainparamsbase.cpp) by network, but where
    two daemons of one machine would meet. `own` are the lines of its kind; `payouts` those of a section of that name
    with a comment, amounts in smallest units; `options` are for the daemon's own file.
    """

    name: str
    kind: str
    pow_name: str
    daemon: str
    ports: Mapping[str, int]
    folders: Mapping[str, str]
    payouts: tuple[tuple[str, str], ...]
    own: tuple[str, ...] = ()
    options: str = "server=1"


def _folders(test: str) -> dict[str, str]:
    return {"main": "", "test": f"{test}/", "regtest": "regtest/"}


_CHAINS = (
    KnownChain(
        "bitcoin", "bitcoin", "sha256d", "bitcoind", {"main": 8332, "test": 18332, "regtest": 18443},
        _folders("testnet3"), (("minimum_payout: 100000", "0.001 BTC"),),
        options="server=1, rpcthreads=16, rpccookieperms=group",
    ),
    KnownChain(
        "litecoin", "bitcoin", "scrypt", "litecoind", {"main": 9332, "test": 19332, "regtest": 19443},
        _folders("testnet4"), (("minimum_payout: 1000000", "0.01 LTC"),),
        options="server=1, rpcthreads=16",
    ),
    KnownChain(
        "namecoin", "auxpow", "sha256d", "namecoind", {"main": 8336, "test": 18336, "regtest": 18543},
        _folders("testnet3"), (("minimum_payout: 10000000", "0.1 NMC"),), ("chain_id: 1",),
        options="server=1, rpccookieperms=group",
    ),
    KnownChain(
        "dogecoin", "auxpow", "scrypt", "dogecoind", {"main": 22555, "test": 44555, "regtest": 18332},
        _folders("testnet3"),
        (
            ("minimum_payout: 1000000000", "10 DOGE"),
            ("min_fee_rate: 1000000", "Dogecoin's fees are higher than Bitcoin's"),
            ("max_fee_rate: 5000000", ""),
        ),
        ("dialect: dogecoin", "chain_id: 98"),
    ),
)  # fmt: skip
CHAINS: dict[str, KnownChain] = {chain.name: chain for chain in _CHAINS}
PARENTS: tuple[str, ...] = tuple(chain.name for chain in _CHAINS if chain.kind == "bitcoin")
NETWORKS = ("main", "test", "regtest")
SCHEMES = ("pplns", "solo")

DIFFICULTIES: dict[tuple[str, str], tuple[str, str, str]] = {
    ("sha256d", "main"): ("8192", "64", "for machines of some TH/s; vardiff finds each one's own within minutes"),
    ("scrypt", "main"): ("16384", "64", "for machines of some 100 MH/s; vardiff finds each one's own within minutes"),
    ("sha256d", "regtest"): ("0.0001", "0.000001", "for a processor"),
    ("scrypt", "regtest"): ("0.0001", "0.000001", "for a processor"),
}
"""Start, minimum, for whom; test networks as main."""


def aux_of(parent: str) -> tuple[str, ...]:
    """The known chains that can be mined along with a parent: those of its proof of work."""
    pow_name = CHAINS[parent].pow_name
    return tuple(chain.name for chain in _CHAINS if chain.kind != "bitcoin" and chain.pow_name == pow_name)


def default_url(chain: str, network: str) -> str:
    return f"http://127.0.0.1:{CHAINS[chain].ports[network]}"


def default_cookie(chain: str, network: str) -> str:
    known = CHAINS[chain]
    return f"/var/lib/{known.daemon}/{known.folders[network]}.cookie"


def placeholder(chain: str) -> str:
    return f"YOUR-{chain.upper()}-ADDRESS"


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered; `urls` and `cookies` only where they are not the defaults."""

    parent: str
    aux: tuple[str, ...]
    network: str = "main"
    addresses: Mapping[str, str] = field(default_factory=dict)
    urls: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    payouts: bool = False
    scheme: str = "pplns"
    data_dir: str = "/var/lib/parapool"


def rendered(answers: Answers, name: str = "pool.yaml") -> str:
    """The configuration, `name` being the file's in its own instructions."""
    chains = (answers.parent, *answers.aux)
    lines = [*_head(answers, chains, name), *_pool(answers), *_ports(answers), "chains:"]
    for chain in chains:
        lines += [*_chain(answers, chain), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


_PORTS_OF = {
    "main": "rpcport=",
    "test": "testnet=1, and in its section [test] rpcport=",
    "regtest": "regtest=1, and in its section [regtest] rpcport=",
}
"""How a daemon's file says its port: since 0.17 a network's own settings stand in its section."""


def _head(answers: Answers, chains: tuple[str, ...], name: str) -> list[str]:
    aux = ", ".join(answers.aux)
    with_aux = f", {aux} merged-mined along" if aux else ", alone"
    solo = " Each miner keeps the blocks it finds." if answers.scheme == "solo" else ""
    on = {"main": "", "test": " on the test network", "regtest": " on regtest"}[answers.network]
    lines = [f"# {answers.parent.capitalize()}{with_aux}{on}.{solo}", "#", "# 1. The nodes, in each one's own file:"]
    for chain in chains:
        known = CHAINS[chain]
        port = f"{_PORTS_OF[answers.network]}{known.ports[answers.network]}"
        lines.append(f"#      {known.daemon}: {known.options}, {port}")
    own = "" if all(chain in answers.addresses for chain in chains) else "Put your own addresses in. "
    lines += [
        "#    The pool's user must be able to read their .cookie files (put it into their groups); if it cannot, give",
        "#    the node rpcauth, and the pool user and password_file instead of cookie_file.",
        f"# 2. {own}`pool check-config -c {name}` names every mistake in this file.",
        f"# 3. `pool doctor -c {name}` looks at nodes and wallets, and tries the job that miners would get.",
        f"# 4. `pool run -c {name}`",
        "# Every key: docs/reference/configuration.md",
    ]
    return lines


def _pool(answers: Answers) -> list[str]:
    return [
        "pool:",
        said("  name: parapool", "in logs, books and on the page: keep it for the life of data_dir"),
        f"  data_dir: {quoted(answers.data_dir)}",
        said("  fee_ppm: 10000", "the pool's fee, 1 %"),
        said("  tag: /parapool/", "stands in every block you find"),
        "",
    ]


def _ports(answers: Answers) -> list[str]:
    network = "regtest" if answers.network == "regtest" else "main"
    start, minimum, whom = DIFFICULTIES[CHAINS[answers.parent].pow_name, network]
    return [
        "stratum:",
        "  ports:",
        said("    - bind: 0.0.0.0:3333", "where miners connect"),
        said(f"      start_difficulty: {start}", whom),
        f"      minimum_difficulty: {minimum}",
        "      maximum_difficulty: 1073741824",
        "",
        "http:",
        said("  bind: 127.0.0.1:8080", "page, API, metrics; put a TLS proxy in front before the world sees it"),
        "",
        f"parent: {answers.parent}",
    ]


def _chain(answers: Answers, name: str) -> list[str]:
    known = CHAINS[name]
    url = answers.urls.get(name, default_url(name, answers.network))
    cookie = answers.cookies.get(name, default_cookie(name, answers.network))
    lines = [
        f"  {name}:",
        f"    kind: {known.kind}",
        f"    family: {name}",
        f"    network: {answers.network}",
        *(f"    {line}" for line in known.own),
        said(f"    address: {quoted(answers.addresses.get(name, placeholder(name)))}", "earns this chain's rewards"),
        "    nodes:",
        f"      - url: {quoted(url)}",
        said(f"        cookie_file: {quoted(cookie)}", "or user and password_file"),
    ]
    if known.kind == "bitcoin":
        lines.append(said("        # zmq_hashblock: tcp://127.0.0.1:28332", "with the node's zmqpubhashblock: sooner"))
        lines.append("      # a second node takes over when the first is away, and every block goes to both")
    if answers.scheme != "pplns":
        lines.append(f"    scheme: {answers.scheme}")
    if answers.payouts:
        lines += [
            said("    payouts:", "the node's wallet must have the key of the address"),
            *(said(f"      {text}", comment) for text, comment in known.payouts),
            said("      interval_s: 86400", "once a day"),
            said(f"      # passphrase_file: /etc/parapool/{name}.passphrase", "when the wallet is encrypted"),
        ]
    return lines


def said(text: str, comment: str) -> str:
    return f"{text:<40}# {comment}" if comment and len(text) < 40 else f"{text}   # {comment}" if comment else text


_PLAIN = frozenset(string.ascii_letters + string.digits + "-_./")


def quoted(text: str) -> str:
    """A YAML scalar that is text, whatever is in it."""
    plain = text[:1].isalpha() or text[:1] == "/"
    if plain and set(text) <= _PLAIN and text.lower() not in ("true", "false", "null", "yes", "no", "on", "off"):
        return text
    return json.dumps(text, ensure_ascii=False)
