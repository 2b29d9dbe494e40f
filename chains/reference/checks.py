"""The block rules that need no coins, in Bitcoin Core's order and with its reason words.

Core checks a submitted block in three steps: alone (CheckBlock), its header against its parents
(ContextualCheckBlockHeader), the whole block against its parents (ContextualCheckBlock). The coins come in chain.py
(ConnectBlock). Each function returns None or the first failing rule's word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chains.primitives.hashes import sha256d
from chains.primitives.merkle import merkle_root
from chains.primitives.script import MAX_SCRIPT_SIG, height_push
from chains.primitives.transaction import NULL_HASH, NULL_INDEX, Transaction
from chains.reference.block import Block
from chains.reference.rules import MAX_FUTURE_S, MAX_MONEY_SAT, MAX_STRIPPED_SIZE, MAX_WEIGHT

COMMITMENT_MARK = bytes.fromhex("6a24aa21a9ed")  # BIP141; a commitment script has at least 38 bytes
COMMITMENT_SIZE = 38
RESERVED_VALUE = bytes(32)
LOCK_TIME_THRESHOLD = 500_000_000  # below: a height, from here on: seconds
FINAL_SEQUENCE = 0xFFFFFFFF

# Reasons that say nothing about the header: the same hash may come back with other bytes (Core's BLOCK_MUTATED).
MUTATED = frozenset({"bad-witness-nonce-size", "bad-witness-merkle-match", "unexpected-witness"})


def _is_mutated(txids: Sequence[bytes]) -> bool:
    """CVE-2012-2459: two equal hashes side by side in any row let transactions be repeated under the same root."""
    row = list(txids)
    while len(row) > 1:
        if any(row[i] == row[i + 1] for i in range(0, len(row) - 1, 2)):
            return True
        if len(row) % 2:
            row.append(row[-1])
        row = [sha256d(row[i] + row[i + 1]) for i in range(0, len(row), 2)]
    return False


def check_transaction(transaction: Transaction) -> str | None:
    """Core's CheckTransaction."""
    if not transaction.inputs:
        return "bad-txns-vin-empty"
    if not transaction.outputs:
        return "bad-txns-vout-empty"
    total = 0
    for output in transaction.outputs:
        if output.amount_sat >= 1 << 63:
            return "bad-txns-vout-negative"
        if output.amount_sat > MAX_MONEY_SAT:
            return "bad-txns-vout-toolarge"
        total += output.amount_sat
        if total > MAX_MONEY_SAT:
            return "bad-txns-txouttotal-toolarge"
    outpoints = [(i.previous_txid, i.previous_index) for i in transaction.inputs]
    if len(set(outpoints)) != len(outpoints):
        return "bad-txns-inputs-duplicate"
    if transaction.is_coinbase:
        if not 2 <= len(transaction.inputs[0].script_sig) <= MAX_SCRIPT_SIG:
            return "bad-cb-length"
    elif (NULL_HASH, NULL_INDEX) in outpoints:
        return "bad-txns-prevout-null"
    return None


def check_alone(block: Block) -> str | None:
    """Core's CheckBlock without the proof of work."""
    txids = [transaction.txid for transaction in block.transactions]
    if not txids or merkle_root(txids) != block.header.merkle_root:
        return "bad-txnmrklroot"
    if _is_mutated(txids):
        return "bad-txns-duplicate"
    if len(block.serialize(witness=False)) > MAX_STRIPPED_SIZE:
        return "bad-blk-length"
    if not block.coinbase.is_coinbase:
        return "bad-cb-missing"
    if any(transaction.is_coinbase for transaction in block.transactions[1:]):
        return "bad-cb-multiple"
    for transaction in block.transactions:
        reason = check_transaction(transaction)
        if reason is not None:
            return reason
    return None


def check_header_in_context(block: Block, bits: int, median_time_s: int, now_s: int) -> str | None:
    """Core's ContextualCheckBlockHeader: the header against what its parents demand and the node's clock."""
    if block.header.bits != bits:
        return "bad-diffbits"
    if block.header.time <= median_time_s:
        return "time-too-old"
    if block.header.time > now_s + MAX_FUTURE_S:
        return "time-too-new"
    version = block.header.version
    if version < 4 or version >= 1 << 31:  # BIP34, 66 and 65 are active from the start; the field is signed
        return f"bad-version(0x{version:08x})"
    return None


def is_final(transaction: Transaction, height: int, median_time_s: int) -> bool:
    """Core's IsFinalTx with BIP113's median time."""
    limit = height if transaction.lock_time < LOCK_TIME_THRESHOLD else median_time_s
    if transaction.lock_time < limit or transaction.lock_time == 0:
        return True
    return all(i.sequence == FINAL_SEQUENCE for i in transaction.inputs)


def has_relative_lock(transaction: Transaction) -> bool:
    """Whether BIP68 would have to be asked. This node keeps no relative lock times, so it takes no such transaction."""
    if transaction.version < 2 or transaction.is_coinbase:
        return False
    return any(not i.sequence & 1 << 31 and i.sequence & 0xFFFF for i in transaction.inputs)


def commitment_index(coinbase: Transaction) -> int | None:
    """The last output that looks like BIP141's commitment."""
    for index in range(len(coinbase.outputs) - 1, -1, -1):
        script = coinbase.outputs[index].script
        if len(script) >= COMMITMENT_SIZE and script.startswith(COMMITMENT_MARK):
            return index
    return None


def witness_commitment(others: Sequence[Transaction], reserved: bytes = RESERVED_VALUE) -> bytes:
    """BIP141: SHA-256d of the witness root (the coinbase counts as 32 zero bytes) and the reserved value."""
    return sha256d(merkle_root([bytes(32), *(transaction.wtxid for transaction in others)]) + reserved)


def _check_witness(block: Block, witness: bool) -> str | None:
    index = commitment_index(block.coinbase) if witness else None
    if index is None:
        return "unexpected-witness" if any(i.witness for t in block.transactions for i in t.inputs) else None
    stack = block.coinbase.inputs[0].witness
    if len(stack) != 1 or len(stack[0]) != 32:
        return "bad-witness-nonce-size"
    committed = block.coinbase.outputs[index].script[6:COMMITMENT_SIZE]
    if committed != witness_commitment(block.transactions[1:], stack[0]):
        return "bad-witness-merkle-match"
    return None


def check_in_context(block: Block, height: int, median_time_s: int, witness: bool) -> str | None:
    """Core's ContextualCheckBlock: lock times, BIP34, BIP141, weight."""
    for transaction in block.transactions:
        if not is_final(transaction, height, median_time_s) or has_relative_lock(transaction):
            return "bad-txns-nonfinal"
    if not block.coinbase.inputs[0].script_sig.startswith(height_push(height)):
        return "bad-cb-height"
    reason = _check_witness(block, witness)
    if reason is None and block.weight > MAX_WEIGHT:
        reason = "bad-blk-weight"
    return reason


def with_coinbase_witness(block: Block) -> Block:
    """The block with the coinbase witness put back that a submitter left out, as Core's submitblock repairs it
    (UpdateUncommittedBlockStructures). A proposal is not repaired."""
    if not block.transactions or not block.coinbase.inputs or commitment_index(block.coinbase) is None:
        return block
    if any(i.witness for i in block.coinbase.inputs):
        return block
    first = replace(block.coinbase.inputs[0], witness=(RESERVED_VALUE,))
    coinbase = replace(block.coinbase, inputs=(first, *block.coinbase.inputs[1:]))
    return replace(block, transactions=(coinbase, *block.transactions[1:]))
