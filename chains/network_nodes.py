"""Kind name → a node of our own networks, written out by hand, and the file that all nodes of a network start with.

    kind: bk                    # or parallel
    network:                    # the kind's own numbers; nodes that differ in one of them refuse each other
      name: my network
      k: 8

The file is YAML (or JSON, which is YAML too). docs/protocol/bk.md and docs/protocol/parallel.md say what the numbers
mean.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from coincurve import PrivateKey
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from chains.bk import calls as bk_calls
from chains.bk.core import BkCore
from chains.bk.parameters import BkParameters
from chains.parallel import table as parallel_calls
from chains.parallel.core import ParallelCore
from chains.parallel.description import read_network
from chains.peers.program import NodeParts
from chains.primitives.address import pay_to_pubkey_hash
from chains.primitives.fields import MAX_AMOUNT, FieldError, integer, mapping, text

MAX_FILE_BYTES = 1_000_000
OpenNode = Callable[[Mapping[str, Any], random.Random, Sequence[bytes]], NodeParts]
"""From the file's `network`, chance and the secrets of the node's own accounts. Raises FieldError."""


class NetworkFileError(Exception):
    """The file describes no network; the message names the file, the key and what was expected."""


@dataclass(frozen=True, slots=True)
class NetworkFile:
    kind: str
    network: Mapping[str, Any]


def account_script(secret: bytes) -> bytes:
    """The account of a secret key: pay to its witness public key hash."""
    return pay_to_pubkey_hash(PrivateKey(secret).public_key.format())


def open_bk(network: Mapping[str, Any], chance: random.Random, secrets: Sequence[bytes]) -> NodeParts:
    core = BkCore(bk_parameters(network), chance, secrets=secrets)
    return NodeParts(core, bk_calls.CALLS, bk_calls.REFUSALS)


def bk_parameters(network: Mapping[str, Any]) -> BkParameters:
    """Raises FieldError."""
    known = {field.name for field in fields(BkParameters)}
    unknown = sorted(str(key) for key in set(network) - known)
    if unknown:
        raise FieldError(f"{unknown[0][:70]}: no such key; there are {', '.join(sorted(known))}")
    values: dict[str, Any] = {"name": text(network, "name")}
    for key in sorted(known - {"name"}):
        if key in network:
            values[key] = integer(network, key, 0, MAX_AMOUNT)
    try:
        parameters = BkParameters(**values)
        parameters.rules()  # which has limits of its own
    except ValueError as error:
        raise FieldError(str(error)) from error
    return parameters


def open_parallel(network: Mapping[str, Any], chance: random.Random, secrets: Sequence[bytes]) -> NodeParts:
    parameters, chains = read_network(network)
    wallet = {account_script(secret): secret for secret in secrets}
    return NodeParts(ParallelCore(parameters, chains, chance, wallet), parallel_calls.CALLS, parallel_calls.REFUSALS)


NETWORK_NODES: dict[str, OpenNode] = {"bk": open_bk, "parallel": open_parallel}


def read_network_file(path: Path) -> NetworkFile:
    """Raises NetworkFileError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise NetworkFileError(f"{path}: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise NetworkFileError(f"{path}: more than {MAX_FILE_BYTES} bytes")
    try:
        record = mapping(YAML(typ="safe").load(data), "the file")
        kind = text(record, "kind")
        if kind not in NETWORK_NODES:
            raise FieldError(f"kind: expected {' or '.join(NETWORK_NODES)}")
        if extra := sorted(str(key) for key in set(record) - {"kind", "network"}):
            raise FieldError(f"{extra[0][:70]}: no such key; there are kind, network")
        network = mapping(record.get("network"), "network")
    except (YAMLError, UnicodeDecodeError) as error:
        raise NetworkFileError(f"{path}: {' '.join(str(error).split())}") from error
    except FieldError as error:
        raise NetworkFileError(f"{path}: {error}") from error
    return NetworkFile(kind, network)


def open_node(file: NetworkFile, chance: random.Random, secrets: Sequence[bytes]) -> NodeParts:
    """Raises NetworkFileError."""
    try:
        return NETWORK_NODES[file.kind](file.network, chance, secrets)
    except FieldError as error:
        raise NetworkFileError(f"network: {error}") from error
