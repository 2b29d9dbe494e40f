"""The RPC methods of the wallet, under their real names and parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chains.primitives.address import script_to_address
from chains.primitives.hashes import displayed
from chains.primitives.serialize import MalformedError
from chains.primitives.transaction import Transaction, TxOut, parse_transaction
from chains.reference.chain import Entry
from chains.reference.chain_rpc import find_transaction
from chains.reference.errors import (
    ALREADY_IN_CHAIN,
    DESERIALIZATION,
    INSUFFICIENT_FUNDS,
    INVALID_PARAMETER,
    NOT_FOUND,
    TYPE,
    VERIFY_REJECTED,
    RpcError,
)
from chains.reference.node import ReferenceNode
from chains.reference.parameters import amount_sat, boolean, hash32, integer, mapping, script_of, text
from chains.reference.views import amount
from chains.reference.wallet import InsufficientFundsError


def _last_processed(node: ReferenceNode) -> dict[str, Any]:
    return {"hash": displayed(node.chain.tip.hash), "height": node.chain.tip.height}


def getnewaddress(node: ReferenceNode, label: object = "", address_type: object = None) -> str:
    text(label)
    return node.new_address()


def getbalances(node: ReferenceNode) -> dict[str, Any]:
    trusted_sat, immature_sat = node.wallet.balances_sat()
    mine = {
        "trusted": amount(trusted_sat),
        "untrusted_pending": amount(0),
        "immature": amount(immature_sat),
        "nonmempool": amount(0),
    }
    return {"mine": mine, "lastprocessedblock": _last_processed(node)}


def getbalance(node: ReferenceNode, dummy: object = "*", minconf: object = 0) -> Any:
    return amount(node.wallet.balances_sat()[0])


def listunspent(node: ReferenceNode, minconf: object = 1, maxconf: object = 9999999) -> list[dict[str, Any]]:
    """Confirmed mature coins; a waiting transaction's outputs are not listed even for minconf 0."""
    least, most = integer(minconf), integer(maxconf)
    items = []
    for (txid, index), coin in node.wallet.spendable():
        count = node.chain.tip.height - coin.height + 1
        if not least <= count <= most:
            continue
        items.append(
            {
                "txid": displayed(txid),
                "vout": index,
                "address": script_to_address(coin.output.script, node.rules.addresses),
                "label": "",
                "scriptPubKey": coin.output.script.hex(),
                "amount": amount(coin.output.amount_sat),
                "confirmations": count,
                "spendable": True,
                "solvable": True,
                "safe": True,
            }
        )
    return items


def _pay(node: ReferenceNode, outputs: list[TxOut]) -> str:
    try:
        return displayed(node.send(outputs))
    except InsufficientFundsError as error:
        raise RpcError(INSUFFICIENT_FUNDS, "Insufficient funds") from error


def _output(node: ReferenceNode, address: object, value: object) -> TxOut:
    message = f"Invalid Bitcoin address: {address}"
    script = script_of(address, node.rules.addresses, NOT_FOUND, message)
    value_sat = amount_sat(value)
    if value_sat == 0:
        raise RpcError(TYPE, "Invalid amount for send")
    return TxOut(value_sat, script)


def sendtoaddress(
    node: ReferenceNode,
    address: object,
    amount: object,
    comment: object = "",
    comment_to: object = "",
    subtractfeefromamount: object = False,
) -> str:
    if boolean(subtractfeefromamount):
        raise RpcError(INVALID_PARAMETER, "subtractfeefromamount is not offered by this node")
    return _pay(node, [_output(node, address, amount)])


def sendmany(node: ReferenceNode, dummy: object, amounts: object) -> str:
    return _pay(node, [_output(node, address, value) for address, value in mapping(amounts).items()])


def sendrawtransaction(node: ReferenceNode, hexstring: object, maxfeerate: object = None) -> str:
    """As recorded: sending again what waits already is no error, what is confirmed is -27, anything else -26."""
    try:
        transaction = parse_transaction(bytes.fromhex(text(hexstring)))
    except (MalformedError, ValueError) as error:
        message = "TX decode failed. Make sure the tx has at least one input."
        raise RpcError(DESERIALIZATION, message) from error
    txid = transaction.txid
    if node.chain.place_of(txid) is not None:
        raise RpcError(ALREADY_IN_CHAIN, "Transaction outputs already in utxo set")
    if node.mempool.get(txid) is None:
        reason = node.take_transaction(transaction)
        if reason is not None:
            raise RpcError(VERIFY_REJECTED, reason)
    return displayed(txid)


