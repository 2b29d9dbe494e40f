"""A wallet's answers as exact values: amounts, coins, transactions. Pure.

What makes no sense is refused with WalletRefusedError, naming the field and never guessing: money hangs on every one of
these numbers. A transaction is believed only by its bytes, which must hash to the txid that was asked for; so the
amount and script of a coin are proven by the transaction that made it, whatever the wallet says of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from chains.primitives import fields
from chains.primitives.hashes import displayed
from chains.primitives.serialize import MalformedError, Reader
from chains.primitives.transaction import Transaction, TxIn, TxOut, read_output
from chains.signed_form import can_judge
from chains.wallet import Coin, Outpoint, WalletRefusedError

UNITS_PER_COIN = 10**8  # every family of chains/families.py has eight places
MAX_AMOUNT = 2**63 - 1
MAX_DIGITS = 40  # an amount has at most 19; more is no amount, and reading it would take time
MAX_CONFIRMATIONS = 2**31 - 1
MAX_VOUT = 2**32 - 1

_WITNESS_FLAG, _MWEB_FLAG = 1, 8


def units(value: Any, name: str) -> int:
    """A JSON amount in coins as whole smallest units, exactly. Negative ones, fractions of a unit, NaN, text and
    booleans are refused. The node's numbers come as int or Decimal (chains/node_rpc.py), never as float."""
    if type(value) is not int and type(value) is not Decimal:
        raise WalletRefusedError(f"{name}: expected an amount, got {type(value).__name__}")
    number = Decimal(value)
    if not number.is_finite() or len(number.as_tuple().digits) > MAX_DIGITS or abs(number.adjusted()) > MAX_DIGITS:
        raise WalletRefusedError(f"{name}: expected an amount, got a number out of all bounds")
    amount = Fraction(number) * UNITS_PER_COIN
    if amount.denominator != 1:
        raise WalletRefusedError(f"{name}: {value} has more than eight places")
    if not 0 <= amount <= MAX_AMOUNT:
        raise WalletRefusedError(f"{name}: {value} is out of range")
    return int(amount)


@dataclass(frozen=True, slots=True)
class Unspent:
    """An entry of `listunspent` as the wallet tells it; not yet proven."""

    outpoint: Outpoint
    amount: int
    script: bytes
    confirmations: int


def unspent(record: Any) -> Unspent | None:
    """An entry of `listunspent`; None when it is no coin to pay with: watched only, of a form whose signatures nobody
    could judge, or inside Litecoin's extension (an MWEB coin has no `vout`)."""
    entry = mapping(record, "listunspent")
    if "vout" not in entry or "scriptPubKey" not in entry:
        if str(entry.get("address", "")).startswith(("ltcmweb1", "tmweb1")):
            return None
        raise WalletRefusedError("listunspent: a coin without vout or scriptPubKey")
    try:
        outpoint = Outpoint(fields.hash_bytes(entry, "txid"), fields.integer(entry, "vout", 0, MAX_VOUT))
        script = fields.hex_bytes(entry, "scriptPubKey")
        confirmations = fields.integer(entry, "confirmations", 0, MAX_CONFIRMATIONS)
        can_sign = all(fields.boolean(entry, key) for key in ("spendable", "solvable") if key in entry)
        redeem_script = fields.hex_bytes(entry, "redeemScript") if "redeemScript" in entry else None
    except fields.FieldError as error:
        raise WalletRefusedError(f"listunspent: {error}") from error
    amount = units(entry.get("amount"), "listunspent: amount")
    if not can_sign or not can_judge(script, redeem_script):
        return None
    return Unspent(outpoint, amount, script, confirmations)


def prove(claim: Unspent, source: Transaction, *, coinbase: bool) -> Coin:
    """The coin, whose amount and script are what its transaction says. Raises WalletRefusedError where the wallet tells
    something else."""
    shown = f"{displayed(claim.outpoint.txid)}:{claim.outpoint.vout}"
    if claim.outpoint.vout >= len(source.outputs):
        raise WalletRefusedError(f"coin {shown}: its transaction has only {len(source.outputs)} outputs")
    output = source.outputs[claim.outpoint.vout]
    if output.amount_sat != claim.amount:
        raise WalletRefusedError(f"coin {shown}: the wallet says {claim.amount} units, the chain {output.amount_sat}")
    if output.script != claim.script:
        raise WalletRefusedError(f"coin {shown}: the wallet tells another script than the chain")
    return Coin(claim.outpoint, claim.amount, claim.script, claim.confirmations, coinbase)


def transaction_of(raw: Any, txid: bytes) -> Transaction | None:
    """The transaction of a hex answer, which must have this txid. None for one that is wholly inside Litecoin's
    extension: it has no outputs that anybody could pay with. A part that belongs to the extension is dropped."""
    data = fields.parse_hex(raw)
    if data is None:
        raise WalletRefusedError(f"transaction {displayed(txid)}: expected hex digits")
    try:
        transaction = _read(data)
    except MalformedError as error:
        raise WalletRefusedError(f"transaction {displayed(txid)}: unreadable, {error}") from error
    if transaction is not None and transaction.txid != txid:
        raise WalletRefusedError(f"transaction {displayed(txid)}: the wallet answers with another one")
    return transaction


def _read(data: bytes) -> Transaction | None:
    """Like primitives.transaction.parse_transaction, and Litecoin's third form besides: with flag 8 the extension's
    part stands between the witnesses and the lock time (LIP-0003), and reaches up to it."""
    reader = Reader(data)
    version = reader.i32()
    flags = 0
    start = reader.position
    if reader.read(1) == b"\x00":
        flags = reader.read(1)[0]
        if not flags or flags & ~(_WITNESS_FLAG | _MWEB_FLAG):
            raise MalformedError("unknown transaction flag")
    else:
        reader.position = start
    inputs: list[TxIn] = reader.many(
        lambda: TxIn(reader.hash32(), reader.u32(), reader.variable(), reader.u32())
    )
    outputs: list[TxOut] = reader.many(lambda: read_output(reader))
    if flags & _WITNESS_FLAG:
        stacks = [tuple(reader.many(reader.variable)) for _ in inputs]
        inputs = [
            TxIn(i.previous_txid, i.previous_index, i.script_sig, i.sequence, stack)
            for i, stack in zip(inputs, stacks, strict=True)
        ]
    if flags & _MWEB_FLAG:
        reader.read(max(0, reader.remaining() - 4))
    lock_time = reader.u32()
    reader.finish()
    if not inputs and flags & _MWEB_FLAG:
        return None
    return Transaction(version, tuple(inputs), tuple(outputs), lock_time)


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    """An answer that must be an object."""
    if not isinstance(value, Mapping):
        raise WalletRefusedError(f"{name}: expected an object, got {type(value).__name__}")
    return value


def listing(value: Any, name: str) -> list[Any]:
    """An answer that must be a list."""
    if not isinstance(value, list):
        raise WalletRefusedError(f"{name}: expected a list, got {type(value).__name__}")
    return value


def integer(record: Mapping[str, Any], key: str, least: int, most: int, name: str) -> int:
    """An integer of an answer within bounds."""
    try:
        return fields.integer(record, key, least, most)
    except fields.FieldError as error:
        raise WalletRefusedError(f"{name}: {error}") from error


def hash_of(record: Mapping[str, Any], key: str, name: str) -> bytes:
    """The natural bytes of a displayed hash in an answer."""
    try:
        return fields.hash_bytes(record, key)
    except fields.FieldError as error:
        raise WalletRefusedError(f"{name}: {error}") from error
