"""The group of a balance that a miner brings along from another pool.

The pool owes it from then on, so the operator pays it in: it comes out of the operator's own available money, which was
funded before. `reference` names the file that told it, so that a file is taken once.
"""

from __future__ import annotations

from pool.ledger.account import OPERATOR_AVAILABLE, available
from pool.ledger.transfer import Transfer, TransferGroup, check


def opening(chain: str, reference: str, account_id: int, amount: int) -> TransferGroup:
    """`amount` smallest units are owed to the account. Raises LedgerError unless the amount is positive and whole."""
    transfer = Transfer(OPERATOR_AVAILABLE, available(account_id), amount)
    return check(TransferGroup(f"opening:{chain}:{reference}:{account_id}", chain, "opening", (transfer,)))
