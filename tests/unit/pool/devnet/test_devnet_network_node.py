"""A devnet node of a kind of our own comes from the pool's configuration, with the wallet that the file pays."""

from __future__ import annotations

from pathlib import Path

import pytest

from chains.network_nodes import account_script, bk_parameters
from chains.parallel.description import read_network
from chains.primitives.address import address_to_script
from pool.config.configuration import load
from pool.devnet.network_node import network_of, wallet_secret
from pool.devnet.node import DevnetError, run_node
from pool.parallel_setup import network_members

DEVNET = Path(__file__).parents[4] / "deploy/devnet.yaml"


def test_devnet_network_node_is_the_network_that_its_chain_names() -> None:
    config = load(DEVNET)
    chain = config.chains["votes"]
    parameters = bk_parameters(network_of(config, "votes"))
    assert (parameters.name, parameters.k, parameters.maturity_blocks) == ("votes devnet", 8, 10)
    assert chain.credit_maturity == parameters.maturity_blocks + 1
    parameters.rules()


def test_devnet_network_node_has_the_key_of_the_address_in_the_file() -> None:
    chains = load(DEVNET).chains
    for name, owner in {"votes": "votes", "north": "north", "south": "north"}.items():
        form = chains[name].chain_network.addresses
        assert address_to_script(chains[name].address, form) == account_script(wallet_secret(owner))


def test_devnet_network_node_has_every_chain_of_a_consensus_proof_network() -> None:
    config = load(DEVNET)
    network, followed = read_network(network_of(config, "north"))
    members = network_members(config, "consensus devnet")
    assert list(members) == ["north", "south"]
    for parameters, section in zip(followed, members.values(), strict=True):
        assert network.context == section.context
        assert (parameters.name, parameters.maturity_blocks) == (section.chain_name, 10)
        assert parameters.addresses == section.chain_network.addresses
        assert section.credit_maturity == 11
    assert network_of(config, "south") == network_of(config, "north")


def test_devnet_network_node_needs_an_address_of_this_machine() -> None:
    config = load(DEVNET, {"chains.votes.nodes.0.url": "http://192.0.2.1:1"})
    with pytest.raises(DevnetError, match=r"chains\.votes\.nodes\.0\.url: expected http://127"):
        run_node(config, "votes", None)
