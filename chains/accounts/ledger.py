"""The account ledger of one chain: who has what, block by block, and the exact way back.

A block brings rewards, which its chain decides, and transfers. Rewards can be spent `maturity_blocks` blocks later, as
Bitcoin counts it: a reward of height h by a transfer of height h + maturity. Fees go to one account with its reward and
wait as long. Every coin is in a balance or in an immature reward; their sum is what was issued.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chains.accounts.transfer import MAX_AMOUNT, Payment, Transfer, is_signed
from chains.walk.outcome import Applied, Ignored


@dataclass(frozen=True, slots=True)
class Account:
    """What can be spent, in smallest units, and how many transfers were made."""

    balance: int = 0
    nonce: int = 0


EMPTY = Account()


@dataclass(frozen=True, slots=True)
class LedgerBlock:
    """One block's effect on the accounts. `fee_script` gets the fees, whether or not it gets a reward. With `strict`
    one bad transfer makes the whole block ignored; otherwise only that transfer is."""

    height: int
    rewards: tuple[Payment, ...]
    fee_script: bytes
    transfers: tuple[Transfer, ...]
    strict: bool = True


@dataclass(frozen=True, slots=True)
class Movement:
    """A line of an account's history. `id` is the transfer's; for a reward None, and `amount` counts from that height
    although it is spent later. `amount` is negative for what left, fee included."""

    height: int
    id: bytes | None
    amount: int


@dataclass(frozen=True, slots=True)
class LedgerUndo:
    """What a block changed, as it was before."""

    accounts: tuple[tuple[bytes, Account | None], ...]  # newest change first
    matured: tuple[Payment, ...]
    issued: int
    transfers: tuple[bytes, ...]
    histories: tuple[bytes, ...]  # accounts whose history grew by a line, newest first


class Accounts:
    """The state. `height` is that of the last block applied, 0 before the first."""

    def __init__(self, chain_id: bytes, maturity_blocks: int) -> None:
        if len(chain_id) != 32 or maturity_blocks < 1:
            raise ValueError("a chain id has 32 bytes, and rewards mature after at least one block")
        self.chain_id = chain_id
        self.maturity_blocks = maturity_blocks
        self.height = 0
        self.issued = 0
        self._accounts: dict[bytes, Account] = {}
        self._immature: dict[int, tuple[Payment, ...]] = {}
        self._heights: dict[bytes, int] = {}
        self._histories: dict[bytes, list[Movement]] = {}

    # --- reading ----------------------------------------------------------------------------------------------------

    def account(self, script: bytes) -> Account:
        return self._accounts.get(script, EMPTY)

    def immature(self, script: bytes) -> int:
        """Rewards that this account cannot spend yet, in smallest units."""
        return sum(paid.amount for due in self._immature.values() for paid in due if paid.script == script)

    def height_of(self, transfer_id: bytes) -> int | None:
        """The height of the block that holds a transfer; None while none does."""
        return self._heights.get(transfer_id)

    def history(self, script: bytes) -> Sequence[Movement]:
        """Oldest first."""
        return self._histories.get(script, ())

    def snapshot(self) -> tuple[object, ...]:
        """Everything there is, as a value that compares equal exactly when two ledgers do."""
        return (
            self.height,
            self.issued,
            tuple(sorted((script, one.balance, one.nonce) for script, one in self._accounts.items())),
            tuple(sorted((height, due) for height, due in self._immature.items() if due)),
            tuple(sorted(self._heights.items())),
            tuple(sorted((script, tuple(lines)) for script, lines in self._histories.items() if lines)),
        )

    # --- changing ---------------------------------------------------------------------------------------------------

    def apply(self, record: LedgerBlock) -> Applied[LedgerUndo] | Ignored:
        """The next block. Raises ValueError when its height is not the next: who calls this has lost count."""
        if record.height != self.height + 1:
            raise ValueError(f"block {record.height} does not follow {self.height}")
        return _Step(self, record).run()

    def undo(self, undo: LedgerUndo) -> None:
        """Takes the last block back."""
        for script, account in undo.accounts:
            if account is None:
                del self._accounts[script]
            else:
                self._accounts[script] = account
        for script in undo.histories:
            self._histories[script].pop()
            if not self._histories[script]:
                del self._histories[script]
        for transfer_id in undo.transfers:
            del self._heights[transfer_id]
        self._immature.pop(self.height, None)
        if undo.matured:
            self._immature[self.height - self.maturity_blocks] = undo.matured
        self.issued = undo.issued
        self.height -= 1

    def obstacle(self, transfer: Transfer) -> str | None:
        """Why a transfer could not be the next of its sender now, in a word; None when it could."""
        account = self.account(transfer.sender)
        if transfer.nonce != account.nonce:
            return "nonce-used" if transfer.nonce < account.nonce else "nonce-gap"
        if transfer.cost > account.balance:
            return "insufficient-balance"
        return None if is_signed(transfer, self.chain_id) else "bad-signature"


class _Step:
    """One block being applied: what it changes is noted on the way."""

    def __init__(self, ledger: Accounts, block: LedgerBlock) -> None:
        self.ledger = ledger
        self.block = block
        self.issued = ledger.issued
        self.changed: list[tuple[bytes, Account | None]] = []
        self.grown: list[bytes] = []
        self.transfers: list[bytes] = []
        self.ignored: list[tuple[bytes, str]] = []
        self.matured: tuple[Payment, ...] = ()

    def run(self) -> Applied[LedgerUndo] | Ignored:
        ledger, block = self.ledger, self.block
        minted = sum(paid.amount for paid in block.rewards)
        if any(paid.amount < 0 for paid in block.rewards):
            raise ValueError("a negative reward")
        if ledger.issued + minted > MAX_AMOUNT:
            return Ignored("supply")
        ledger.height = block.height
        self.matured = ledger._immature.pop(block.height - ledger.maturity_blocks, ())
        for paid in self.matured:
            self._set(paid.script, paid.amount)
        fees = 0
        for transfer in block.transfers:
            transfer_id = transfer.id_on(ledger.chain_id)
            reason = ledger.obstacle(transfer)
            if reason is None:
                self._transfer(transfer, transfer_id)
                fees += transfer.fee
            elif block.strict:
                ledger.undo(self._undo())
                return Ignored(reason)
            else:
                self.ignored.append((transfer_id, reason))
        self._pay((*block.rewards, Payment(block.fee_script, fees)))
        ledger.issued += minted
        return Applied(self._undo(), tuple(self.ignored))

    def _transfer(self, transfer: Transfer, transfer_id: bytes) -> None:
        self._set(transfer.sender, -transfer.cost, spends=True)
        self._note(transfer.sender, transfer_id, -transfer.cost)
        for output in transfer.outputs:
            self._set(output.script, output.amount)
            self._note(output.script, transfer_id, output.amount)
        self.ledger._heights[transfer_id] = self.block.height
        self.transfers.append(transfer_id)

    def _pay(self, rewards: Sequence[Payment]) -> None:
        due = tuple(paid for paid in rewards if paid.amount)
        if due:
            self.ledger._immature[self.block.height] = due
        for paid in due:
            self._note(paid.script, None, paid.amount)

    def _set(self, script: bytes, amount: int, *, spends: bool = False) -> None:
        old = self.ledger._accounts.get(script)
        base = old or EMPTY
        self.changed.append((script, old))
        self.ledger._accounts[script] = Account(base.balance + amount, base.nonce + spends)

    def _note(self, script: bytes, transfer_id: bytes | None, amount: int) -> None:
        self.ledger._histories.setdefault(script, []).append(Movement(self.block.height, transfer_id, amount))
        self.grown.append(script)

    def _undo(self) -> LedgerUndo:
        return LedgerUndo(
            accounts=tuple(reversed(self.changed)),
            matured=self.matured,
            issued=self.issued,
            transfers=tuple(self.transfers),
            histories=tuple(reversed(self.grown)),
        )
