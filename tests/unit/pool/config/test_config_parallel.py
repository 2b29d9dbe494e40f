"""Chains of kind parallel in the configuration: their sections, and what those of one network share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from config_file import GOOD

from chains.accounts.wallet import address_format
from chains.parallel.parameters import ChainParameters, Mode, NetworkParameters
from chains.primitives.address import script_to_address
from pool.chain_setup import watched_chains
from pool.config.configuration import Config, ParallelChain
from pool.config.reload import ReloadRefusedError, reload_between

NETWORK = NetworkParameters("example", Mode.AUX)


def own_address(hrp: str) -> str:
    address = script_to_address(b"\x00\x14" + b"\x07" * 20, address_format(hrp))
    assert address is not None
    return address


def section(name: str, hrp: str, more: str = "") -> str:
    return f"""\
  {name}:
    kind: parallel
    network_name: example
    chain_name: {name} chain
    hrp: {hrp}
    address: {own_address(hrp)}
    nodes: [{{url: "http://127.0.0.1:9733", user: pool, password: secret}}]
{more}"""


TEXT = GOOD + section("one", "ppa", "    maturity_blocks: 10\n") + section("two", "ppb")


def test_config_takes_chains_of_one_network(accepted: Callable[..., Config]) -> None:
    config = accepted(TEXT)
    one = config.aux_chains["one"]
    assert isinstance(one, ParallelChain)
    assert (one.family, one.network, one.chain_name) == ("parallel", "main", "one chain")
    assert one.context == NETWORK.context
    assert one.chain_network.addresses == ChainParameters("one chain", "", 1, hrp="ppa").addresses
    assert (one.credit_maturity, config.aux_chains["two"].credit_maturity) == (11, 101)
    assert one.genesis_hash is None


@pytest.mark.parametrize(("maturity", "held_to"), [(200, 100), (101, 100), (60, 59)])
async def test_config_holds_nodes_to_the_smaller_of_both_maturities(
    accepted: Callable[..., Config], maturity: int, held_to: int
) -> None:
    watched = watched_chains(accepted(GOOD + section("one", "ppa", f"    maturity: {maturity}\n")))
    assert watched["one"].nodes[0].network.chains["one"].maturity == held_to


def test_config_of_another_maturity_asks_the_nodes_anew(accepted: Callable[..., Config]) -> None:
    before = accepted(TEXT)
    after = accepted(TEXT.replace("maturity_blocks: 10", "maturity_blocks: 20"))
    assert reload_between(before, after).renewed == ("one", "two")
    after = accepted(TEXT.replace("maturity_blocks: 10", "maturity: 30"))
    assert reload_between(before, after).renewed == ("one", "two")


async def test_config_chains_of_one_network_share_their_nodes(accepted: Callable[..., Config]) -> None:
    config = accepted(TEXT)
    watched = watched_chains(config)
    one, two = watched["one"].nodes[0], watched["two"].nodes[0]
    assert one.network is two.network
    assert (one.name, two.name, one.network.name) == ("one[0]", "two[0]", "one+two[0]")
    paid = one.network.chains["two"]
    assert (paid.name, paid.script, paid.former) == ("two chain", b"\x00\x14" + b"\x07" * 20, ())
    assert (one.network.chains["one"].maturity, paid.maturity) == (10, 100)
    assert watched["one"].network.addresses.bech32_hrp == "ppa"
    alone = watched_chains(config, ["two"])["two"].nodes[0]
    assert list(alone.network.chains) == ["one", "two"], "one datum for all, whoever asks"
    for chain in watched.values():
        for node in chain.nodes:
            await node.close()
    await alone.close()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    network_name: example\n    chain_name: two", "    chain_name: two",
         "chains.two.network_name: missing key, expected: The consensus-proof network's `name`"),
        ("    chain_name: two chain\n", "", "chains.two.chain_name: missing key"),
        ("chain_name: two chain", "chain_name: one chain",
         "chains.two.chain_name: expected another chain of example, one is one chain already"),
        ("9733\", user: pool, password: secret}]\n  two", "9734\", user: pool, password: secret}]\n  two",
         "chains.two.nodes: expected the same nodes as chains.one: both are chains of the network example"),
        ("hrp: ppb", "hrp: ppb\n    away_s: 5.0", "chains.two.away_s: expected the same away_s as chains.one"),
        ("hrp: ppa", "hrp: ppa\n    poll_interval_s: 5.0",
         "chains.two: expected the same poll_interval_s as chains.one: both are chains of the network example"),
        ("hrp: ppa", "hrp: PPA", "chains.one.hrp: expected 1 to 20 lower-case letters and digits"),
        ("hrp: ppa", "hrp: ppc", "chains.one.address: expected an address of parallel main with prefix ppc"),
        ("hrp: ppb", "hrp: ppb\n    genesis: 12", "chains.two.genesis: expected text"),
        ("hrp: ppb", "hrp: ppb\n    genesis: \"12\"", "chains.two.genesis: expected a hash of 64 lower-case hex"),
        ("hrp: ppb", "hrp: ppb\n    context_name: x", "chains.two.context_name: unknown key"),
        ("context_name: alpha", "context_name: \"parallel:example\"",
         "chains.one.network_name: expected another network: its context is that of chain alpha, parallel:example"),
        ("parent: regbtc", "parent: one", "parent: expected a chain of kind bitcoin, one is of kind parallel"),
        ("hrp: ppb", "hrp: ppb\n    scheme: pps\n    pps: {minimum_reserve: 10}",
         "chains.two.scheme: expected pplns or solo for chain two: no subsidy of parallel main with prefix ppb is"),
    ],
)  # fmt: skip
def test_config_refuses_chains_of_a_network_that_cannot_be(
    refused: Callable[..., list[str]], old: str, new: str, expected: str
) -> None:
    text = TEXT if "9733" not in old else TEXT.replace("    maturity_blocks: 10\n", "")
    assert old in text
    lines = refused(text.replace(old, new))
    assert any(expected in line for line in lines), lines


def test_config_refuses_two_networks_at_one_node(refused: Callable[..., list[str]]) -> None:
    lines = refused(GOOD + section("one", "ppa") + section("two", "ppb").replace("example", "other"))
    (line,) = [line for line in lines if "url" in line]
    assert line.endswith("expected a node of its own, chains one and two have the same url")


def test_config_reload_asks_anew_for_all_chains_of_a_network(accepted: Callable[..., Config]) -> None:
    both, alone = accepted(TEXT), accepted(GOOD + section("one", "ppa", "    maturity_blocks: 10\n"))
    came = reload_between(alone, both)
    assert (came.added, came.renewed) == (("two",), ("one",))
    left = reload_between(both, alone)
    assert (left.removed, left.renewed) == (("two",), ("one",))
    changed = accepted(TEXT.replace("hrp: ppb", "hrp: ppb\n    waits_for_bodies: false"))
    assert reload_between(both, changed).renewed == ("one", "two")
    assert reload_between(both, accepted(TEXT.replace("hrp: ppb", "hrp: ppb\n    fee_ppm: 5"))).renewed == ()
    other = accepted(TEXT.replace("chain_name: two chain", "chain_name: three"))
    with pytest.raises(ReloadRefusedError, match=r"chains\.two\.chain_name: that is another chain"):
        reload_between(both, other)


def test_config_knows_what_nodes_are_started_with() -> None:
    fields = {field.name for field in dataclasses.fields(ChainParameters)}
    assert {"hrp", "maturity_blocks"} <= fields & ParallelChain.model_fields.keys()
