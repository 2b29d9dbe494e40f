"""The configuration's rules that look at more than one key; those about chains are in pool/config/chain_checks.py.

They look at the plain values, which may be wrong in other ways: each check takes what it can use, so that one run finds
all mistakes. Every check returns (location, what was expected).
"""

from __future__ import annotations

import ipaddress
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from chains.primitives.script import MAX_SCRIPT_SIG, push
from pool.config.bk_checks import leader_key_mistakes
from pool.config.chain_checks import ChainFacts, Mistake, chain_facts, chain_mistakes, mapping_at, members_at
from pool.config.lines import Location, dotted
from pool.config.models import PoolSection, PortSection
from pool.config.operator import DEFAULT_BIND, operator_mistakes
from pool.config.parallel_checks import parallel_mistakes
from pool.config.payout_checks import payout_mistakes
from pool.config.ports import tls_mistakes
from pool.config.roles import PAYING, role_in, role_mistakes
from pool.config.scheme_checks import scheme_mistakes
from pool.config.secret_files import notification_mistakes
from pool.config.transport import transport_mistakes
from pool.config.values import parse_bind

# What a coinbase scriptSig holds beside the tag: the height push (5 bytes from height 8,388,608 on), the push of the
# 44-byte MM1 header, and, where a port has extranonce2_size 8, a push of extranonce1 (4) and extranonce2 (8).
HEIGHT_PUSH = 5
MM1_PUSH = 45
EXTRANONCE_PUSH = 13


def mistakes(values: Mapping[str, Any]) -> Iterator[Mistake]:
    """All mistakes in the whole."""
    yield from _binds(values)
    yield from _difficulties(values)
    yield from _data_dir(values)
    yield from role_mistakes(values)
    yield from tls_mistakes(values)
    yield from transport_mistakes(values)
    yield from notification_mistakes(values)
    yield from operator_mistakes(values)
    chains, found = chain_facts(values)
    yield from found
    yield from _tag(values, chains)
    yield from chain_mistakes(values, chains)
    yield from leader_key_mistakes(values, chains)
    yield from parallel_mistakes(chains)
    yield from scheme_mistakes(values, chains)
    yield from payout_mistakes(chains, reads_secrets=role_in(values) in PAYING)


def _binds(values: Mapping[str, Any]) -> Iterator[Mistake]:
    """No two listeners on one address and port; a wildcard address takes the port of every other."""
    listeners: list[tuple[Location, Any]] = [
        (("stratum", "ports", place, "bind"), port.get("bind"))
        for place, port in members_at(mapping_at(values, "stratum"), "ports")
    ]
    listeners.append((("http", "bind"), mapping_at(values, "http").get("bind")))
    operator = values.get("operator")
    if isinstance(operator, Mapping) and operator.get("socket") is None:
        key = ("operator", "bind") if "bind" in operator else ("operator",)
        listeners.append((key, operator.get("bind", DEFAULT_BIND)))
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
    for place, port in members_at(mapping_at(values, "stratum"), "ports"):
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
    data_dir = mapping_at(values, "pool").get("data_dir")
    if isinstance(data_dir, str) and "\x00" not in data_dir and Path(data_dir).exists() and not Path(data_dir).is_dir():
        yield ("pool", "data_dir"), "expected a folder, this is a file"
    elif isinstance(data_dir, str) and data_dir and "\x00" not in data_dir:
        nearest = next(
            folder for folder in (Path(data_dir).absolute(), *Path(data_dir).absolute().parents) if folder.exists()
        )
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK) or nearest.is_relative_to("/proc"):
            yield ("pool", "data_dir"), f"expected a folder that can be made and written, {nearest} is not"
    url = mapping_at(values, "pool").get("database_url")
    if isinstance(url, str) and not _is_database_url(url):
        yield ("pool", "database_url"), "expected sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"


def _is_database_url(url: str) -> bool:
    try:
        make_url(url)
    except (ArgumentError, ValueError):  # the second one for a port that is no number
        return False
    return url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://"))


def _tag(values: Mapping[str, Any], chains: list[ChainFacts]) -> Iterator[Mistake]:
    tag = mapping_at(values, "pool").get("tag", PoolSection.model_fields["tag"].default)
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
    if any(port.get("extranonce2_size") == 8 for _, port in members_at(mapping_at(values, "stratum"), "ports")):
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
