"""From a login to a route: which account each chain's credits of a share go to.

A login is not authenticated, so it is a route stored with its shares and nothing more. Per chain the account is the
canonical payout script. Without an address for a chain the credit is held for the parent address; nothing is derived
unasked, for an exchange's deposit key must not receive coins it does not know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from chains.kind import Network
from chains.primitives.address import AddressError, address_to_script, key_hash_of, script_to_address
from pool.shares.record import AccountKey, Route
from stratum.words import Login

SAME = "same"


class LoginRefusedError(ValueError):
    """A login that cannot be credited at all; the message is for the miner."""


@dataclass(frozen=True, slots=True)
class RoutedLogin:
    """A usable login: its route, the worker's name, and what the miner should be told (empty when all is well).
    `values` are the password's words, for the day when the pool has other chains."""

    route: Route
    worker: str
    remarks: tuple[str, ...]
    values: Mapping[str, str] = field(default_factory=dict)


def route_login(login: Login, values: Mapping[str, str], networks: Mapping[str, Network], parent: str) -> RoutedLogin:
    """The route of a login and its password values (`chain=ADDRESS` in either; the login's own word wins).

    `networks` gives each configured chain's network by name. Raises LoginRefusedError for a bad parent address; a bad
    auxiliary address is a remark, and the credits are held.
    """
    form = networks[parent].addresses
    try:
        parent_script = address_to_script(login.parent, form)
    except AddressError as error:
        raise LoginRefusedError(f"{parent} address expected as user name: {error}") from error
    parent_address = script_to_address(parent_script, form) or login.parent

    remarks = [
        f"unknown chain {chain!r} in your login; its address is ignored"
        for chain, _ in login.extra
        if chain not in networks
    ]
    wanted = {chain: text for chain, text in values.items() if chain in networks} | dict(login.extra)
    accounts = {parent: AccountKey("miner", parent_script.hex(), parent_address)}
    for chain, network in networks.items():
        if chain == parent:
            continue
        held = AccountKey("held", parent_script.hex(), parent_address)
        text = wanted.get(chain)
        if text is None:
            accounts[chain] = held
            continue
        try:
            script = _same_key(parent_script, network) if text == SAME else address_to_script(text, network.addresses)
            address = script_to_address(script, network.addresses) or text
            accounts[chain] = AccountKey("miner", script.hex(), address)
        except AddressError as error:
            accounts[chain] = held
            remarks.append(f"{chain}: {error}; your {chain} credits are held for {parent_address}")
    return RoutedLogin(Route(_digest(parent_address, accounts), parent_address, accounts), login.worker, tuple(remarks))


def _same_key(parent_script: bytes, network: Network) -> bytes:
    """The child script of the same key: P2WPKH where the child has segwit and the parent script is one, else P2PKH."""
    key_hash = key_hash_of(parent_script)
    if key_hash is None:
        raise AddressError("`same` needs a parent address that stands for one key (P2PKH or P2WPKH)")
    if len(parent_script) == 22 and network.addresses.bech32_hrp is not None:
        return b"\x00\x14" + key_hash
    return b"\x76\xa9\x14" + key_hash + b"\x88\xac"


def _digest(parent_address: str, accounts: Mapping[str, AccountKey]) -> bytes:
    """16 bytes that name a route by its content, so that equal logins share one record."""
    parts = [parent_address]
    for chain in sorted(accounts):
        account = accounts[chain]
        parts += (chain, account.kind, account.script_hex)
    return hashlib.sha256("\n".join(parts).encode()).digest()[:16]
