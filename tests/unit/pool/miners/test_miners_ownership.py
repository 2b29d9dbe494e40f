from __future__ import annotations

import pytest
from support.message_signing import SigningKey

from chains.families import network
from pool.miners.ownership import owned_accounts

NETWORKS = {
    "regbtc": network("devnet", "regtest"),
    "regnmc": network("namecoin", "regtest"),
    "regdoge": network("dogecoin", "regtest"),
}
KEY = SigningKey(21)


def owned(kind: str, chain: str) -> set[tuple[str, str]]:
    return {tuple(account) for account in owned_accounts(KEY.script(kind), chain, "regbtc", NETWORKS)}


@pytest.mark.parametrize("kind", ["p2pkh", "p2sh", "p2wpkh", "p2tr"])
def test_miners_own_their_parent_account_and_nothing_else_there(kind: str) -> None:
    assert owned(kind, "regbtc") == {("miner", KEY.script(kind).hex())}


@pytest.mark.parametrize("kind", ["p2pkh", "p2wpkh"])
def test_miners_own_what_is_held_and_the_accounts_of_the_same_key(kind: str) -> None:
    held, legacy = ("held", KEY.script(kind).hex()), ("miner", KEY.script("p2pkh").hex())
    assert owned(kind, "regnmc") == {held, legacy, ("miner", KEY.script("p2wpkh").hex())}
    assert owned(kind, "regdoge") == {held, legacy}  # a chain without segwit


@pytest.mark.parametrize("kind", ["p2sh", "p2tr"])
def test_miners_own_what_is_held_where_the_script_tells_no_key(kind: str) -> None:
    assert owned(kind, "regnmc") == {("held", KEY.script(kind).hex())}
