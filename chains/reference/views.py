"""Blocks, transactions and scripts as the JSON of Bitcoin Core shows them (fields as in tests/fixtures).

Amounts are decimal numbers with eight places, hashes displayed hex; `asm` and `type` know the standard scripts.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from embit.descriptor.checksum import add_checksum

from chains.primitives.address import script_to_address
from chains.primitives.hashes import displayed
from chains.primitives.target import bits_to_target, target_to_difficulty
from chains.primitives.transaction import Transaction
from chains.reference.block import Block
from chains.reference.chain import Chain, Entry
from chains.reference.rules import Rules

COIN_PLACES = 8

_OPCODES = {0x6A: "OP_RETURN", 0x76: "OP_DUP", 0x87: "OP_EQUAL", 0x88: "OP_EQUALVERIFY", 0xA9: "OP_HASH160"}
_OPCODES |= {0xAC: "OP_CHECKSIG", 0xAE: "OP_CHECKMULTISIG", 0x4F: "-1"}
_OPCODES |= {0x50 + number: str(number) for number in range(1, 17)}


def amount(amount_sat: int) -> Decimal:
    """Satoshi as coins with eight places; the one place where an amount stops being an integer."""
    return Decimal(amount_sat).scaleb(-COIN_PLACES)


def asm(script: bytes) -> str:
    """A script as Core prints it: pushes as hex (up to four bytes as a number), opcodes by name."""
    words: list[str] = []
    position = 0
    while position < len(script):
        code = script[position]
        position += 1
        if code == 0:
            words.append("0")
        elif code <= 0x4C:
            if code == 0x4C:
                code = script[position] if position < len(script) else 0
                position += 1
            data = script[position : position + code]
            position += code
            if len(data) < code:
                words.append("[error]")
                break
            words.append(data.hex() if len(data) > 4 else str(_script_integer(data)))
        else:
            words.append(_OPCODES.get(code, "OP_UNKNOWN"))
    return " ".join(words)


def _script_integer(data: bytes) -> int:
    number = int.from_bytes(data, "little")
    sign = 1 << (8 * len(data) - 1) if data else 0
    return -(number ^ sign) if number & sign else number


def script_type(script: bytes) -> str:
    """Core's name of an output script's form."""
    if len(script) == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return "pubkeyhash"
    if len(script) == 23 and script[:2] == b"\xa9\x14" and script[22:] == b"\x87":
        return "scripthash"
    if script[:1] == b"\x6a":
        return "nulldata"
    witness = {(0, 22): "witness_v0_keyhash", (0, 34): "witness_v0_scripthash", (0x51, 34): "witness_v1_taproot"}
    if len(script) > 2 and script[1] == len(script) - 2:
        return witness.get((script[0], len(script)), "nonstandard")
    return "nonstandard"


def script_view(script: bytes, rules: Rules) -> dict[str, Any]:
    address = script_to_address(script, rules.addresses)
    inner = f"addr({address})" if address else f"raw({script.hex()})"
    view = {"asm": asm(script), "desc": add_checksum(inner), "hex": script.hex()}
    if address:
        view["address"] = address
    return view | {"type": script_type(script)}


def transaction_view(transaction: Transaction, rules: Rules) -> dict[str, Any]:
    """A decoded transaction without its place in a block."""
    weight = transaction.weight
    inputs: list[dict[str, Any]] = []
    for i in transaction.inputs:
        view: dict[str, Any]
        if transaction.is_coinbase:
            view = {"coinbase": i.script_sig.hex()}
        else:
            script_sig = {"asm": asm(i.script_sig), "hex": i.script_sig.hex()}
            view = {"txid": displayed(i.previous_txid), "vout": i.previous_index, "scriptSig": script_sig}
        if i.witness:
            view["txinwitness"] = [item.hex() for item in i.witness]
        inputs.append(view | {"sequence": i.sequence})
    outputs = [
        {"value": amount(o.amount_sat), "n": n, "scriptPubKey": script_view(o.script, rules)}
        for n, o in enumerate(transaction.outputs)
    ]
    return {
        "txid": displayed(transaction.txid),
        "hash": displayed(transaction.wtxid),
        "version": transaction.version,
        "size": len(transaction.serialize()),
        "vsize": (weight + 3) // 4,
        "weight": weight,
        "locktime": transaction.lock_time,
        "vin": inputs,
        "vout": outputs,
    }


def confirmations(chain: Chain, entry: Entry) -> int:
    """1 at the tip, -1 off the active chain."""
    return chain.tip.height - entry.height + 1 if chain.is_active(entry) else -1


def header_view(chain: Chain, entry: Entry) -> dict[str, Any]:
    header = entry.header
    target = bits_to_target(header.bits)
    view: dict[str, Any] = {
        "hash": displayed(entry.hash),
        "confirmations": confirmations(chain, entry),
        "height": entry.height,
        "version": header.version,
        "versionHex": f"{header.version:08x}",
        "merkleroot": displayed(header.merkle_root),
        "time": header.time,
        "mediantime": chain.median_time(entry),
        "nonce": header.nonce,
        "bits": f"{header.bits:08x}",
        "target": f"{target:064x}",
        "difficulty": target_to_difficulty(target),
        "chainwork": f"{entry.work:064x}",
        "nTx": len(entry.txids),
    }
    if entry.parent is not None:
        view["previousblockhash"] = displayed(header.previous_hash)
    after = chain.at(entry.height + 1)
    if after is not None and after.parent is entry:
        view["nextblockhash"] = displayed(after.hash)
    return view | chain.form.describe_proof(header, entry.proof)


def block_view(chain: Chain, entry: Entry, verbosity: int) -> dict[str, Any]:
    """getblock at verbosity 1 (txids) or 2 (decoded transactions)."""
    block: Block = chain.block(entry)
    first = block.coinbase.inputs[0]
    coinbase = {
        "version": block.coinbase.version,
        "locktime": block.coinbase.lock_time,
        "sequence": first.sequence,
        "coinbase": first.script_sig.hex(),
    }
    if first.witness:
        coinbase["witness"] = first.witness[0].hex()
    transactions: list[Any] = [displayed(txid) for txid in entry.txids]
    if verbosity > 1:
        transactions = [transaction_view(t, chain.rules) | {"hex": t.serialize().hex()} for t in block.transactions]
    return header_view(chain, entry) | {
        "strippedsize": len(block.serialize(witness=False)),
        "size": entry.size,
        "weight": block.weight,
        "coinbase_tx": coinbase,
        "tx": transactions,
    }
