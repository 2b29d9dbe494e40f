"""Transfers that wait for a block: bounded, one per (sender, nonce), replaced only by a better one.

Everything in here could be applied in some order now: of each sender the nonces follow the account's without a gap, and
their costs fit into its balance. A transfer replaces the one of its nonce when it pays more, by at least what its own
relay costs, and a higher rate: repeated flooding is paid for each time. When the pool is full a newcomer drives out the
worst last transfer of another sender, if it pays a higher rate.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from chains.accounts.ledger import Accounts
from chains.accounts.transfer import Transfer, is_signed

MAX_BYTES = 5_000_000
MAX_PER_SENDER = 25  # as Bitcoin Core limits chains of unconfirmed transactions


@dataclass(frozen=True, slots=True)
class Waiting:
    """A transfer with its id and size."""

    id: bytes
    transfer: Transfer
    size: int

    @property
    def rate(self) -> Fraction:
        """Fee per byte."""
        return Fraction(self.transfer.fee, self.size)


@dataclass(frozen=True, slots=True)
class Taken:
    """A transfer came in; `replaced` are ids that left for it."""

    id: bytes
    replaced: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A transfer stayed out; `reason` is a word with hyphens."""

    id: bytes
    reason: str


class Mempool:
    """What waits on one chain. `fee_rate` is in smallest units per 1000 bytes, rounded up to a whole fee."""

    def __init__(self, accounts: Accounts, fee_rate: int = 0, max_bytes: int = MAX_BYTES) -> None:
        self._accounts = accounts
        self._fee_rate = fee_rate
        self._max_bytes = max_bytes
        self._senders: dict[bytes, dict[int, Waiting]] = {}
        self._by_id: dict[bytes, Waiting] = {}
        self._bytes = 0
        self.version = 0
        """Grows with every change: a template made of the same version is the same."""

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, transfer_id: bytes) -> bool:
        return transfer_id in self._by_id

    def get(self, transfer_id: bytes) -> Transfer | None:
        waiting = self._by_id.get(transfer_id)
        return waiting.transfer if waiting is not None else None

    def all(self) -> Sequence[Waiting]:
        """Everything, of each sender in the order of nonces."""
        return [one for line in self._senders.values() for _, one in sorted(line.items())]

    def next_nonce(self, sender: bytes) -> int:
        """The first nonce that neither the chain nor what waits has used."""
        return self._accounts.account(sender).nonce + len(self._senders.get(sender, ()))

    def spoken_for(self, sender: bytes) -> int:
        """What a sender's waiting transfers cost."""
        return sum(one.transfer.cost for one in self._senders.get(sender, {}).values())

    def least_fee(self, size: int) -> int:
        """The fee that relaying so many bytes costs."""
        return -(-size * self._fee_rate // 1000)

    # --- changing ---------------------------------------------------------------------------------------------------

    def add(self, transfer: Transfer) -> Taken | Refused:
        """Takes a transfer in, or says why not. Checks that cost little come first, the signature last."""
        one = Waiting(transfer.id_on(self._accounts.chain_id), transfer, len(transfer.serialize()))
        reason = self._obstacle(one)
        if reason is not None:
            return Refused(one.id, reason)
        if not is_signed(transfer, self._accounts.chain_id):
            return Refused(one.id, "bad-signature")
        line = self._senders.get(transfer.sender, {})
        old = line.get(transfer.nonce)
        growth = one.size - (old.size if old is not None else 0)
        victims = self._victims(one, growth)
        if victims is None:
            return Refused(one.id, "mempool-full")
        for victim in victims:
            self._remove(victim)
        if old is not None:
            self._remove(old)
        self._senders.setdefault(transfer.sender, {})[transfer.nonce] = one
        self._by_id[one.id] = one
        self._bytes += one.size
        self.version += 1
        return Taken(one.id, tuple(gone.id for gone in (*victims, *((old,) if old is not None else ()))))

    def follow(self, undone: Iterable[Transfer] = ()) -> tuple[bytes, ...]:
        """After the chain moved: transfers of undone blocks wait again, what can no longer be applied leaves. Returns
        the ids that left, confirmed ones among them."""
        self.version += 1
        before = list(self._by_id)
        back = list(undone)
        if back:  # those that waited may stand on the nonces of those that come back
            self._again([*back, *(one.transfer for one in self.all())])
        else:
            for one in [one for line in list(self._senders.values()) for one in self._unfit(line)]:
                self._remove(one)
        return tuple(transfer_id for transfer_id in before if transfer_id not in self._by_id)

    def _again(self, transfers: list[Transfer]) -> None:
        self._senders.clear()
        self._by_id.clear()
        self._bytes = 0
        for transfer in sorted(transfers, key=lambda one: one.nonce):
            self.add(transfer)

    # --- rules ------------------------------------------------------------------------------------------------------

    def _obstacle(self, one: Waiting) -> str | None:
        transfer = one.transfer
        account = self._accounts.account(transfer.sender)
        line = self._senders.get(transfer.sender, {})
        if one.id in self._by_id:
            return "known"
        if transfer.nonce < account.nonce:
            return "nonce-used"
        if transfer.nonce > account.nonce + len(line):
            return "nonce-gap"
        if transfer.nonce >= account.nonce + MAX_PER_SENDER:
            return "too-many-waiting"
        old = line.get(transfer.nonce)
        others = self.spoken_for(transfer.sender) - (old.transfer.cost if old is not None else 0)
        if transfer.cost + others > account.balance:
            return "insufficient-balance"
        if transfer.fee < self.least_fee(one.size):
            return "fee-too-low"
        if old is not None and not self._better(one, old):
            return "replacement-fee-too-low"
        return None

    def _better(self, one: Waiting, old: Waiting) -> bool:
        return one.transfer.fee >= old.transfer.fee + max(1, self.least_fee(one.size)) and one.rate > old.rate

    def _victims(self, one: Waiting, growth: int) -> list[Waiting] | None:
        """What has to leave for `growth` bytes more, or None when that is worth more than the newcomer. Only a sender's
        last transfer can leave without a gap."""
        victims: list[Waiting] = []
        lengths = {sender: len(line) for sender, line in self._senders.items() if sender != one.transfer.sender}
        freed = 0
        while self._bytes + growth - freed > self._max_bytes:
            lasts = [
                self._senders[sender][self._accounts.account(sender).nonce + length - 1]
                for sender, length in lengths.items()
                if length
            ]
            worst = min(lasts, key=lambda last: (last.rate, last.id), default=None)
            if worst is None or worst.rate >= one.rate:
                return None
            victims.append(worst)
            freed += worst.size
            lengths[worst.transfer.sender] -= 1
        return victims

    def _unfit(self, line: dict[int, Waiting]) -> list[Waiting]:
        """Of one sender's transfers those that are confirmed, or whose turn cannot come any more."""
        account = self._accounts.account(next(iter(line.values())).transfer.sender)
        nonce, left = account.nonce, account.balance
        unfit = []
        for at, one in sorted(line.items()):
            if at == nonce and one.transfer.cost <= left:
                nonce, left = nonce + 1, left - one.transfer.cost
            else:
                unfit.append(one)
        return unfit

    def _remove(self, one: Waiting) -> None:
        line = self._senders[one.transfer.sender]
        del line[one.transfer.nonce]
        if not line:
            del self._senders[one.transfer.sender]
        del self._by_id[one.id]
        self._bytes -= one.size

    def choose(self, max_bytes: int) -> tuple[Transfer, ...]:
        """What a block should hold: the best rate among every sender's next, one after another, up to a size. Can be
        applied in this order as it stands, whatever else the block pays."""
        heads = [(-one.rate, one.id) for line in self._senders.values() for one in (line[min(line)],)]
        heapq.heapify(heads)
        chosen: list[Transfer] = []
        size = 0
        while heads:
            one = self._by_id[heapq.heappop(heads)[1]]
            if size + one.size > max_bytes:
                continue  # and with it those that stand on it
            chosen.append(one.transfer)
            size += one.size
            following = self._senders[one.transfer.sender].get(one.transfer.nonce + 1)
            if following is not None:
                heapq.heappush(heads, (-following.rate, following.id))
        return tuple(chosen)
