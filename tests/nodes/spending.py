"""Transactions that wait in a real daemon's mempool, so that a block has more than its coinbase."""

from __future__ import annotations

from dataclasses import replace

from node_daemons import RealNode
from stored_blocks import first_of_block

from chains.primitives.hashes import displayed
from chains.primitives.transaction import Transaction, TxIn, TxOut
from chains.reference.signature import sign_input
from chains.reference.wallet import address, private_key, script

COINBASE_MATURITY = 100
FEE_SAT = 10_000
KEY = ("real nodes", 0)


def spend_in_the_open(node: RealNode) -> str:
    """On litecoind, with its wallet: one mature coinbase to a new address, beside the HogEx if there is one; the
    transaction id."""
    coin = next(coin for coin in node.call("listunspent", COINBASE_MATURITY + 1) if coin["amount"] == 50)
    spend = [{"txid": coin["txid"], "vout": coin["vout"]}]
    raw = node.call("createrawtransaction", spend, [{node.call("getnewaddress"): "49.99"}])
    txid_hex: str = node.call("sendrawtransaction", node.call("signrawtransactionwithwallet", raw)["hex"])
    return txid_hex


def peg_in(node: RealNode) -> str:
    """On litecoind above the MWEB height: coins into the extension; the transaction id."""
    txid_hex: str = node.call("sendtoaddress", node.call("getnewaddress", "", "mweb"), "1.5")
    return txid_hex


def spend_without_wallet(node: RealNode) -> str:
    """On bcoin, which runs without a wallet: a coinbase of a key of ours, mined for this and spent with our own
    signature; the transaction id."""
    (hash_hex,) = node.call("generatetoaddress", 1, address(*KEY))
    node.generate(COINBASE_MATURITY)
    _, source = first_of_block(node, hash_hex)
    index, spent = next((i, output) for i, output in enumerate(source.outputs) if output.script == script(*KEY))
    coin = TxIn(source.txid, index, b"")
    unsigned = Transaction(2, (coin,), (TxOut(spent.amount_sat - FEE_SAT, script(*KEY)),))
    _, witness = sign_input(unsigned, 0, spent, private_key(*KEY))
    signed = replace(unsigned, inputs=(replace(coin, witness=witness),))
    node.call("sendrawtransaction", signed.serialize().hex())
    return displayed(signed.txid)
