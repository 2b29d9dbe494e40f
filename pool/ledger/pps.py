"""The group of a PPS credit: what an account's shares earned goes from the operator's own money to it, for good.

One group per chain, account and period, so that a period repeated after a crash credits nothing twice. Blocks have no
part in it: an orphan takes nothing back.
"""

from __future__ import annotations

from pool.ledger.account import OPERATOR_AVAILABLE, available
from pool.ledger.transfer import Transfer, TransferGroup, check

KIND = "pps"


def pps_credit(chain: str, account_id: int, period: int, amount: int) -> TransferGroup:
    """`amount` of smallest units for what the account's shares were worth up to now; `period` counts hours."""
    transfer = Transfer(OPERATOR_AVAILABLE, available(account_id), amount)
    return check(TransferGroup(f"{KIND}:{chain}:{account_id}:{period}", chain, KIND, (transfer,)))
