"""The RPC methods around the mempool that a payment needs: sending, trying beforehand, coins, fees."""

from __future__ import annotations

from typing import Any

from chains.primitives.hashes import displayed
from chains.primitives.transaction import Transaction
from chains.reference.coins import Coin
from chains.reference.errors import (
    ALREADY_IN_CHAIN,
    INVALID_PARAMETER,
    VERIFY_ERROR,
    VERIFY_REJECTED,
    RpcError,
)
from chains.reference.mempool import virtual_size
from chains.reference.node import ReferenceNode
from chains.reference.parameters import amount_sat, boolean, hash32, integer
from chains.reference.rules import MAX_FEE_RATE_SAT
from chains.reference.signing_rpc import read_raw
from chains.reference.views import amount, script_view

MISSING = "bad-txns-inputs-missingorspent"
FEE_TOO_HIGH = "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)"
_OLD_WORDS = {MISSING: "Missing inputs"}
# Reject codes that 0.14 put in front: nonstandard or dust, fee, conflict; the rest is invalid.
_OLD_CODES = {"dust": 64, "min relay fee not met": 66, "txn-mempool-conflict": 258}
INVALID_CODE = 16


def _is_dear(transaction: Transaction, fee_sat: int, most_sat: int) -> bool:
    return most_sat > 0 and fee_sat > most_sat * virtual_size(transaction) // 1000


def sendrawtransaction(node: ReferenceNode, hexstring: object, maxfeerate: object = None) -> str:
    """As recorded: sending again what waits already is no error, what is confirmed is −27, missing inputs are −25 and
    anything else −26. What costs more than `maxfeerate` is refused, −25; in an old daemon the parameter allows any
    fee."""
    transaction = read_raw(hexstring)
    txid = transaction.txid
    old = node.rules.old_wallet
    if node.chain.place_of(txid) is not None and _has_coins(node, transaction):
        raise RpcError(ALREADY_IN_CHAIN, _in_chain(old))
    if node.mempool.get(txid) is not None:
        return displayed(txid)
    judgement = node.mempool.judge(transaction)
    if judgement.reason is None and _is_dear(transaction, judgement.fee_sat, _most_sat(old, maxfeerate)):
        raise RpcError(VERIFY_REJECTED, "256: absurdly-high-fee") if old else RpcError(VERIFY_ERROR, FEE_TOO_HIGH)
    reason = node.take_transaction(transaction)
    if reason is not None:
        code = VERIFY_ERROR if reason == MISSING else VERIFY_REJECTED
        raise RpcError(code, _old_words(reason) if old else reason)
    return displayed(txid)


def _most_sat(old: bool, given: object) -> int:
    if given is None:
        return MAX_FEE_RATE_SAT
    if old:
        return 0 if boolean(given) else MAX_FEE_RATE_SAT
    return amount_sat(given)


def _in_chain(old: bool) -> str:
    return "transaction already in block chain" if old else "Transaction outputs already in utxo set"


def _has_coins(node: ReferenceNode, transaction: Transaction) -> bool:
    """Core looks for outputs of it, so a confirmed transaction whose outputs are all spent misses its inputs."""
    txid = transaction.txid
    return any(node.chain.coins.get((txid, index)) for index in range(len(transaction.outputs)))


def _old_words(reason: str) -> str:
    if reason in _OLD_WORDS:
        return _OLD_WORDS[reason]
    word = reason.partition(",")[0]
    return f"{_OLD_CODES.get(word, INVALID_CODE)}: {word}"


def testmempoolaccept(node: ReferenceNode, rawtxs: object, maxfeerate: object = None) -> list[dict[str, Any]]:
    """One transaction at a time."""
    if not isinstance(rawtxs, list) or len(rawtxs) != 1:
        raise RpcError(INVALID_PARAMETER, "Array must contain between 1 and 25 transactions.")
    transaction = read_raw(rawtxs[0])
    wtxid_hex = displayed(transaction.wtxid)
    view: dict[str, Any] = {"txid": displayed(transaction.txid), "wtxid": wtxid_hex}
    judgement = node.mempool.judge(transaction)
    reason = judgement.reason
    if reason == MISSING and _has_coins(node, transaction):
        reason = "txn-already-known"
    if reason is None and _is_dear(transaction, judgement.fee_sat, _most_sat(False, maxfeerate)):
        return [view | {"allowed": False, "reject-reason": "max-fee-exceeded"}]
    if reason is not None:
        word = "missing-inputs" if reason == MISSING else reason.partition(",")[0]
        return [view | {"allowed": False, "reject-reason": word, "reject-details": reason}]
    size = virtual_size(transaction)
    fees = {
        "base": amount(judgement.fee_sat),
        "effective-feerate": amount(judgement.fee_sat * 1000 // size),
        "effective-includes": [wtxid_hex],
    }
    return [view | {"allowed": True, "vsize": size, "fees": fees}]


def gettxout(node: ReferenceNode, txid: object, n: object, include_mempool: object = True) -> dict[str, Any] | None:
    outpoint = (hash32(txid, "txid"), integer(n))
    coin = node.chain.coins.get(outpoint)
    count = 0 if coin is None else node.chain.tip.height - coin.height + 1
    if boolean(include_mempool):
        if node.mempool.spends(outpoint):
            return None
        waiting = node.mempool.get(outpoint[0])
        if coin is None and waiting is not None and 0 <= outpoint[1] < len(waiting.transaction.outputs):
            coin = Coin(waiting.transaction.outputs[outpoint[1]], node.chain.tip.height + 1, False)
    if coin is None:
        return None
    return {
        "bestblock": displayed(node.chain.tip.hash),
        "confirmations": count,
        "value": amount(coin.output.amount_sat),
        "scriptPubKey": script_view(coin.output.script, node.rules),
        "coinbase": coin.coinbase,
    }


def estimatesmartfee(node: ReferenceNode, conf_target: object, estimate_mode: object = None) -> dict[str, Any]:
    """A node that is alone learns nothing of fees, as on any regtest."""
    target = integer(conf_target)
    if not 1 <= target <= 1008:
        raise RpcError(INVALID_PARAMETER, "Invalid conf_target, must be between 1 and 1008")
    if node.rules.old_wallet:
        return {"feerate": -1, "blocks": target}
    return {"errors": ["Insufficient data or no feerate found"], "blocks": target}


def estimatefee(node: ReferenceNode, nblocks: object) -> int:
    integer(nblocks)
    return -1
