"""Transfers that this node's callers sent, and the keys it may sign some with.

They are on disk before the caller hears that they were taken, and told to peers again until a block holds them: a
payment that was answered for is not forgotten in a crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from coincurve import PrivateKey

from chains.accounts.mempool import Refused
from chains.accounts.transfer import Transfer, read_transfer
from chains.bk.chain import BkChain
from chains.primitives.address import pay_to_pubkey_hash
from chains.primitives.serialize import MalformedError

TRANSFERS = "transfers"
DEEP = 100
"""Blocks on top of one whose transfers are forgotten here."""

RESENT = 20
"""Of those waiting, how many are told to one peer at once."""


def wallet_of(secrets: Iterable[bytes]) -> dict[bytes, bytes]:
    """P2WPKH accounts and their secrets."""
    return {pay_to_pubkey_hash(PrivateKey(secret).public_key.format()): secret for secret in secrets}


class OwnTransfers:
    def __init__(self, chain: BkChain) -> None:
        self._chain = chain
        self._kept: dict[bytes, Transfer] = {}

    def keep(self, transfer: Transfer) -> tuple[str, bytes, bytes]:
        """The record to write."""
        transfer_id = transfer.id_on(self._chain.accounts.chain_id)
        self._kept[transfer_id] = transfer
        return TRANSFERS, transfer_id, transfer.serialize()

    def restore(self, records: Mapping[str, Sequence[tuple[bytes, bytes]]]) -> tuple[tuple[str, bytes], ...]:
        """Take up what was written, once the chain is loaded; records that are of no use any more."""
        useless = []
        for key, value in records.get(TRANSFERS, ()):
            try:
                transfer = read_transfer(value)
            except MalformedError:
                useless.append((TRANSFERS, key))
                continue
            confirmed = self._chain.accounts.height_of(key) is not None
            if not confirmed and isinstance(self._chain.mempool.add(transfer), Refused):
                useless.append((TRANSFERS, key))
            else:
                self._kept[key] = transfer
        return tuple(useless)

    def waiting(self, limit: int) -> list[bytes]:
        """Bytes of those that no block holds yet, the oldest first."""
        found = [transfer for transfer_id, transfer in self._kept.items() if transfer_id in self._chain.mempool]
        return [transfer.serialize() for transfer in found[:limit]]

    def forget(self) -> tuple[tuple[str, bytes], ...]:
        """(table, key) of those that are deep, or can never be applied any more; they are kept no longer."""
        gone = []
        for transfer_id in self._kept:
            height = self._chain.accounts.height_of(transfer_id)
            deep = height is not None and self._chain.height - height >= DEEP
            if deep or (height is None and transfer_id not in self._chain.mempool):
                gone.append(transfer_id)
        for transfer_id in gone:
            del self._kept[transfer_id]
        return tuple((TRANSFERS, transfer_id) for transfer_id in gone)
