"""A devnet node of a kind of our own comes from the pool's configuration, with the wallet that the file pays."""

from __future__ import annotations

from pathlib import Path

import pytest

from chains.network_nodes import account_script, bk_parameters
from chains.primitives.address import address_to_script
from pool.config import load
from pool.devnet_network_node import network_of, wallet_secret
from pool.devnet_node import DevnetError, run_node

DEVNET = Path(__file__).parents[3] / "deploy/devnet.yaml"


def test_devnet_network_node_is_the_network_that_its_chain_names() -> None:
    chain = load(DEVNET).chains["votes"]
    parameters = bk_parameters(network_of(chain))
    assert (parameters.name, parameters.k, parameters.maturity_blocks) == ("votes devnet", 8, 10)
    assert chain.credit_maturity == parameters.maturity_blocks + 1
    parameters.rules()


def test_devnet_network_node_has_the_key_of_the_address_in_the_file() -> None:
    chain = load(DEVNET).chains["votes"]
    assert address_to_script(chain.address, chain.chain_network.addresses) == account_script(wallet_secret("votes"))


def test_devnet_network_node_needs_an_address_of_this_machine() -> None:
    config = load(DEVNET, {"chains.votes.nodes.0.url": "http://192.0.2.1:1"})
    with pytest.raises(DevnetError, match=r"chains\.votes\.nodes\.0\.url: expected http://127"):
        run_node(config, "votes", None)
