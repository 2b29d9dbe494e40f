"""Transfers that this node's callers sent: on disk until they are deep, sent again until they are in a block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chains.accounts.mempool import Refused
from chains.accounts.transfer import Transfer, read_transfer
from chains.accounts.wallet import VERIFY_REJECTED, CallRefusedError
from chains.parallel.following import FollowedChain
from chains.primitives.serialize import MalformedError

MAX_OWN = 10_000
DEEP = 100  # blocks on top of one that is forgotten here


class OwnTransfers:
    """By id. Their bytes, here and on disk, are context (32) ‖ transfer: what peers are told, too."""

    def __init__(self) -> None:
        self._kept: dict[bytes, tuple[FollowedChain, bytes]] = {}

    def keep(self, chain: FollowedChain, transfer_id: bytes, transfer: Transfer) -> bytes:
        """What to write down. Raises CallRefusedError when there are too many."""
        if transfer_id not in self._kept and len(self._kept) >= MAX_OWN:
            raise CallRefusedError(VERIFY_REJECTED, f"{MAX_OWN} transfers of callers wait or are not deep yet")
        keyed = chain.context + transfer.serialize()
        self._kept[transfer_id] = (chain, keyed)
        return keyed

    def restore(self, chains: Mapping[bytes, FollowedChain], transfer_id: bytes, keyed: bytes) -> bool:
        """Takes one up again that was written down; whether it still matters."""
        chain = chains.get(keyed[:32])
        if chain is None:
            return True  # not followed this time: left alone
        try:
            transfer = read_transfer(keyed[32:])
        except MalformedError:
            return False
        confirmed = chain.accounts.height_of(transfer_id) is not None
        if not confirmed and isinstance(chain.mempool.add(transfer), Refused):
            return False
        self._kept[transfer_id] = (chain, keyed)
        return True

    def waiting(self, limit: int) -> Iterable[bytes]:
        """The bytes of those that are in no block yet."""
        found = [keyed for name, (chain, keyed) in self._kept.items() if name in chain.mempool]
        return found[:limit]

    def forget(self) -> list[bytes]:
        """Ids of those that are deep, or can never be applied any more; they are kept no longer."""
        gone = []
        for name, (chain, _) in self._kept.items():
            height = chain.accounts.height_of(name)
            deep = height is not None and chain.state.height - height >= DEEP
            if deep or (height is None and name not in chain.mempool):
                gone.append(name)
        for name in gone:
            del self._kept[name]
        return gone
