"""The group of the balances that miners bring along from another pool.

The pool owes them from then on, so the operator pays them in: they come out of the operator's own available money,
which was funded before. `reference` names the file that told them, so that a file is taken once: one group per chain.
"""

from __future__ import annotations

from collections.abc import Mapping

from pool.ledger.account import OPERATOR_AVAILABLE, available
from pool.ledger.transfer import Transfer, TransferGroup, check


def opening(chain: str, reference: str, amounts: Mapping[int, int]) -> TransferGroup:
    """`amounts` (smallest units by account id) are owed. Raises LedgerError unless each is positive and whole."""
    transfers = tuple(
        Transfer(OPERATOR_AVAILABLE, available(account_id), amount) for account_id, amount in sorted(amounts.items())
    )
    return check(TransferGroup(f"opening:{chain}:{reference}", chain, "opening", transfers))
