"""The groups of a loss: coins that were final, and that a reorg deeper than the maturity took all the same.

    loss       the coins leave the wallet; the pool's fee of them is no income any more, what nobody had earned is no
               longer in suspense, the rest nobody bears yet
    absorb     the operator bears (part of) it
    clawback   those who were credited bear it, as far as their available balances go
    found      the block is back: exactly the opposite of its loss
    unbear     the opposite of an absorb or clawback, posted with `found`

A loss is numbered by how often the block was lost, from 1. Until it is borne nothing leaves the wallet
(pool/ledger/solvency.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from pool.ledger.account import (
    ASSET_WALLET,
    EQUITY_LOSS,
    INCOME_FEE,
    OPERATOR_WITHDRAWN,
    SUSPENSE_UNEXPLAINED,
    available,
)
from pool.ledger.transfer import LedgerError, Transfer, TransferGroup, check, reverse


def loss(chain: str, event: str, times: int, *, income: int, fee: int, unexplained: int = 0) -> TransferGroup:
    """The event is gone for the `times`-th time. `fee` of it was the pool's income, `unexplained` nobody's."""
    group_id = f"loss:{chain}:{event}:{times}"
    rest = income - fee - unexplained
    if min(fee, unexplained, rest) < 0:
        raise LedgerError(f"{group_id}: fee {fee} and suspense {unexplained} are no parts of an income of {income}")
    parts = ((INCOME_FEE, fee), (SUSPENSE_UNEXPLAINED, unexplained), (EQUITY_LOSS, rest))
    transfers = tuple(Transfer(account, ASSET_WALLET, amount) for account, amount in parts if amount)
    return check(TransferGroup(group_id, chain, "loss", transfers))


def found(lost: TransferGroup, event: str, times: int) -> TransferGroup:
    """The lost event is back."""
    return reverse(lost, f"found:{lost.chain}:{event}:{times}", "found")


def absorb(chain: str, event: str, times: int, amount: int) -> TransferGroup:
    """The operator bears `amount` of the loss."""
    transfers = (Transfer(OPERATOR_WITHDRAWN, EQUITY_LOSS, amount),) if amount else ()
    return check(TransferGroup(f"absorb:{chain}:{event}:{times}", chain, "absorb", transfers))


def clawback(
    chain: str, event: str, times: int, *, amounts: Mapping[int, int], balances: Mapping[int, int]
) -> TransferGroup:
    """Takes back what the event's credits (`amounts`, by account id) gave, never more than an account has available."""
    taken = {account_id: min(amount, balances.get(account_id, 0)) for account_id, amount in sorted(amounts.items())}
    transfers = tuple(
        Transfer(available(account_id), EQUITY_LOSS, amount) for account_id, amount in taken.items() if amount > 0
    )
    return check(TransferGroup(f"clawback:{chain}:{event}:{times}", chain, "clawback", transfers))


def unbear(borne: TransferGroup) -> TransferGroup:
    """Gives back what an absorb or clawback took, because the event is back."""
    return reverse(borne, f"unbear:{borne.chain}:{borne.id}", "unbear")
