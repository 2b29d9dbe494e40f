"""Whether the coins in the wallet cover what is owed for good (invariant I13), and which groups may move against it.

    available + reserved of all accounts  <=  asset.wallet - suspense.deposit

What the operator may take out, pay fees with or pledge is only what lies above that line. A loss (a reorg that took
coins after they were final) may break it, because what is gone is gone; from then on nothing leaves the wallet until
the loss is borne. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pool.ledger.account import ASSET_WALLET, EQUITY_LOSS, SUSPENSE_DEPOSIT
from pool.ledger.transfer import LedgerError, TransferGroup, movements

FORCED_KINDS = ("loss", "orphan", "unsettle", "unbear", "fee", "return", "refee")
"""What the chain did, and not we: it is booked whatever it breaks. A lost block that is back gives back what was taken
for it, also while another one is still lost. A network fee is booked when its transaction is final; whether the pool
can afford it is asked before that is signed. What it cost to bring swept coins back is gone as well.
"""

LEAVING_KINDS = ("reserve", "withdraw")
"""The beginnings of everything that leaves the wallet."""


@dataclass(frozen=True, slots=True)
class Cover:
    """The figures of one chain that I13 compares, and its losses that nobody bears yet (0 or more)."""

    wallet: int = 0
    deposits: int = 0
    owed: int = 0
    unborne_loss: int = 0

    @property
    def surplus(self) -> int:
        """What lies above the line: the operator's own, as far as it is in the wallet. Negative when I13 is broken."""
        return self.wallet - self.deposits - self.owed

    def moved(self, group: TransferGroup) -> Cover:
        """The cover after a group."""
        wallet, deposits, owed, loss = self.wallet, self.deposits, self.owed, self.unborne_loss
        for account, change in movements(group).items():
            if account == ASSET_WALLET:
                wallet += change
            elif account == SUSPENSE_DEPOSIT:
                deposits += change
            elif account == EQUITY_LOSS:
                loss -= change
            elif is_owed(account):
                owed += change
        return Cover(wallet, deposits, owed, loss)


def is_owed(account: str) -> bool:
    """Whether the account says what is owed for good."""
    return account.startswith("liab.") and account.endswith((".available", ".reserved"))


def cover_of(balances: Mapping[str, int]) -> Cover:
    """The cover that a chain's balances give."""
    return Cover(
        wallet=balances.get(ASSET_WALLET, 0),
        deposits=balances.get(SUSPENSE_DEPOSIT, 0),
        owed=sum(amount for account, amount in balances.items() if is_owed(account)),
        unborne_loss=-balances.get(EQUITY_LOSS, 0),
    )


def lessens_cover(group: TransferGroup) -> bool:
    """Whether the group must be judged at all: most groups leave the surplus as it is or add to it."""
    return group.kind in LEAVING_KINDS or Cover().moved(group).surplus < 0


def check_cover(group: TransferGroup, before: Cover) -> None:
    """Raises LedgerError when the group may not be written with this cover."""
    if group.kind in FORCED_KINDS:
        return
    after = before.moved(group)
    if after.surplus < 0 and after.surplus < before.surplus:
        raise LedgerError(
            f"{group.id}: the wallet would hold {-after.surplus} less than what is owed for good; "
            "the operator has to fund it first"
        )
    if group.kind in LEAVING_KINDS:
        reason = payout_obstacle(after)
        if reason is not None:
            raise LedgerError(f"{group.id}: {reason}")


def payout_obstacle(cover: Cover) -> str | None:
    """Why nothing may leave the wallet of a chain with this cover, in words; None when it may."""
    if cover.unborne_loss > 0:
        return f"a loss of {cover.unborne_loss} is not borne by anybody yet (absorb it or claw it back)"
    if cover.surplus < 0:
        return f"the wallet holds {-cover.surplus} less than what is owed for good"
    return None
