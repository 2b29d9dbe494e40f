"""The unsigned transfer of a batch that an account pays, and the proof that it pays exactly what was planned.

The same promise as pool/payouts/build.py, for transfers between accounts. A transfer names no coins and no change: the
batch says which coins of the account it takes, all of which its outputs and its fee come out of, and what is left over
is its change, a coin that only the books know. The bytes are those of chains/account_wallet.py. Pure.
"""

from __future__ import annotations

from chains.accounts.coins import nonce_name
from chains.accounts.transfer import Payment, Transfer, is_signed, read_transfer
from chains.primitives.serialize import MalformedError
from chains.wallet import Outpoint, Turn
from pool.payouts.batch import BuiltBatch, Change, PaidOutput
from pool.payouts.build import BatchMismatchError, SignedIds
from pool.payouts.compose import Composition
from pool.payouts.sizes import output_size, transfer_size

_ID_SIZE = 32


def build(composition: Composition, turn: Turn, wanted: tuple[str, ...]) -> BuiltBatch:
    """The unsigned transfer: payouts in their order. `wanted` are the ids of all planned payouts. Raises
    BatchMismatchError should the bytes not say what they must."""
    pairs = list(zip(composition.payouts, composition.nets, strict=True))
    outputs = tuple(Payment(payout.script, net) for payout, net in pairs)
    transfer = Transfer(turn.script, turn.public_key, turn.nonce, composition.fee, outputs)
    change = Change(len(outputs), composition.change, turn.script) if composition.change else None
    kept = {payout.id for payout in composition.payouts}
    built = BuiltBatch(
        raw=turn.chain_id + transfer.unsigned(),
        coins=composition.coins,
        outputs=tuple(PaidOutput(payout.id, vout, net, payout.gross - net) for vout, (payout, net) in enumerate(pairs)),
        change=change,
        fee=composition.fee,
        pool_fee=composition.pool_fee,
        vsize=transfer_size(turn.script, len(outputs), sum(output_size(output.script) for output in outputs)),
        dropped=tuple(payout_id for payout_id in wanted if payout_id not in kept),
    )
    verify_built(built, {payout.id: (payout.script, payout.gross) for payout in composition.payouts})
    return built


def verify_built(built: BuiltBatch, wanted: dict[str, tuple[bytes, int]]) -> None:
    """The decoded bytes against the plan: `wanted` is script and gross amount by payout id. Raises BatchMismatchError.

    Checked: every payout is paid once, to its script, gross less its part of the fee; nothing else goes out; and
    outputs, fee and change add up to the coins that the batch takes, each once.
    """
    transfer = _read(built.raw, signed=False)
    if len(set(built.inputs)) != len(built.inputs):
        raise BatchMismatchError("a coin is taken twice")
    expected: dict[int, Payment] = {}
    for output in built.outputs:
        script, gross = wanted[output.payout_id]
        if output.net + output.fee_part != gross or output.net <= 0 or output.fee_part < 0:
            raise BatchMismatchError(f"payout {output.payout_id}: net and fee do not make {gross}")
        expected[output.vout] = Payment(script, output.net)
    if {output.payout_id for output in built.outputs} != wanted.keys() or len(built.outputs) != len(wanted):
        raise BatchMismatchError("the outputs do not pay every payout once")
    if dict(enumerate(transfer.outputs)) != expected:
        raise BatchMismatchError("the outputs are not what was planned")
    if transfer.fee != built.fee:
        raise BatchMismatchError(f"the transfer's fee is {transfer.fee}, not {built.fee}")
    left = sum(coin.amount for coin in built.coins) - transfer.cost
    change = built.change
    if left != (change.amount if change is not None else 0):
        raise BatchMismatchError(f"the coins leave {left}, and the change is something else")
    if change is not None and (change.vout, change.script) != (len(transfer.outputs), transfer.sender):
        raise BatchMismatchError("the change is not the account's")
    if built.fee != built.pool_fee + sum(output.fee_part for output in built.outputs) or built.pool_fee < 0:
        raise BatchMismatchError("the parts of the fee do not add up")


def verify_signed(raw: bytes, built: BuiltBatch) -> SignedIds:
    """What was signed against what was given to be signed. Raises BatchMismatchError."""
    chain_id, transfer = raw[:_ID_SIZE], _read(raw, signed=True)
    if chain_id + transfer.unsigned() != built.raw:
        raise BatchMismatchError("the wallet changed the transfer")
    if not is_signed(transfer, chain_id):
        raise BatchMismatchError("the signature is not the account's")
    transfer_id = transfer.id_on(chain_id)
    return SignedIds(transfer_id, transfer_id, len(raw) - _ID_SIZE)


def turn_of(raw: bytes, *, signed: bool) -> Outpoint:
    """The name of the account's turn that a payment takes. Raises MalformedError."""
    transfer = read_transfer(raw[_ID_SIZE:], signed=signed)
    return nonce_name(raw[:_ID_SIZE], transfer.sender, transfer.nonce)


def _read(raw: bytes, *, signed: bool) -> Transfer:
    try:
        return read_transfer(raw[_ID_SIZE:], signed=signed)
    except MalformedError as error:
        raise BatchMismatchError(f"not a transfer: {error}") from error
