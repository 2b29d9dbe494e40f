"""Which accounts the owner of a parent address may decide about, and which not.

A login is not authenticated: anybody may name anybody's address for a chain. So a signature by the parent address's key
is a word about what that key alone owns, and never about an account that a login merely pointed at:

- on the parent chain, the account of the address itself;
- on every other chain, what is held for the address, and the accounts of the same key (what `chain=same` gives).

An auxiliary account of another key is its own owner's; it is paid to its own address whatever happens here.
"""

from __future__ import annotations

from typing import NamedTuple

from chains.kind import Network
from chains.primitives.address import key_hash_of
from pool.shares.record import AccountKind


class OwnedAccount(NamedTuple):
    """An account by what names it in the books, together with its chain."""

    kind: AccountKind
    script_hex: str


def owned_accounts(miner_script: bytes, chain: str, parent: str, networks: dict[str, Network]) -> list[OwnedAccount]:
    """The accounts on `chain` of the owner of the parent address whose output script is `miner_script`."""
    if chain == parent:
        return [OwnedAccount("miner", miner_script.hex())]
    owned = [OwnedAccount("held", miner_script.hex())]
    key_hash = key_hash_of(miner_script)
    if key_hash is not None:
        owned.append(OwnedAccount("miner", (b"\x76\xa9\x14" + key_hash + b"\x88\xac").hex()))
        if networks[chain].addresses.bech32_hrp is not None:
            owned.append(OwnedAccount("miner", (b"\x00\x14" + key_hash).hex()))
    return owned