@dataclass(frozen=True, slots=True)
class _Known:
    """A wallet transaction and where it is: in an active block, waiting, or in neither (`entry` None)."""

    transaction: Transaction
    entry: Entry | None
    time_s: int
    waiting: bool


def _find(node: ReferenceNode, txid: bytes) -> _Known | None:
    entry = node.chain.place_of(txid)
    if entry is not None:
        confirmed = find_transaction(node, txid, entry)
        return _Known(confirmed, entry, entry.header.time, False) if confirmed else None
    waiting = node.mempool.get(txid)
    if waiting is not None:
        return _Known(waiting.transaction, None, waiting.time_s, True)
    left = node.nowhere.get(txid)
    return _Known(left, None, node.chain.tip.header.time, False) if left else None


def _spent_sat(node: ReferenceNode, transaction: Transaction) -> tuple[int, set[bytes]]:
    """What a transaction took from the wallet, and from which scripts."""
    total_sat, scripts = 0, set()
    if not transaction.is_coinbase:
        for i in transaction.inputs:
            source = _find(node, i.previous_txid)
            if source is not None and i.previous_index < len(source.transaction.outputs):
                output = source.transaction.outputs[i.previous_index]
                if node.wallet.owns(output.script):
                    total_sat += output.amount_sat
                    scripts.add(output.script)
    return total_sat, scripts


def _category(node: ReferenceNode, known: _Known) -> str:
    if not known.transaction.is_coinbase:
        return "receive"
    if known.entry is None:
        return "orphan"
    depth = node.chain.tip.height - known.entry.height + 1
    return "generate" if depth > node.rules.maturity else "immature"


def gettransaction(
    node: ReferenceNode, txid: object, include_watchonly: object = None, verbose: object = False
) -> dict[str, Any]:
    known = _find(node, hash32(txid, "txid"))
    transaction = known.transaction if known else None
    spent_sat, change_scripts = _spent_sat(node, transaction) if transaction else (0, set())
    ours = transaction is not None and any(node.wallet.owns(o.script) for o in transaction.outputs)
    if known is None or transaction is None or not (ours or spent_sat):
        raise RpcError(NOT_FOUND, "Invalid or non-wallet transaction id")
    category = _category(node, known)
    received_sat = sum(o.amount_sat for o in transaction.outputs if node.wallet.owns(o.script))
    fee_sat = spent_sat - sum(o.amount_sat for o in transaction.outputs) if spent_sat else 0
    details: list[dict[str, Any]] = []
    for index, output in enumerate(transaction.outputs):
        if output.script in change_scripts:
            continue
        shown = {"address": script_to_address(output.script, node.rules.addresses)}
        tail = {"label": "", "vout": index}
        if spent_sat:
            sent = {"category": "send", "amount": amount(-output.amount_sat)}
            details.append(shown | sent | tail | {"fee": amount(-fee_sat), "abandoned": False})
        if node.wallet.owns(output.script):
            received = {"category": category, "amount": amount(output.amount_sat)}
            details.append(shown | received | tail | {"abandoned": False})
    # A coinbase that cannot be spent yet, or never, counts as nothing received.
    credit_sat = 0 if category in ("immature", "orphan") else received_sat
    view: dict[str, Any] = {"amount": amount(credit_sat - spent_sat + fee_sat)}
    if spent_sat:
        view["fee"] = amount(-fee_sat)
    view["confirmations"] = node.chain.tip.height - known.entry.height + 1 if known.entry else 0
    if transaction.is_coinbase:
        view["generated"] = True
    if known.entry is not None:
        view |= {
            "blockhash": displayed(known.entry.hash),
            "blockheight": known.entry.height,
            "blockindex": known.entry.txids.index(transaction.txid),
            "blocktime": known.entry.header.time,
        }
    else:
        view["trusted"] = known.waiting
    return view | {
        "txid": displayed(transaction.txid),
        "wtxid": displayed(transaction.wtxid),
        "walletconflicts": [],
        "mempoolconflicts": [],
        "time": known.time_s,
        "timereceived": known.time_s,
        "details": details,
        "hex": transaction.serialize().hex(),
        "lastprocessedblock": _last_processed(node),
    }
