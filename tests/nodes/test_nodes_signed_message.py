"""Signed messages between us and a real litecoind: each side takes what the other signs, and nothing else."""

from __future__ import annotations

from node_daemons import RealNode
from support.message_signing import SigningKey

from chains.families import network
from chains.primitives.address import address_to_script
from chains.primitives.signed_message import signature_refusal

NET = network("litecoin", "regtest")
MESSAGES = ("", "Hello World", "parapool main\nminer: someone\nnumber: 1\n", "ä€😄", "x" * 2000)


def test_nodes_litecoind_takes_what_we_sign_and_the_other_way_round(litecoin_node: RealNode) -> None:
    key = SigningKey(0xC0FFEE)
    wif = key.private.wif({"wif": b"\xef"})
    address = key.address("p2pkh", NET)
    for message in MESSAGES:
        theirs = litecoin_node.call("signmessagewithprivkey", wif, message)
        script = address_to_script(address, NET.addresses)
        assert signature_refusal(script, message.encode(), theirs, NET.message_magic) is None
        ours = key.sign("p2pkh", message, NET)
        assert litecoin_node.call("verifymessage", address, ours, message) is True
        assert litecoin_node.call("verifymessage", address, ours, message + "x") is False
        assert signature_refusal(script, message.encode() + b"x", theirs, NET.message_magic) is not None
