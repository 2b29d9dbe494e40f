"""Every entry of signed_messages.json: what other implementations signed, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chains.families import network
from chains.primitives.address import address_to_script
from chains.primitives.bip322 import tagged_hash, to_sign, to_spend
from chains.primitives.hashes import displayed
from chains.primitives.signed_message import signature_refusal

VECTORS = json.loads((Path(__file__).parent / "signed_messages.json").read_text())


def refusal(vector: dict[str, Any]) -> str | None:
    net = network(vector.get("family", "bitcoin"), vector.get("network", "main"))
    script = address_to_script(vector["address"], net.addresses)
    return signature_refusal(script, vector["message"].encode(), vector["signature"], net.message_magic)


@pytest.mark.parametrize("vector", VECTORS["bip322_transactions"], ids=lambda v: v["message"][:11] or "empty")
def test_signed_message_vector_transactions(vector: dict[str, Any]) -> None:
    script = address_to_script(vector["address"], network("bitcoin", "main").addresses)
    message = vector["message"].encode()
    assert tagged_hash("BIP0322-signed-message", message).hex() == vector["message_hash"]
    assert displayed(to_spend(script, message).txid) == vector["to_spend"]
    assert displayed(to_sign(script, message).txid) == vector["to_sign"]


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda v: f"{v['source']}-{v['address'][:8]}")
def test_signed_message_vector_is_good(vector: dict[str, Any]) -> None:
    assert refusal(vector) is None
    assert refusal(vector | {"message": vector["message"] + " "}) is not None


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda v: f"{v['source']}-{v['reason']}")
def test_signed_message_vector_is_refused(vector: dict[str, Any]) -> None:
    assert vector["reason"] in (refusal(vector) or "")
