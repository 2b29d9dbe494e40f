"""Groups written as text, to be held against what the ledger makes."""

from __future__ import annotations

from pool.ledger.transfer import Transfer, TransferGroup


def written(text: str) -> TransferGroup:
    """The group of chain alpha that a text stands for: its id, then a line `debit > credit amount` per transfer."""
    group_id, *lines = (line.strip() for line in text.strip().splitlines())
    transfers = []
    for line in lines:
        debit, _, credit, amount = line.split()
        transfers.append(Transfer(debit, credit, int(amount)))
    return TransferGroup(group_id, "alpha", group_id.split(":")[0], tuple(transfers))
