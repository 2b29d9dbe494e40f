"""The configuration's rules that look at more than one key.

They look at the plain values, which may be wrong in other ways: each check takes what it can use, so that one run finds
all mistakes. Every check returns (location, what was expected).
"""

from __future__ import annotations

import ipaddress
import math
import operator
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from chains.auxpow.slots import never_distinct
from chains.families import FAMILIES, ConfigurationError, network
from chains.kind import Network
from chains.primitives.address import AddressError, address_to_script
from chains.primitives.script import MAX_SCRIPT_SIG, push
from pool.config_lines import Location, dotted
from pool.config_models import CHAIN_KINDS, PoolSection, PortSection, network_name_of
from pool.config_values import parse_bind

Mistake = tuple[Location, str]

# What a coinbase scriptSig holds beside the tag: the height push (5 bytes from height 8,388,608 on), the push of the
# 44-byte MM1 header, and, where a port has extranonce2_size 8, a push of extranonce1 (4) and extranonce2 (8).
HEIGHT_PUSH = 5
MM1_PUSH = 45
EXTRANONCE_PUSH = 13


@dataclass(frozen=True, slots=True)
class _ChainFacts:
    """What the checks may use of one chain; None where the file has nothing usable."""

    name: str
    values: Mapping[str, Any]
    kind: str | None
    network: Network | None

    @property
    def location(self) -> Location:
        return ("chains", self.name)


def mistakes(values: Mapping[str, Any]) -> Iterator[Mistake]:
    """All mistakes in the whole."""
    yield from _binds(values)
    yield from _difficulties(values)
    yield from _data_dir(values)
    chains = []
    for name, chain in _mapping(values, "chains").items():
        if isinstance(chain, Mapping):
            facts, problem = _facts(name, chain)
            chains.append(facts)
            if problem is not None:
                yield problem
    yield from _parent(values, chains)
    yield from _tag(values, chains)
    for chain_facts in chains:
        yield from _address(chain_facts)
        yield from _logins(chain_facts)
    yield from _clashes(chains)


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = values.get(key)
    return value if isinstance(value, Mapping) else {}


def _list(values: Mapping[str, Any], key: str) -> list[Any]:
    value = values.get(key)
    return value if isinstance(value, list) else []


def _members(values: Mapping[str, Any], key: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for place, member in enumerate(_list(values, key)):
        if isinstance(member, Mapping):
            yield place, member


def _facts(name: str, chain: Mapping[str, Any]) -> tuple[_ChainFacts, Mistake | None]:
    """A chain's kind and network, and the mistake when there is no such network."""
    kind = chain.get("kind")
    if not isinstance(kind, str) or kind not in CHAIN_KINDS:
        return _ChainFacts(name, chain, None, None), None
    fields = CHAIN_KINDS[kind].model_fields
    family = chain.get("family", fields["family"].default)
    network_name = network_name_of(chain, fields["family"].default)
    if not isinstance(family, str) or network_name not in ("main", "test", "regtest"):
        return _ChainFacts(name, chain, kind, None), None
    try:
        return _ChainFacts(name, chain, kind, network(family, network_name)), None
    except ConfigurationError as error:
        place = "network" if family in FAMILIES else "family"
        return _ChainFacts(name, chain, kind, None), (("chains", name, place), f"expected another one: {error}")


def _binds(values: Mapping[str, Any]) -> Iterator[Mistake]:
    """No two listeners on one address and port; a wildcard address takes the port of every other."""
    listeners: list[tuple[Location, Any]] = [
        (("stratum", "ports", place, "bind"), port.get("bind"))
        for place, port in _members(_mapping(values, "stratum"), "ports")
    ]
    listeners.append((("http", "bind"), _mapping(values, "http").get("bind")))
    seen: list[tuple[Location, str, int]] = []
    for location, bind in listeners:
        try:
            host, port_number = parse_bind(bind) if isinstance(bind, str) else ("", 0)
        except ValueError:
            continue  # told as a mistake of this key alone
        if not port_number:
            continue
        for other, other_host, other_port in seen:
            if port_number == other_port and _overlap(host, other_host):
                yield location, f"expected a port of its own, this one is taken by {dotted(other)}"
                break
        seen.append((location, host, port_number))


def _overlap(host: str, other: str) -> bool:
    return host.lower() == other.lower() or _is_wildcard(host) or _is_wildcard(other)


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _difficulties(values: Mapping[str, Any]) -> Iterator[Mistake]:
    for place, port in _members(_mapping(values, "stratum"), "ports"):
        keys = ("minimum_difficulty", "start_difficulty", "maximum_difficulty")
        numbers = [port.get(key, PortSection.model_fields[key].default) for key in keys]
        if any(isinstance(n, bool) or not isinstance(n, int | float) or not math.isfinite(n) for n in numbers):
            continue  # told as a mistake of that key alone
        minimum, start, maximum = numbers
        if minimum <= start <= maximum:
            continue
        wrong = "start_difficulty" if minimum <= maximum else "minimum_difficulty"
        place_key = wrong if wrong in port else next((key for key in keys if key in port), wrong)
        text = f"expected minimum ≤ start ≤ maximum, these are {minimum:g}, {start:g} and {maximum:g}"
        yield ("stratum", "ports", place, place_key), text


def _data_dir(values: Mapping[str, Any]) -> Iterator[Mistake]:
    data_dir = _mapping(values, "pool").get("data_dir")
    if isinstance(data_dir, str) and "\x00" not in data_dir and Path(data_dir).exists() and not Path(data_dir).is_dir():
        yield ("pool", "data_dir"), "expected a folder, this is a file"
    elif isinstance(data_dir, str) and data_dir and "\x00" not in data_dir:
        nearest = next(
            folder for folder in (Path(data_dir).absolute(), *Path(data_dir).absolute().parents) if folder.exists()
        )
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK) or nearest.is_relative_to("/proc"):
            yield ("pool", "data_dir"), f"expected a folder that can be made and written, {nearest} is not"
    url = _mapping(values, "pool").get("database_url")
    if isinstance(url, str) and not _is_database_url(url):
        yield ("pool", "database_url"), "expected sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"


