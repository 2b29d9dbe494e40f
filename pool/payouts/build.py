"""The unsigned transaction of a batch, and the proof that it, and later the signed one, pays exactly what was planned.

Amounts are integers from the ledger to the wire: no decimal, no float, nothing a JSON parser could round (P10, P12).
What comes out of a wallet is decoded and compared with what went in; a difference of one unit stops the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

from chains.primitives.serialize import MalformedError
from chains.primitives.transaction import Transaction, TxIn, TxOut, parse_transaction
from chains.wallet import Outpoint
from pool.payouts.batch import BuiltBatch, Change, PaidOutput
from pool.payouts.compose import Composition
from pool.payouts.sizes import transaction_weight, virtual_size

VERSION = 2
SEQUENCE = 0xFFFFFFFD
"""Signals that the fee may be raised (BIP125) and asks for no relative lock time (BIP68)."""


class BatchMismatchError(Exception):
    """A transaction that does not do what its batch says: one sentence. The batch goes on hold, nothing is sent."""


@dataclass(frozen=True, slots=True)
class SignedIds:
    """Ids of a signed transaction, natural order, and its size."""

    txid: bytes
    wtxid: bytes
    vsize: int


def build(composition: Composition, change_script: bytes, wanted: tuple[str, ...]) -> BuiltBatch:
    """The unsigned transaction: payouts in their order, change last. `wanted` are the ids of all planned payouts; those
    that the composition left out are `dropped`. Raises BatchMismatchError should the bytes not say what they must.
    """
    outputs, paid = [], []
    for vout, (payout, net) in enumerate(zip(composition.payouts, composition.nets, strict=True)):
        outputs.append(TxOut(net, payout.script))
        paid.append(PaidOutput(payout.id, vout, net, payout.gross - net))
    change = None
    if composition.change:
        change = Change(len(outputs), composition.change, change_script)
        outputs.append(TxOut(change.amount, change.script))
    inputs = tuple(TxIn(*coin.outpoint, b"", SEQUENCE) for coin in composition.coins)
    transaction = Transaction(VERSION, inputs, tuple(outputs))
    weight = transaction_weight([coin.script for coin in composition.coins], [output.script for output in outputs])
    kept = {payout.id for payout in composition.payouts}
    built = BuiltBatch(
        raw=transaction.serialize(),
        coins=composition.coins,
        outputs=tuple(paid),
        change=change,
        fee=composition.fee,
        pool_fee=composition.pool_fee,
        vsize=virtual_size(weight),
        dropped=tuple(payout_id for payout_id in wanted if payout_id not in kept),
    )
    verify_built(built, {payout.id: (payout.script, payout.gross) for payout in composition.payouts})
    return built


def verify_built(built: BuiltBatch, wanted: dict[str, tuple[bytes, int]]) -> None:
    """The decoded bytes against the plan: `wanted` is script and gross amount by payout id. Raises BatchMismatchError.

    Checked: inputs are the named coins, each once; every payout is paid once, to its script, gross less its part of the
    fee; nothing else goes out but the change; and all of it adds up to the inputs.
    """
    transaction = _parse(built.raw)
    spent = [Outpoint(i.previous_txid, i.previous_index) for i in transaction.inputs]
    if spent != list(built.inputs) or len(set(spent)) != len(spent):
        raise BatchMismatchError("the inputs are not the chosen coins")
    expected: dict[int, TxOut] = {}
    for output in built.outputs:
        script, gross = wanted[output.payout_id]
        if output.net + output.fee_part != gross or output.net <= 0 or output.fee_part < 0:
            raise BatchMismatchError(f"payout {output.payout_id}: net and fee do not make {gross}")
        expected[output.vout] = TxOut(output.net, script)
    if {output.payout_id for output in built.outputs} != wanted.keys() or len(built.outputs) != len(wanted):
        raise BatchMismatchError("the outputs do not pay every payout once")
    if built.change is not None:
        expected[built.change.vout] = TxOut(built.change.amount, built.change.script)
    if dict(enumerate(transaction.outputs)) != expected:
        raise BatchMismatchError("the outputs are not what was planned")
    paid = sum(output.amount_sat for output in transaction.outputs)
    if sum(coin.amount for coin in built.coins) != paid + built.fee:
        raise BatchMismatchError(f"inputs and outputs differ by something else than the fee of {built.fee}")
    if built.fee != built.pool_fee + sum(output.fee_part for output in built.outputs) or built.pool_fee < 0:
        raise BatchMismatchError("the parts of the fee do not add up")


def verify_signed(raw: bytes, built: BuiltBatch) -> SignedIds:
    """What a wallet signed against what it was given: only signatures may differ. Raises BatchMismatchError."""
    signed, unsigned = _parse(raw), _parse(built.raw)
    if (signed.version, signed.lock_time, signed.outputs) != (unsigned.version, unsigned.lock_time, unsigned.outputs):
        raise BatchMismatchError("the wallet changed the transaction")
    if [_unsigned(i) for i in signed.inputs] != [_unsigned(i) for i in unsigned.inputs]:
        raise BatchMismatchError("the wallet changed the inputs")
    if not all(i.script_sig or i.witness for i in signed.inputs):
        raise BatchMismatchError("the wallet did not sign every input")
    return SignedIds(signed.txid, signed.wtxid, virtual_size(signed.weight))


def _unsigned(tx_in: TxIn) -> tuple[bytes, int, int]:
    return tx_in.previous_txid, tx_in.previous_index, tx_in.sequence


def _parse(raw: bytes) -> Transaction:
    try:
        return parse_transaction(raw)
    except MalformedError as error:
        raise BatchMismatchError(f"not a transaction: {error}") from error
