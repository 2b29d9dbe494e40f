"""The configuration's rules about the keys that lead blocks (chains of kind bk): each is its chain's alone.

Whoever has a leader's key can sign two blocks for one vote in the pool's name, and a wallet's key in its place would
be handed out with it. Every check returns (location, what was expected); the plain values may be wrong in other ways.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from chains.primitives.address import AddressError, address_to_script, pay_to_pubkey_hash
from chains.signer.keys import KeyFileError, read_key
from pool.config.bk_chain import LEADERS
from pool.config.chain_checks import ChainFacts, Mistake, mapping_at
from pool.config.lines import Location, dotted
from pool.config.roles import SERVING, role_in
from pool.config.transport import follows_in


def leader_key_mistakes(values: Mapping[str, Any], chains: list[ChainFacts]) -> Iterator[Mistake]:
    """All mistakes in them. Only who serves miners leads blocks and may read the files; one that is missing is made."""
    if role_in(values) not in SERVING or follows_in(values):
        return
    named = list(_files(values, ()))
    for chain in chains:
        if chain.kind != "bk":
            continue
        location = (*chain.location, "leader_key_file")
        path = _path_of(chain, values)
        if path is None:
            continue  # told as a mistake of that key alone
        other = next((place for place, file in named if place != location and _same(file, path)), None)
        if other is not None:
            yield location, f"expected a file of its own, {dotted(other)} is the same"
        elif _is_to_be_judged(path):
            problem = _key_problem(path, chain)
            if problem is not None:
                yield location, problem


def _path_of(chain: ChainFacts, values: Mapping[str, Any]) -> Path | None:
    own = chain.values.get("leader_key_file")
    if own is not None:
        return Path(own) if _is_path(own) else None
    data_dir: Any = mapping_at(values, "pool").get("data_dir")
    return Path(data_dir) / LEADERS / f"{chain.name}.key" if _is_path(data_dir) else None


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and "\x00" not in value


def _files(value: Any, location: Location) -> Iterator[tuple[Location, Path]]:
    """Every file that is named under a key ending in `_file`, with its place."""
    members: Any = ()
    if isinstance(value, Mapping):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for key, member in members:
        if str(key).endswith("_file") and _is_path(member):
            yield (*location, key), Path(member)
        else:
            yield from _files(member, (*location, key))


def _same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve()
    except (OSError, RuntimeError):  # a loop of links: whoever opens it tells
        return one == other


def _is_to_be_judged(path: Path) -> bool:
    """Whether it is there, and its user's who looks. Root may look at the files of the pool's own user, and somebody
    else cannot: such a key is judged when the pool starts."""
    try:
        return path.stat().st_uid == os.geteuid()
    except OSError:
        return False


def _key_problem(path: Path, chain: ChainFacts) -> str | None:
    try:
        secret = read_key(path)
    except KeyFileError as error:
        return f"expected a key that only its owner can read: {error}"
    former = chain.values.get("former_addresses")
    addresses = [chain.values.get("address"), *(former if isinstance(former, list) else ())]
    for address in addresses:
        if isinstance(address, str) and _spends(secret, address, chain):
            return f"expected a key of its own: this one spends {address}"
    return None


def _spends(secret: bytes, address: str, chain: ChainFacts) -> bool:
    public = PrivateKey(secret).public_key.format()
    own = (pay_to_pubkey_hash(public), b"\x76\xa9\x14" + pay_to_pubkey_hash(public)[2:] + b"\x88\xac")
    for network in chain.networks:
        try:
            if address_to_script(address, network.addresses) in own:
                return True
        except AddressError:
            continue  # told as a mistake of that key alone
    return False
