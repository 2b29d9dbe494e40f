"""Addresses of known coins, and text that is none."""

from __future__ import annotations

import pytest
from embit.networks import NETWORKS as EMBIT_NETWORKS
from embit.script import Script, address_to_scriptpubkey
from hypothesis import example, given
from hypothesis import strategies as st

from chains.primitives.address import (
    AddressError,
    AddressFormat,
    address_to_script,
    key_hash_of,
    pay_to_pubkey_hash,
    script_to_address,
)

MAIN = AddressFormat(0, (5,), "bc")
TEST = AddressFormat(111, (196,), "tb")
REGTEST = AddressFormat(111, (196,), "bcrt")
LITECOIN = AddressFormat(48, (50, 5), "ltc")
NAMECOIN_REGTEST = AddressFormat(111, (196,), "ncrt")
DOGECOIN = AddressFormat(30, (22,))

KNOWN = [
    # the first block's coinbase key
    (MAIN, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac"),
    # BIP16's example script hash in BIP13 form
    (MAIN, "3P14159f73E4gFr7JterCCQh9QjiTjiZrG", "a914e9c3dd0c07aac76179ebc76a6c78d4d67c6c160a87"),
    # BIP173
    (MAIN, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
    (MAIN, "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
    (
        TEST,
        "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
        "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262",
    ),
    # BIP350
    (
        MAIN,
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    ),
    (MAIN, "bc1sw50qgdz25j", "6002751e"),
    # recorded from Namecoin Core on regtest
    (NAMECOIN_REGTEST, "mjXnFbp5RZg1EP1n7Y2Q9vvoqchAbUvoUr", "76a9142c0889453cc295320159ad7a9162b9430f39d48188ac"),
]


@pytest.mark.parametrize(("form", "address", "script"), KNOWN, ids=[k[1][:12] for k in KNOWN])
def test_address_known(form: AddressFormat, address: str, script: str) -> None:
    assert address_to_script(address, form).hex() == script
    canonical = address.lower() if address.lower().startswith("bc1") else address
    assert script_to_address(bytes.fromhex(script), form) == canonical


def test_address_litecoin_reads_both_script_hash_versions() -> None:
    old, new = (script_to_address(b"\xa9\x14" + bytes(20) + b"\x87", AddressFormat(48, (v,), "ltc")) for v in (5, 50))
    assert old is not None and new is not None
    assert (old[0], new[0]) == ("3", "M")
    assert address_to_script(old, LITECOIN) == address_to_script(new, LITECOIN)
    assert script_to_address(address_to_script(old, LITECOIN), LITECOIN) == new


@pytest.mark.parametrize("name", ["main", "test", "regtest"])
@given(digest=st.binary(min_size=20, max_size=20), long=st.binary(min_size=32, max_size=32))
def test_address_agrees_with_embit(name: str, digest: bytes, long: bytes) -> None:
    form = {"main": MAIN, "test": TEST, "regtest": REGTEST}[name]
    scripts = (
        b"\x76\xa9\x14" + digest + b"\x88\xac",
        b"\xa9\x14" + digest + b"\x87",
        b"\x00\x14" + digest,
        b"\x00\x20" + long,
        b"\x51\x20" + long,
    )
    for script in scripts:
        address = script_to_address(script, form)
        assert address == Script(script).address(EMBIT_NETWORKS[name])
        assert address is not None
        assert address_to_scriptpubkey(address).data == script == address_to_script(address, form)


@pytest.mark.parametrize(
    ("form", "address"),
    [
        (MAIN, "mjXnFbp5RZg1EP1n7Y2Q9vvoqchAbUvoUr"),  # another network's version
        (TEST, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        (MAIN, "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"),
        (MAIN, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"),  # checksum
        (MAIN, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5"),
        (MAIN, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kV8F3T4"),  # mixed case
        (MAIN, "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd"),  # v1 with bech32
        (DOGECOIN, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),  # a family without segwit
        (MAIN, ""), (MAIN, "1"), (MAIN, "bc1"), (MAIN, "bc1qqqqqq"), (MAIN, " 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        (MAIN, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa\n"), (MAIN, "1" * 512), (MAIN, "\ud800"),
        (MAIN, "bc1\ud800qqqqqqqq"),
    ],
)  # fmt: skip
def test_address_refused(form: AddressFormat, address: str) -> None:
    with pytest.raises(AddressError):
        address_to_script(address, form)


@given(st.text(max_size=120))
@example("bc1")
@example("11111111111111111111111111111111")
def test_address_of_any_text_is_a_script_or_an_address_error(text: str) -> None:
    try:
        script = address_to_script(text, MAIN)
    except AddressError:
        return
    assert script_to_address(script, MAIN) is not None


def test_address_none_for_other_scripts() -> None:
    for script in (b"", b"\x6a\x01\x00", b"\x00\x13" + bytes(19), b"\x51", b"\x00\x14" + bytes(21)):
        assert script_to_address(script, MAIN) is None
    assert script_to_address(b"\x00\x14" + bytes(20), DOGECOIN) is None


def test_address_key_hash_only_of_scripts_that_name_a_key() -> None:
    digest = bytes(range(20))
    assert key_hash_of(b"\x76\xa9\x14" + digest + b"\x88\xac") == digest
    assert key_hash_of(b"\x00\x14" + digest) == digest
    assert key_hash_of(b"\xa9\x14" + digest + b"\x87") is None
    assert key_hash_of(b"\x51\x20" + bytes(32)) is None
    key = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
    assert pay_to_pubkey_hash(key).hex() == "0014751e76e8199196d454941c45d1b3a323f1433bd6"
