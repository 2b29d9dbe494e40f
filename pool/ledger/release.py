"""The group that hands over what is held: credits that waited for want of an address go to an account that has one.

Only what is final moves; what is still immature stays held until it is. The number counts a held account's releases.
"""

from __future__ import annotations

from pool.ledger.account import available
from pool.ledger.transfer import LedgerError, Transfer, TransferGroup, check


def release(chain: str, held_id: int, account_id: int, number: int, amount: int) -> TransferGroup:
    """`amount` goes from the held account to the other one, for the `number`-th time. Raises LedgerError."""
    group_id = f"release:{chain}:{held_id}:{number}"
    if number < 1:
        raise LedgerError(f"{group_id}: releases are counted from 1")
    transfer = Transfer(available(held_id), available(account_id), amount)
    return check(TransferGroup(group_id, chain, "release", (transfer,)))
