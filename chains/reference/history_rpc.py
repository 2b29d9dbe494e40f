"""The RPC methods that tell what happened in the wallet: gettransaction and listsinceblock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from chains.primitives.address import script_to_address
from chains.primitives.hashes import displayed
from chains.primitives.transaction import Transaction
from chains.reference.chain import Entry
from chains.reference.chain_rpc import entry_of, find_transaction
from chains.reference.errors import INVALID_PARAMETER, NOT_FOUND, RpcError
from chains.reference.node import ReferenceNode
from chains.reference.parameters import hash32, integer
from chains.reference.views import amount
from chains.reference.wallet_rpc import last_processed

# Fields that Dogecoin 1.14 does not have yet.
_NEWER = ("blockheight", "wtxid", "mempoolconflicts", "lastprocessedblock")


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


def _conflict(node: ReferenceNode, known: _Known) -> tuple[int, list[str]]:
    """How deep another spender of an input is confirmed (0: none is), and the txids of such spenders."""
    if known.entry is not None or known.waiting:
        return 0, []
    depth, txids = 0, []
    for i in known.transaction.inputs:
        outpoint = (i.previous_txid, i.previous_index)
        entry = node.chain.spender_of(outpoint)
        if entry is None:
            continue
        depth = max(depth, node.chain.tip.height - entry.height + 1)
        for other in node.chain.block(entry).transactions:
            if any((j.previous_txid, j.previous_index) == outpoint for j in other.inputs):
                txids.append(displayed(other.txid))
    return depth, sorted(set(txids))


def _place(node: ReferenceNode, known: _Known) -> dict[str, Any]:
    """The fields about block and time, which details in lists carry too."""
    transaction = known.transaction
    depth, conflicts = _conflict(node, known)
    view: dict[str, Any] = {
        "confirmations": node.chain.tip.height - known.entry.height + 1 if known.entry else -depth
    }
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
        "walletconflicts": conflicts,
        "mempoolconflicts": [],
        "time": known.time_s,
        "timereceived": known.time_s,
    }


def _details(node: ReferenceNode, known: _Known, fee_sat: int | None, change_scripts: set[bytes]) -> list[Any]:
    """One entry for each output that we paid, one for each that pays us; change has none. `fee_sat` is None for a
    transaction that took nothing from the wallet."""
    category = _category(node, known)
    details: list[dict[str, Any]] = []
    for index, output in enumerate(known.transaction.outputs):
        if output.script in change_scripts or (fee_sat is not None and node.wallet.is_change(output.script)):
            continue
        shown = {"address": script_to_address(output.script, node.rules.addresses)}
        tail = {"label": "", "vout": index}
        if fee_sat is not None:
            sent = {"category": "send", "amount": amount(-output.amount_sat)}
            details.append(shown | sent | tail | {"fee": amount(-fee_sat), "abandoned": False})
        if node.wallet.owns(output.script):
            received = {"category": category, "amount": amount(output.amount_sat)}
            details.append(shown | received | tail | {"abandoned": False})
    return details


def _without_newer(node: ReferenceNode, view: dict[str, Any]) -> dict[str, Any]:
    if not node.rules.old_wallet:
        return view
    return {key: value for key, value in view.items() if key not in _NEWER}


def gettransaction(
    node: ReferenceNode, txid: object, include_watchonly: object = None, verbose: object = False
) -> dict[str, Any]:
    known = _find(node, hash32(txid, "txid"))
    spent_sat, change_scripts = _spent_sat(node, known.transaction) if known else (0, set())
    ours = known is not None and any(node.wallet.owns(o.script) for o in known.transaction.outputs)
    if known is None or not (ours or spent_sat):
        raise RpcError(NOT_FOUND, "Invalid or non-wallet transaction id")
    transaction = known.transaction
    category = _category(node, known)
    received_sat = sum(o.amount_sat for o in transaction.outputs if node.wallet.owns(o.script))
    fee_sat = spent_sat - sum(o.amount_sat for o in transaction.outputs) if spent_sat else 0
    # A coinbase that cannot be spent yet, or never, counts as nothing received.
    credit_sat = 0 if category in ("immature", "orphan") else received_sat
    view: dict[str, Any] = {"amount": amount(credit_sat - spent_sat + fee_sat)}
    if spent_sat:
        view["fee"] = amount(-fee_sat)
    view |= _place(node, known) | {
        "details": _details(node, known, fee_sat if spent_sat else None, change_scripts),
        "hex": transaction.serialize().hex(),
        "lastprocessedblock": last_processed(node),
    }
    return _without_newer(node, view)


def _above(node: ReferenceNode, height: int) -> Iterator[_Known]:
    """Every transaction of the active chain above a height, and those outside of it."""
    for entry in node.chain.path(node.chain.at(height) or node.chain.tip, node.chain.tip):
        for transaction in node.chain.block(entry).transactions:
            yield _Known(transaction, entry, entry.header.time, False)
    for waiting in node.mempool:
        yield _Known(waiting.transaction, None, waiting.time_s, True)
    for transaction in node.nowhere.values():
        yield _Known(transaction, None, node.chain.tip.header.time, False)


def listsinceblock(node: ReferenceNode, blockhash: object = None, target_confirmations: object = 1) -> dict[str, Any]:
    """What the wallet paid and got above a block of the active chain (or above where another one left it)."""
    if blockhash is None or blockhash == "":
        height = -1
    else:
        height = node.chain.fork_point(entry_of(node, blockhash), node.chain.tip).height
    target = integer(target_confirmations)
    if target < 1:
        raise RpcError(INVALID_PARAMETER, "Invalid parameter")
    entries: list[dict[str, Any]] = []
    for known in _above(node, max(0, height)):
        spent_sat, change_scripts = _spent_sat(node, known.transaction)
        fee_sat = spent_sat - sum(o.amount_sat for o in known.transaction.outputs) if spent_sat else None
        details = _details(node, known, fee_sat, change_scripts)
        if spent_sat or any(node.wallet.owns(o.script) for o in known.transaction.outputs):
            place = _place(node, known)
            entries += [_without_newer(node, detail | place) for detail in details]
    last = node.chain.at(max(0, node.chain.tip.height - target + 1))
    assert last is not None
    return {"transactions": entries, "removed": [], "lastblock": displayed(last.hash)}
