"""The chain families that parapool knows, as data: what tells one family's networks from another's.

A family is not a kind: a kind says how a chain is spoken to, a family which prefixes, proof of work and maturity it
has, and the magic of its signed messages. Each entry names its source; numbers come from the family's own node
(`chainparams.cpp`, `consensus.h`). A new family is a new paragraph here and nothing else.
"""

from __future__ import annotations

from dataclasses import replace

from chains.kind import Network
from chains.primitives.address import AddressFormat


class ConfigurationError(LookupError):
    """A family or network that does not exist; the message lists those that do."""


# Prefixes of Bitcoin Core's regtest and testnet, which nearly every family kept for its own.
_TEST = AddressFormat(pubkey_hash=0x6F, script_hash=(0xC4,))

# Bitcoin Core, src/kernel/chainparams.cpp; maturity: COINBASE_MATURITY in src/consensus/consensus.h.
_BITCOIN = (
    Network("main", "main", AddressFormat(0x00, (0x05,), "bc")),
    Network("test", "test", replace(_TEST, bech32_hrp="tb")),
    Network("regtest", "regtest", replace(_TEST, bech32_hrp="bcrt")),
)

# Litecoin Core 0.21, src/chainparams.cpp (magic: src/util/message.cpp): two script-hash versions are read (3… and M…),
# the second is written.
# getblocktemplate wants to be asked with "mweb" (LIP-0002 to LIP-0004; error −8 without).
_LITECOIN = tuple(
    Network(
        name,
        name,
        form,
        pow_hash="scrypt",
        template_rules=("mweb", "segwit"),
        message_magic="Litecoin Signed Message:\n",
    )
    for name, form in (
        ("main", AddressFormat(0x30, (0x32, 0x05), "ltc")),
        ("test", AddressFormat(0x6F, (0x3A, 0xC4), "tltc")),
        ("regtest", AddressFormat(0x6F, (0x3A, 0xC4), "rltc")),
    )
)

# Namecoin Core 7c1020d7, src/kernel/chainparams.cpp; magic: src/util/message.cpp.
_NAMECOIN = tuple(
    Network(name, name, form, message_magic="Namecoin Signed Message:\n")
    for name, form in (
        ("main", AddressFormat(0x34, (0x0D,), "nc")),
        ("test", replace(_TEST, bech32_hrp="tn")),
        ("regtest", replace(_TEST, bech32_hrp="ncrt")),
    )
)

# Dogecoin Core 1.14, src/chainparams.cpp (magic: src/validation.cpp): no segwit; coinbase maturity 240 since block
# 145,000, 60 on regtest.
_DOGECOIN = tuple(
    Network(
        name,
        name,
        form,
        pow_hash="scrypt",
        maturity=maturity,
        template_rules=(),
        message_magic="Dogecoin Signed Message:\n",
    )
    for name, form, maturity in (
        ("main", AddressFormat(0x1E, (0x16,)), 240),
        ("test", AddressFormat(0x71, (0xC4,)), 240),
        ("regtest", _TEST, 60),
    )
)

# fractald 0.2.2, src/kernel/chainparams.cpp: Bitcoin's own prefixes.
_FRACTAL = (Network("main", "main", AddressFormat(0x00, (0x05,), "bc")),)

# Our own reference nodes (chains/reference): the real rules with a short maturity, so that a demo sees matured credits.
_DEVNET = (Network("regtest", "regtest", replace(_TEST, bech32_hrp="bcrt"), maturity=10),)
_DEVNET_SCRYPT = tuple(replace(network, pow_hash="scrypt") for network in _DEVNET)

# Chains of votes (docs/protocol/bk.md): bech32 addresses. The base58 version is for reading those that somebody has
# already; maturity is each chain's own, this is a new one's default (chains/bk/parameters.py).
_BK = tuple(Network(name, name, AddressFormat(0x6F, (), "bk"), maturity=20) for name in ("main", "regtest"))

# Chains under consensus proofs (docs/protocol/parallel.md): prefix and maturity are each chain's own, these are the
# defaults of a new one (chains/parallel/parameters.py).
_PARALLEL = tuple(Network(name, name, AddressFormat(0x6F, (), "ppow"), maturity=100) for name in ("main", "regtest"))

FAMILIES: dict[str, dict[str, Network]] = {
    family: {network.name: network for network in networks}
    for family, networks in (
        ("bitcoin", _BITCOIN),
        ("litecoin", _LITECOIN),
        ("namecoin", _NAMECOIN),
        ("dogecoin", _DOGECOIN),
        ("fractal", _FRACTAL),
        ("devnet", _DEVNET),
        ("devnet-scrypt", _DEVNET_SCRYPT),
        ("bk", _BK),
        ("parallel", _PARALLEL),
    )
}

# The family of a chain whose configuration names none, by kind.
DEFAULT_FAMILY: dict[str, str] = {
    "bitcoin": "bitcoin", "auxpow": "namecoin", "mm2": "devnet", "bk": "bk", "parallel": "parallel"
}  # fmt: skip


def network(family: str, name: str) -> Network:
    """A family's network by name. Raises ConfigurationError."""
    networks = FAMILIES.get(family)
    if networks is None:
        raise ConfigurationError(f"unknown family {family!r}; there are {', '.join(FAMILIES)}")
    found = networks.get(name)
    if found is None:
        raise ConfigurationError(f"family {family} has no network {name!r}; it has {', '.join(networks)}")
    return found
