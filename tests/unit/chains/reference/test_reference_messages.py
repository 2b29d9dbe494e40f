"""signmessage and verifymessage of the reference nodes: what they sign is what the pool takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.message_signing import SigningKey

from chains.families import network
from chains.primitives.address import address_to_script
from chains.primitives.signed_message import signature_refusal
from chains.reference.errors import RpcError
from chains.reference.message_rpc import signmessage, verifymessage

Bench = Any
NET = network("devnet", "regtest")


def test_reference_node_signs_what_the_pool_takes(bench: Bench) -> None:
    address = bench.node.new_address()
    text = f"parapool devnet\nminer: {address}\nnumber: 1"
    signature = signmessage(bench.node, address, text)
    script = address_to_script(address, NET.addresses)
    assert signature_refusal(script, text.encode(), signature, NET.message_magic) is None
    assert verifymessage(bench.node, address, signature, text)
    assert not verifymessage(bench.node, address, signature, text + " ")


def test_reference_node_signs_with_keys_of_its_own_only(bench: Bench) -> None:
    stranger = SigningKey(5).address("p2wpkh", NET)
    with pytest.raises(RpcError, match="Private key not available"):
        signmessage(bench.node, stranger, "text")
    with pytest.raises(RpcError, match="Invalid address"):
        signmessage(bench.node, "nobody", "text")
    assert verifymessage(bench.node, stranger, SigningKey(5).sign("p2wpkh", "text", NET), "text")
    assert not verifymessage(bench.node, stranger, "no signature", "text")


def test_reference_node_without_segwit_signs_for_its_legacy_addresses(make_bench: Callable[..., Bench]) -> None:
    node = make_bench(witness=False).node
    address = node.new_address()
    assert not address.startswith("bcrt1")
    assert verifymessage(node, address, signmessage(node, address, "text"), "text")
