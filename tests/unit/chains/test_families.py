from __future__ import annotations

from dataclasses import replace

import pytest

from chains.families import DEFAULT_FAMILY, FAMILIES, ConfigurationError, network
from chains.primitives.address import address_to_script, script_to_address

# Addresses published by each project or given by its node; scripts follow from the address alone.
KNOWN_ADDRESSES = [
    ("bitcoin", "main", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac"),
    ("bitcoin", "main", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
    ("bitcoin", "test", "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
]


@pytest.mark.parametrize(("family", "name", "address", "script_hex"), KNOWN_ADDRESSES)
def test_families_known_addresses_belong_to_their_network(
    family: str, name: str, address: str, script_hex: str
) -> None:
    assert address_to_script(address, network(family, name).addresses).hex() == script_hex


@pytest.mark.parametrize(
    ("family", "name", "prefixes"),
    [
        ("litecoin", "main", ("L", "M", "ltc1q")),
        ("litecoin", "regtest", ("m", "Q", "rltc1q")),
        ("namecoin", "main", ("M", "6", "nc1q")),
        ("namecoin", "regtest", ("m", "2", "ncrt1q")),
        ("bitcoin", "regtest", ("m", "2", "bcrt1q")),
        ("devnet", "regtest", ("m", "2", "bcrt1q")),
    ],
)
def test_families_written_addresses_start_as_people_know_them(
    family: str, name: str, prefixes: tuple[str, str, str]
) -> None:
    form = network(family, name).addresses
    digest = bytes(range(20))
    scripts = (b"\x76\xa9\x14" + digest + b"\x88\xac", b"\xa9\x14" + digest + b"\x87", b"\x00\x14" + digest)
    for script, prefix in zip(scripts, prefixes, strict=True):
        address = script_to_address(script, form)
        assert address is not None and address.startswith(prefix)
        assert address_to_script(address, form) == script


def test_families_litecoin_reads_both_script_hash_versions() -> None:
    script = b"\xa9\x14" + bytes(20) + b"\x87"
    old = script_to_address(script, network("bitcoin", "main").addresses)
    assert old is not None and old.startswith("3")
    assert address_to_script(old, network("litecoin", "main").addresses) == script


def test_families_dogecoin_has_no_segwit_and_a_long_maturity() -> None:
    main = network("dogecoin", "main")
    assert main.addresses.bech32_hrp is None
    assert (main.maturity, network("dogecoin", "regtest").maturity, main.pow_hash) == (240, 60, "scrypt")
    assert main.template_rules == ()


def test_families_only_litecoin_asks_for_mweb() -> None:
    asking = {family for family, networks in FAMILIES.items() for n in networks.values() if "mweb" in n.template_rules}
    assert asking == {"litecoin"}


def test_families_devnet_matures_soon_over_either_proof_of_work() -> None:
    plain, scrypt = network("devnet", "regtest"), network("devnet-scrypt", "regtest")
    assert (plain.maturity, plain.pow_hash) == (10, "sha256d")
    assert scrypt == replace(plain, pow_hash="scrypt")


def test_families_defaults_exist() -> None:
    assert set(DEFAULT_FAMILY) == {"bitcoin", "auxpow", "mm2", "bk", "parallel"}
    assert set(DEFAULT_FAMILY.values()) <= set(FAMILIES)


def test_families_unknown_names_list_what_exists() -> None:
    with pytest.raises(ConfigurationError, match="unknown family 'bitcon'; there are bitcoin, litecoin"):
        network("bitcon", "main")
    with pytest.raises(ConfigurationError, match="family devnet has no network 'main'; it has regtest"):
        network("devnet", "main")
