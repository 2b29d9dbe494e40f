"""The configuration's rules about one chain, and about what chains may not share.

Like those in pool/config/checks.py they take what they can use of plain values that may be wrong in other ways: a wrong
network does not hide a wrong address. Every check returns (location, what was expected).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chains.accounts.wallet import address_format
from chains.auxpow.slots import never_distinct
from chains.families import FAMILIES, ConfigurationError, network
from chains.kind import Network
from chains.primitives.address import AddressError, address_to_script
from pool.config.chains import AUX_KINDS_EXPECTED, CHAIN_KINDS, network_name_of
from pool.config.lines import Location, dotted
from pool.config.parallel_chain import is_hrp
from pool.config.roles import role_in
from pool.config.secret_files import open_to_all
from pool.config.transport import follows_in

Mistake = tuple[Location, str]

NETWORK_NAMES = ("main", "test", "regtest")
MM2_KINDS = ("mm2", "bk")
"""Kinds whose chains share the MM2 tree."""
SHA256D_KINDS = ("bk", "parallel")
"""Kinds that take a SHA-256d header for their own proof of work, whatever their family is."""


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """What the checks may use of one chain. `kind` is None where the file has no usable one; `networks` are those that
    the chain may be on: one, unless family or network are wrong."""

    name: str
    values: Mapping[str, Any]
    kind: str | None
    networks: tuple[Network, ...]
    described: str

    @property
    def location(self) -> Location:
        return ("chains", self.name)

    @property
    def pow_hash(self) -> str | None:
        """The chain's proof of work, None while it may be one or another."""
        found = {network.pow_hash for network in self.networks}
        return found.pop() if len(found) == 1 else None


def chain_facts(values: Mapping[str, Any]) -> tuple[list[ChainFacts], list[Mistake]]:
    """What the file has of each chain, and the mistakes in what it calls their families and networks."""
    facts, found = [], []
    for name, chain in mapping_at(values, "chains").items():
        if isinstance(chain, Mapping):
            its_facts, problem = _facts(name, chain)
            facts.append(_with_own_prefix(its_facts))
            if problem is not None:
                found.append(problem)
    return facts, found


def _with_own_prefix(facts: ChainFacts) -> ChainFacts:
    """A chain under consensus proofs may have a prefix of addresses of its own."""
    hrp = facts.values.get("hrp")
    if facts.kind != "parallel" or not is_hrp(hrp):
        return facts
    networks = tuple(replace(one, addresses=address_format(str(hrp))) for one in facts.networks)
    return replace(facts, networks=networks, described=f"{facts.described} with prefix {hrp}")


def chain_mistakes(values: Mapping[str, Any], chains: list[ChainFacts]) -> Iterator[Mistake]:
    """All mistakes in the chains as a whole."""
    yield from _parent(values, chains)
    follows = follows_in(values)
    for chain in chains:
        yield from _address(chain)
        if not chain.values.get("nodes", ()) and not follows:
            yield (*chain.location, "nodes"), "expected at least 1 of them"
        yield from _logins(chain, reads_secrets=role_in(values) != "web" and not follows)
    yield from _urls(chains)
    yield from _clashes(chains)


