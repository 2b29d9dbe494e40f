"""The signed bytes of a batch as the audit looks at them, whichever form they have: a transaction, or a transfer.

Read without the payer's own forms (pool/payouts/form.py), so that a mistake there is not looked at with itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from chains.accounts.transfer import MAGIC, is_signed, read_transfer
from chains.primitives.serialize import MalformedError
from chains.primitives.transaction import parse_transaction

_CHAIN_ID_SIZE = 32  # before a transfer's bytes


@dataclass(frozen=True, slots=True)
class PaidBytes:
    """Ids, outputs as (amount, script in hex), and the (txid, vout) of the inputs. A transfer has no inputs but a fee
    of its own: what its batch takes beyond both is the account's change, which no bytes tell."""

    txid: bytes
    wtxid: bytes
    outputs: tuple[tuple[int, str], ...]
    inputs: tuple[tuple[bytes, int], ...] | None = None
    fee: int | None = None

    def output(self, vout: int) -> tuple[int, str] | None:
        return self.outputs[vout] if vout < len(self.outputs) else None


def paid_bytes(raw: bytes | None) -> PaidBytes | None:
    """None for what is not there, unreadable, or a transfer whose signature is none."""
    if raw is None:
        return None
    try:
        if raw[_CHAIN_ID_SIZE : _CHAIN_ID_SIZE + len(MAGIC)] == MAGIC:
            return _of_transfer(raw[:_CHAIN_ID_SIZE], raw[_CHAIN_ID_SIZE:])
        transaction = parse_transaction(raw)
    except MalformedError:
        return None
    return PaidBytes(
        transaction.txid,
        transaction.wtxid,
        tuple((output.amount_sat, output.script.hex()) for output in transaction.outputs),
        tuple((one.previous_txid, one.previous_index) for one in transaction.inputs),
    )


def _of_transfer(chain_id: bytes, raw: bytes) -> PaidBytes | None:
    transfer = read_transfer(raw)
    if not is_signed(transfer, chain_id):
        return None
    transfer_id = transfer.id_on(chain_id)
    outputs = tuple((output.amount, output.script.hex()) for output in transfer.outputs)
    return PaidBytes(transfer_id, transfer_id, outputs, fee=transfer.fee)
