"""A network and its chains as a mapping, as YAML or JSON gives it: what every node of the network is started with.

    name: devnet                 # its genesis is made of it
    mode: root                   # or aux: merge-mined, see docs/protocol/parallel.md
    first_bits: "207fffff"
    interval_s: 60
    half_life_s: null            # null: the difficulty stays
    chains:
      - name: alpha
        context_name: "alpha devnet"
        subsidy: 5000000000

Keys are those of NetworkParameters and ChainParameters; hashes are hex in natural order. A node follows the chains that
are listed and is agnostic of all others: leaving one out is how a node, or a pool, leaves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chains.parallel.parameters import ChainParameters, Mode, NetworkParameters
from chains.primitives import fields
from chains.primitives.fields import FieldError

MAX_INTERVAL_S = 10**9
_NETWORK_KEYS = {
    "name", "mode", "first_bits", "easiest_bits", "interval_s", "half_life_s", "pow_name", "genesis_hash", "chains",
}  # fmt: skip
_CHAIN_KEYS = {
    "name", "context_name", "context", "subsidy", "maturity_blocks", "halving_blocks", "hrp", "start", "fee_rate",
}  # fmt: skip

DEVNET: Mapping[str, Any] = {
    "name": "devnet",
    "first_bits": "207fffff",
    "interval_s": 10,
    "half_life_s": None,
    "chains": [
        {"name": "alpha", "context_name": "alpha devnet", "subsidy": 50_00000000, "maturity_blocks": 10, "hrp": "ppa"},
        {"name": "beta", "context_name": "beta devnet", "subsidy": 7_00000000, "maturity_blocks": 10, "hrp": "ppb"},
    ],
}
"""Two chains, a target that every second hash meets: for one machine."""


def read_network(record: Mapping[str, Any]) -> tuple[NetworkParameters, tuple[ChainParameters, ...]]:
    """The network and the chains to follow. Raises FieldError, naming the key and what was expected."""
    _only(record, _NETWORK_KEYS, "network")
    chains = record.get("chains", [])
    if not isinstance(chains, list):
        raise FieldError("chains: expected a list")
    network = _made(NetworkParameters, _network_values(record), "network")
    followed = tuple(_chain(fields.mapping(one, f"chains[{place}]"), place) for place, one in enumerate(chains))
    for key in ("name", "context"):
        if len({getattr(chain, key) for chain in followed}) != len(followed):
            raise FieldError(f"chains: two chains of one {key}")
    return network, followed


def _network_values(record: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {"name": fields.text(record, "name")}
    if "mode" in record:
        word = fields.text(record, "mode")
        if word not in tuple(Mode):
            raise FieldError("mode: expected root or aux")
        values["mode"] = Mode(word)
    for key in ("first_bits", "easiest_bits"):
        if key in record:
            values[key] = int.from_bytes(fields.hex_bytes(record, key, 4), "big")
    if "interval_s" in record:
        values["interval_s"] = fields.integer(record, "interval_s", 1, MAX_INTERVAL_S)
    if "half_life_s" in record:
        given = record["half_life_s"]
        values["half_life_s"] = None if given is None else fields.integer(record, "half_life_s", 1, MAX_INTERVAL_S)
    if "pow_name" in record:
        values["pow_name"] = fields.text(record, "pow_name")
    if "genesis_hash" in record:
        values["genesis_hash"] = fields.hex_bytes(record, "genesis_hash", 32)
    return values


def _chain(record: Mapping[str, Any], place: int) -> ChainParameters:
    try:
        _only(record, _CHAIN_KEYS, "chain")
        values: dict[str, Any] = {key: fields.text(record, key) for key in ("name", "context_name")}
        values["subsidy"] = fields.integer(record, "subsidy", 0, fields.MAX_AMOUNT)
        for key, least in (("maturity_blocks", 1), ("halving_blocks", 0), ("fee_rate", 0)):
            if key in record:
                values[key] = fields.integer(record, key, least, fields.MAX_HEIGHT)
        if "hrp" in record:
            values["hrp"] = fields.text(record, "hrp")
        if record.get("start") is not None:
            values["start"] = fields.hex_bytes(record, "start", 32)
        if "context" in record:
            values["context_bytes"] = fields.hex_bytes(record, "context", 32)
        return _made(ChainParameters, values, "chain")
    except FieldError as error:
        raise FieldError(f"chains[{place}]: {error}") from error


def _made(kind: Any, values: Mapping[str, Any], what: str) -> Any:
    try:
        return kind(**values)
    except ValueError as error:
        raise FieldError(f"{what}: {error}") from error


def _only(record: Mapping[str, Any], known: set[str], what: str) -> None:
    unknown = sorted(str(key) for key in set(record) - known)
    if unknown:
        raise FieldError(f"{unknown[0][:70]}: no such key of a {what}; there are {', '.join(sorted(known))}")