def _is_database_url(url: str) -> bool:
    try:
        make_url(url)
    except (ArgumentError, ValueError):  # the second one for a port that is no number
        return False
    return url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://"))


def _parent(values: Mapping[str, Any], chains: list[_ChainFacts]) -> Iterator[Mistake]:
    """The parent exists and is the one chain of kind bitcoin; every other chain shares its proof of work."""
    name = values.get("parent")
    parent = next((chain for chain in chains if chain.name == name), None)
    if isinstance(name, str) and parent is None and name not in _mapping(values, "chains"):
        names = ", ".join(chain.name for chain in chains if chain.kind == "bitcoin")
        yield (
            ("parent",),
            f"expected one of the chains of kind bitcoin: {names}"
            if names
            else ("expected the name of a chain below chains, of kind bitcoin"),
        )
    if parent is None:
        return
    if parent.kind in ("auxpow", "mm2"):
        yield ("parent",), f"expected a chain of kind bitcoin, {name} is of kind {parent.kind}"
    for chain in chains:
        if chain is parent:
            continue
        if chain.kind == "bitcoin" and parent.kind == "bitcoin":
            yield (*chain.location, "kind"), f"expected auxpow or mm2: a pool has one parent, and that is {name}"
        # An MM2 chain takes the proof of work of any parent header (reading R13), so its family says nothing of it.
        elif chain.kind == "auxpow" and chain.network is not None and parent.network is not None:
            wanted, own = parent.network.pow_hash, chain.network.pow_hash
            if own != wanted:
                place = "family" if "family" in chain.values else "kind"
                yield (*chain.location, place), f"expected a chain with the parent's proof of work {wanted}, not {own}"


def _tag(values: Mapping[str, Any], chains: list[_ChainFacts]) -> Iterator[Mistake]:
    tag = _mapping(values, "pool").get("tag", PoolSection.model_fields["tag"].default)
    if not isinstance(tag, str):
        return
    try:
        tag_bytes = tag.encode()
    except UnicodeEncodeError:
        return  # told as a mistake of this key alone
    room = MAX_SCRIPT_SIG - HEIGHT_PUSH
    beside = [f"height {HEIGHT_PUSH}"]
    if any(chain.kind == "auxpow" for chain in chains):
        room -= MM1_PUSH
        beside.append(f"merged-mining header {MM1_PUSH}")
    if any(port.get("extranonce2_size") == 8 for _, port in _members(_mapping(values, "stratum"), "ports")):
        room -= EXTRANONCE_PUSH
        beside.append(f"extranonce {EXTRANONCE_PUSH}")
    longest = max(length for length in range(room) if len(push(bytes(length))) <= room)
    if len(tag_bytes) > longest:
        yield (
            ("pool", "tag"),
            (
                f"expected at most {longest} bytes, this tag has {len(tag_bytes)}: a coinbase scriptSig holds "
                f"{MAX_SCRIPT_SIG} bytes ({', '.join(beside)})"
            ),
        )


def _address(chain: _ChainFacts) -> Iterator[Mistake]:
    address = chain.values.get("address")
    if chain.network is None or not isinstance(address, str):
        return
    try:
        address_to_script(address, chain.network.addresses)
    except AddressError as error:
        yield (*chain.location, "address"), f"expected an address of {_described(chain)}: {error}"


def _described(chain: _ChainFacts) -> str:
    default_family = CHAIN_KINDS[chain.kind or "bitcoin"].model_fields["family"].default
    return f"{chain.values.get('family', default_family)} {network_name_of(chain.values, default_family)}"


def _logins(chain: _ChainFacts) -> Iterator[Mistake]:
    """One way to log in per node, and password files that can be read. A cookie file may not exist yet: the node writes
    it when it starts."""
    for place, node in _members(chain.values, "nodes"):
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
        if isinstance(password_file, str) and password_file and "\x00" not in password_file:
            problem = _password_problem(Path(password_file))
            if problem is not None:
                yield (*location, "password_file"), problem


def _password_problem(path: Path) -> str | None:
    try:
        if not path.read_text("utf-8").partition("\n")[0].strip():
            return "expected a password on the file's first line"
    except OSError as error:
        return f"expected a readable file: {error.strerror or error}"
    except UnicodeDecodeError:
        return "expected a file of UTF-8 text"
    return None


def _clashes(chains: list[_ChainFacts]) -> Iterator[Mistake]:
    """MM1 chains whose ids have one slot in every tree can never be mined together, nor can MM2 chains with one context
    (reading R6)."""
    yield from _clashing(chains, "auxpow", "chain_id", int, never_distinct)
    yield from _clashing(chains, "mm2", "context_name", str, operator.eq)


def _clashing(
    chains: list[_ChainFacts], kind: str, key: str, usable: type, clash: Callable[[Any, Any], bool]
) -> Iterator[Mistake]:
    """Each chain of a kind with the first one before it that has a clashing value."""
    seen: list[tuple[str, Any]] = []
    for chain in chains:
        value = chain.values.get(key)
        if chain.kind != kind or not isinstance(value, usable) or isinstance(value, bool):
            continue
        for name, other in seen:
            if clash(value, other):
                have = f"both have {value!r}" if value == other else f"have {other!r} and {value!r}"
                yield (*chain.location, key), f"expected a {key} of its own, chains {name} and {chain.name} {have}"
                break
        seen.append((chain.name, value))
