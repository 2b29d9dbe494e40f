"""A network's description: keys, forms, and what is said of wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from chains.parallel.description import DEVNET, read_network
from chains.parallel.parameters import Mode
from chains.primitives.fields import FieldError

CHAIN = {"name": "a", "context_name": "alpha", "subsidy": 5}


def test_parallel_description_of_the_devnet_reads() -> None:
    network, chains = read_network(DEVNET)
    assert (network.name, network.mode, network.first_bits) == ("devnet", Mode.ROOT, 0x207FFFFF)
    assert network.half_life_s is None
    assert [(chain.name, chain.subsidy, chain.addresses.bech32_hrp) for chain in chains] == [
        ("alpha", 50_00000000, "ppa"),
        ("beta", 7_00000000, "ppb"),
    ]


def test_parallel_description_takes_every_key() -> None:
    network, (chain,) = read_network({
        "name": "n", "mode": "aux", "first_bits": "1d00ffff", "easiest_bits": "207fffff", "interval_s": 5,
        "half_life_s": 7, "pow_name": "scrypt", "genesis_hash": "11" * 32,
        "chains": [CHAIN | {"context": "22" * 32, "maturity_blocks": 3, "halving_blocks": 4, "hrp": "x",
                            "start": "33" * 32, "fee_rate": 0}],
    })  # fmt: skip
    assert (network.mode, network.pow_name, network.half_life_s) == (Mode.AUX, "scrypt", 7)
    assert network.genesis == b"\x11" * 32
    assert (chain.context, chain.start, chain.maturity_blocks) == (b"\x22" * 32, b"\x33" * 32, 3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": 5}, "name: expected text"),
        ({"mode": "both"}, "mode: expected root or aux"),
        ({"first_bits": "zz"}, "first_bits: expected 8 hex digits"),
        ({"first_bits": "2100ffff"}, "network: the first target is easier"),
        ({"interval_s": 0}, "interval_s: expected 1 to"),
        ({"pow_name": "sha3"}, "pow_name: expected one of"),
        ({"pow_name": "scrypt"}, "pow_name: a network with proofs of work of its own"),
        ({"colour": "red"}, "colour: no such key of a network"),
        ({"chains": {}}, "chains: expected a list"),
        ({"chains": [5]}, r"chains\[0\]: expected an object"),
        ({"chains": [CHAIN | {"subsidy": 1.5}]}, r"chains\[0\]: subsidy: expected an integer"),
        ({"chains": [CHAIN | {"colour": 1}]}, r"chains\[0\]: colour: no such key of a chain"),
        ({"chains": [CHAIN | {"hrp": "A"}]}, r"chains\[0\]: chain: hrp"),
        ({"chains": [CHAIN, CHAIN]}, "two chains of one name"),
        ({"chains": [CHAIN, CHAIN | {"name": "b"}]}, "two chains of one context"),
    ],
)
def test_parallel_description_says_what_is_wrong(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(FieldError, match=reason):
        read_network({"name": "n", **changes})