def mapping_at(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The mapping under a key; an empty one where there is something else."""
    value = values.get(key)
    return value if isinstance(value, Mapping) else {}


def members_at(values: Mapping[str, Any], key: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The mappings in the list under a key, with their places in it."""
    members = values.get(key)
    for place, member in enumerate(members if isinstance(members, list) else []):
        if isinstance(member, Mapping):
            yield place, member


def _facts(name: str, chain: Mapping[str, Any]) -> tuple[ChainFacts, Mistake | None]:
    """A chain's kind and networks, and the mistake when there is no such one."""
    kind = chain.get("kind")
    if not isinstance(kind, str) or kind not in CHAIN_KINDS:
        return ChainFacts(name, chain, None, _all_networks(), "a known family"), None
    default_family = CHAIN_KINDS[kind].model_fields["family"].default
    family = chain.get("family", default_family)
    if not isinstance(family, str) or family not in FAMILIES:
        problem = None
        if isinstance(family, str):
            problem = (("chains", name, "family"), f"expected another one: {_refusal(family, 'main')}")
        return ChainFacts(name, chain, kind, _all_networks(), "a known family"), problem
    network_name = network_name_of(chain, default_family)
    if isinstance(network_name, str) and network_name in FAMILIES[family]:
        its_network = FAMILIES[family][network_name]
        return ChainFacts(name, chain, kind, (its_network,), f"{family} {network_name}"), None
    problem = None
    if network_name in NETWORK_NAMES:  # any other word is told as a mistake of that key alone
        problem = (("chains", name, "network"), f"expected another one: {_refusal(family, network_name)}")
    described = f"{family} {' or '.join(FAMILIES[family])}"
    return ChainFacts(name, chain, kind, tuple(FAMILIES[family].values()), described), problem


def _all_networks() -> tuple[Network, ...]:
    return tuple(its_network for networks in FAMILIES.values() for its_network in networks.values())


def _refusal(family: str, network_name: str) -> str:
    try:
        network(family, network_name)
    except ConfigurationError as error:
        return str(error)
    raise AssertionError(f"{family} {network_name} exists")


def _parent(values: Mapping[str, Any], chains: list[ChainFacts]) -> Iterator[Mistake]:
    """The parent exists and is the one chain of kind bitcoin; every other chain shares its proof of work."""
    name = values.get("parent")
    parent = next((chain for chain in chains if chain.name == name), None)
    if isinstance(name, str) and parent is None and name not in mapping_at(values, "chains"):
        names = ", ".join(chain.name for chain in chains if chain.kind == "bitcoin")
        yield (
            ("parent",),
            f"expected one of the chains of kind bitcoin: {names}"
            if names
            else ("expected the name of a chain below chains, of kind bitcoin"),
        )
    if parent is None:
        return
    if parent.kind not in (None, "bitcoin"):
        yield ("parent",), f"expected a chain of kind bitcoin, {name} is of kind {parent.kind}"
    for chain in chains:
        if chain is parent:
            continue
        if chain.kind == "bitcoin" and parent.kind == "bitcoin":
            yield (*chain.location, "kind"), f"expected {AUX_KINDS_EXPECTED}: a pool has one parent, and that is {name}"
        # An MM2 chain takes the proof of work of any parent header (reading R13), so its family says nothing of it.
        elif chain.kind == "auxpow" and parent.kind is not None:
            wanted, own = parent.pow_hash, chain.pow_hash
            if wanted is not None and own is not None and own != wanted:
                place = "family" if "family" in chain.values else "kind"
                yield (*chain.location, place), f"expected a chain with the parent's proof of work {wanted}, not {own}"
        elif chain.kind in SHA256D_KINDS and parent.pow_hash not in (None, "sha256d"):
            yield (
                (*chain.location, "kind"),
                f"expected a parent with proof of work sha256d for kind {chain.kind}, {name} has {parent.pow_hash}",
            )


def _address(chain: ChainFacts) -> Iterator[Mistake]:
    """The addresses are of the chain's network, or of any that the chain may be on."""
    yield from _one_address(chain, chain.values.get("address"), ("address",))
    former = chain.values.get("former_addresses")
    for number, address in enumerate(former if isinstance(former, list) else ()):
        yield from _one_address(chain, address, ("former_addresses", number))


def _one_address(chain: ChainFacts, address: object, key: Location) -> Iterator[Mistake]:
    if not isinstance(address, str):
        return
    refusals = []
    for its_network in chain.networks:
        try:
            address_to_script(address, its_network.addresses)
        except AddressError as error:
            refusals.append(str(error))
        else:
            return
    why = f": {refusals[0]}" if len(refusals) == 1 else ""
    yield (*chain.location, *key), f"expected an address of {chain.described}{why}"


def _logins(chain: ChainFacts, *, reads_secrets: bool) -> Iterator[Mistake]:
    """One way to log in per node, and password files that can be read, where the process asks nodes. A cookie file may
    not exist yet: the node writes it when it starts."""
    for place, node in members_at(chain.values, "nodes"):
        location = (*chain.location, "nodes", place)
        given = [key for key in ("user", "password", "password_file", "cookie_file") if node.get(key) is not None]
        if "password" in given and "password_file" in given:
            yield (*location, "password_file"), "expected either password or password_file, not both"
        if "cookie_file" in given and len(given) > 1:
            yield (*location, "cookie_file"), f"expected either cookie_file or {' and '.join(given[:-1])}, not both"
        elif "user" not in given and ("password" in given or "password_file" in given):
            key = "password" if "password" in given else "password_file"
            yield (*location, key), "expected user beside it"
        password_file = node.get("password_file")
        if reads_secrets and isinstance(password_file, str) and password_file and "\x00" not in password_file:
            problem = password_problem(Path(password_file))
            if problem is not None:
                yield (*location, "password_file"), problem


def password_problem(path: Path) -> str | None:
    """Why a file's first line cannot be taken for a password, in words; None when it can. Whoever can read it has the
    node and its wallet, so not every user of the machine may."""
    try:
        if not path.read_text("utf-8").partition("\n")[0].strip():
            return "expected a password on the file's first line"
    except OSError as error:
        return f"expected a readable file: {error.strerror or error}"
    except UnicodeDecodeError:
        return "expected a file of UTF-8 text"
    return open_to_all(path)


def _urls(chains: list[ChainFacts]) -> Iterator[Mistake]:
    """No node stands in the file twice: two chains would mine one of them for the other, and a chain's second node is
    to answer when its first does not. Only chains of one network of consensus proofs share theirs."""
    seen: dict[tuple[str, int, str], tuple[str, Location]] = {}
    networks = {
        chain.name: chain.values["network_name"]
        for chain in chains
        if chain.kind == "parallel" and isinstance(chain.values.get("network_name"), str)
    }
    for chain in chains:
        for place, node in members_at(chain.values, "nodes"):
            where = _place_of(node.get("url"))
            if where is None:
                continue  # told as a mistake of this key alone
            location = (*chain.location, "nodes", place, "url")
            other, its_location = seen.setdefault(where, (chain.name, location))
            if other != chain.name and chain.name in networks and networks[chain.name] == networks.get(other):
                continue
            if other != chain.name:
                yield location, f"expected a node of its own, chains {other} and {chain.name} have the same url"
            elif its_location != location:
                yield location, f"expected another node, {dotted(its_location)} is the same"


def _place_of(url: object) -> tuple[str, int, str] | None:
    """Host, port and path that a node's URL leads to, None where it is none. Behind one host and port there may be
    several nodes, told apart by their paths."""
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    port = port or (443 if parts.scheme == "https" else 80)
    return "127.0.0.1" if host == "localhost" else host, port, parts.path.rstrip("/")


def _clashes(chains: list[ChainFacts]) -> Iterator[Mistake]:
    """MM1 chains whose ids have one slot in every tree can never be mined together, nor can chains of the MM2 tree with
    one context (reading R6)."""
    yield from _clashing(chains, ("auxpow",), "chain_id", int, never_distinct)
    yield from _clashing(chains, MM2_KINDS, "context_name", str, operator.eq)


def _clashing(
    chains: list[ChainFacts], kinds: tuple[str, ...], key: str, usable: type, clash: Callable[[Any, Any], bool]
) -> Iterator[Mistake]:
    """Each chain of these kinds with the first one before it that has a clashing value."""
    seen: list[tuple[str, Any]] = []
    for chain in chains:
        value = chain.values.get(key)
        if chain.kind not in kinds or not isinstance(value, usable) or isinstance(value, bool):
            continue
        for name, other in seen:
            if clash(value, other):
                have = f"both have {value!r}" if value == other else f"have {other!r} and {value!r}"
                yield (*chain.location, key), f"expected a {key} of its own, chains {name} and {chain.name} {have}"
                break
        seen.append((chain.name, value))
