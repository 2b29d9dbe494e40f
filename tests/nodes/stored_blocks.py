"""Blocks as a daemon stores and shows them, so that what a test proves rests on the node's bytes and not on ours."""

from __future__ import annotations

from typing import Any

from node_daemons import RealNode

from chains.kind import SolvedHeader
from chains.primitives.hashes import from_displayed
from chains.primitives.header import Header, read_header
from chains.primitives.merkle import coinbase_branch
from chains.primitives.serialize import Reader
from chains.primitives.transaction import Transaction, read_transaction

COIN_SAT = 100_000_000


def solved_from_node(node: RealNode, hash_hex: str) -> SolvedHeader:
    """The header, coinbase and merkle branch of a stored block. Only the coinbase is parsed: a HogEx is no ordinary
    transaction."""
    header, coinbase = first_of_block(node, hash_hex)
    txids = [from_displayed(txid_hex) for txid_hex in node.call("getblock", hash_hex, 1)["tx"]]
    assert txids[0] == coinbase.txid
    return SolvedHeader(header.serialize(), coinbase.serialize(witness=False), coinbase_branch(txids[1:]))


def first_of_block(node: RealNode, hash_hex: str) -> tuple[Header, Transaction]:
    """A stored parent block's header and coinbase."""
    reader = Reader(bytes.fromhex(node.call("getblock", hash_hex, 0)))
    header = read_header(reader)
    assert reader.count() >= 1
    return header, read_transaction(reader)


def paid_to(node: RealNode, hash_hex: str, script: bytes) -> int:
    """What a block's coinbase pays to a script by the node's own account of its outputs, in satoshi."""
    details = (True, True) if node.name == "bcoin" else (2,)
    outputs: list[dict[str, Any]] = node.call("getblock", hash_hex, *details)["tx"][0]["vout"]
    values = [output["value"] * COIN_SAT for output in outputs if output["scriptPubKey"]["hex"] == script.hex()]
    assert all(value == int(value) for value in values)
    return sum(int(value) for value in values)
