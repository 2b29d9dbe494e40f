"""A login is a route: per chain the account its shares are credited to."""

from __future__ import annotations

import pytest

from chains.kind import Network
from chains.primitives.address import AddressFormat, address_to_script, script_to_address
from pool.shares.route import LoginRefusedError, route_login
from stratum.words import parse_login

BTC = AddressFormat(0x6F, (0xC4,), "bcrt")
DOGE = AddressFormat(0x71, (0xC4,), None)
NETWORKS = {
    "regbtc": Network("regtest", "regtest", BTC),
    "alpha": Network("regtest", "regtest", BTC),
    "regdoge": Network("regtest", "regtest", DOGE),
}
KEY = bytes(range(20))
WITNESS = script_to_address(b"\x00\x14" + KEY, BTC)
LEGACY = script_to_address(b"\x76\xa9\x14" + KEY + b"\x88\xac", BTC)
SCRIPT_HASH = script_to_address(b"\xa9\x14" + KEY + b"\x87", BTC)
OTHER = script_to_address(b"\x00\x14" + KEY[::-1], BTC)


def route(login: str, **values: str):
    return route_login(parse_login(login), values, NETWORKS, "regbtc")


def test_route_pays_the_parent_address_and_holds_what_has_none():
    routed = route(f"{WITNESS}.rig1")
    accounts = routed.route.accounts
    assert routed.worker == "rig1" and routed.remarks == ()
    assert (accounts["regbtc"].kind, accounts["regbtc"].script_hex) == ("miner", "0014" + KEY.hex())
    assert {c: (a.kind, a.address) for c, a in accounts.items() if c != "regbtc"} == {
        "alpha": ("held", WITNESS),
        "regdoge": ("held", WITNESS),
    }


def test_route_takes_child_addresses_from_login_and_password():
    doge = script_to_address(b"\x76\xa9\x14" + KEY[::-1] + b"\x88\xac", DOGE)
    routed = route(f"{WITNESS}+alpha={OTHER}.x", regdoge=doge)
    assert routed.route.accounts["alpha"].script_hex == address_to_script(OTHER, BTC).hex()
    assert routed.route.accounts["regdoge"].address == doge


def test_route_lets_the_login_win_over_the_password():
    assert route(f"{WITNESS}+alpha={OTHER}", alpha=LEGACY).route.accounts["alpha"].address == OTHER


@pytest.mark.parametrize(
    ("parent", "chain", "script"),
    [
        (WITNESS, "alpha", "0014" + KEY.hex()),
        (WITNESS, "regdoge", "76a914" + KEY.hex() + "88ac"),
        (LEGACY, "alpha", "76a914" + KEY.hex() + "88ac"),
    ],
)
def test_route_derives_the_same_key_only_when_asked(parent, chain, script):
    account = route(f"{parent}+{chain}=same").route.accounts[chain]
    assert (account.kind, account.script_hex) == ("miner", script)


def test_route_cannot_derive_from_a_script_hash_and_says_so():
    routed = route(f"{SCRIPT_HASH}+alpha=same")
    assert routed.route.accounts["alpha"].kind == "held"
    assert "alpha" in routed.remarks[0] and "one key" in routed.remarks[0]


@pytest.mark.parametrize("login", ["nonsense", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "bcrt1qqqq"])
def test_route_refuses_a_bad_parent_address(login):
    with pytest.raises(LoginRefusedError, match="regbtc address expected"):
        route(login)


def test_route_holds_a_bad_child_address_and_tells_the_miner():
    routed = route(f"{WITNESS}+alpha=nonsense+gamma={OTHER}")
    assert routed.route.accounts["alpha"].kind == "held"
    assert any("gamma" in remark for remark in routed.remarks)
    assert any(remark.startswith("alpha:") and "held" in remark for remark in routed.remarks)


def test_route_is_one_account_for_two_spellings_of_an_address():
    assert route(WITNESS.upper()).route == route(WITNESS).route
    assert route(WITNESS.upper()).route.digest == route(WITNESS).route.digest


def test_route_digest_tells_different_accounts_apart():
    digests = {
        route(WITNESS).route.digest,
        route(OTHER).route.digest,
        route(f"{WITNESS}+alpha={OTHER}").route.digest,
        route(f"{WITNESS}+alpha=same").route.digest,
    }
    assert len(digests) == 4


def test_route_ignores_a_parent_entry_in_the_password():
    assert route(WITNESS, regbtc=OTHER).route.accounts["regbtc"].address == WITNESS


def test_route_words_that_are_no_chain_are_ignored_in_the_password():
    assert route(WITNESS, stats="on", x="1").remarks == ()
