"""The split of one block, to be computed again by anybody: docs/operating/audit.md shows how, in twenty lines.

Accounts are told by address and ordered by weight and address. Their order of age settles ties between equal
remainders, but would tell which addresses came with one login; so it is told only where it decides, as `tie`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from pool.accounting.split import fee_of
from pool.audit.terms import TermsBook, terms_of
from pool.shares.scheme import PER_SHARE
from pool.storage import audit_views, income_store
from pool.storage.audit_views import StoredCredit

COLUMNS = ("chain", "block", "height", "state", "scheme", "reward", "fee_ppm", "fee", "unexplained")
CREDIT_COLUMNS = ("address", "held", "weight", "tie", "amount")


class ExportError(Exception):
    """There is nothing to export, or it could not be reproduced; in words for people."""


def split_export(connection: Connection, chain: str, hash_hex: str, terms: TermsBook) -> dict[str, Any]:
    """Everything the split of a block was made of. Raises ExportError."""
    block = audit_views.find_block(connection, chain, hash_hex)
    if block is None:
        raise ExportError(f"no block of ours on {chain} has this hash")
    if block.reward is None or block.fee is None:
        raise ExportError(f"the block is {block.state} and has never been credited")
    events = income_store.of_block(connection, block.id)
    if len(events) != 1:
        raise ExportError(f"the block has {len(events)} income events, and only one can be exported")
    event = events[0]
    if event.scheme in PER_SHARE:
        raise ExportError("the block is the operator's, who had bought its shares: nobody shares in it")
    known = terms_of(event, terms.of(block.chain, block.height))
    if known is None:
        raise ExportError(f"{chain} is not configured: say the terms of its blocks with --terms")
    credits = audit_views.credits_of(connection, block.id)
    weights = {credit.account_id: int(credit.weight) for credit in credits}
    if any(weights.values()) and fee_of(event.reward, known.fee_ppm) != event.fee:
        raise ExportError(
            f"the fee was {event.fee}, and {known.fee_ppm} ppm of {event.reward} are "
            f"{fee_of(event.reward, known.fee_ppm)}: say the terms of that time with --terms"
        )
    ties = tie_ranks(event.reward - event.fee, weights)
    rows = sorted(credits, key=lambda credit: (-int(credit.weight), credit.address, credit.held))
    return {
        "chain": block.chain,
        "block": block.hash_hex,
        "height": block.height,
        "state": block.state,
        "scheme": event.scheme,
        "reward": event.reward,
        "fee_ppm": known.fee_ppm,
        "fee": event.fee,
        "unexplained": event.reward - event.fee - sum(credit.amount for credit in credits),
        "credits": [_row(credit, ties) for credit in rows],
    }


def tie_ranks(rest: int, weights: Mapping[int, int]) -> dict[int, int]:
    """Account id to its rank among equal remainders, where some of them are given a unit and others are not."""
    total = sum(weights.values())
    if not total:
        return {}
    remainders = {account_id: rest * weight % total for account_id, weight in weights.items()}
    left = sum(remainders.values()) // total
    falling = sorted(remainders.values(), reverse=True)
    if not 0 < left < len(falling) or falling[left - 1] != falling[left]:
        return {}
    tied = sorted(account_id for account_id, remainder in remainders.items() if remainder == falling[left])
    given = left - sum(remainder > falling[left] for remainder in falling)
    return {account_id: int(number >= given) for number, account_id in enumerate(tied)}


def as_json(export: Mapping[str, Any]) -> str:
    return json.dumps(export, indent=1)


def as_csv(export: Mapping[str, Any]) -> str:
    """One row per credit, the block's values repeated; a block that nobody earned has one row without an address."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *CREDIT_COLUMNS], lineterminator="\n")
    writer.writeheader()
    shared = {name: export[name] for name in COLUMNS}
    rows: Sequence[Mapping[str, Any]] = export["credits"] or [{}]
    for row in rows:
        writer.writerow(shared | {name: int(value) if name == "held" else value for name, value in row.items()})
    return text.getvalue().rstrip("\n")


def _row(credit: StoredCredit, ties: Mapping[int, int]) -> dict[str, Any]:
    return {
        "address": credit.address,
        "held": credit.held,
        "weight": credit.weight,  # text: JSON readers may cut numbers beyond 2**53
        "tie": ties.get(credit.account_id, 0),
        "amount": credit.amount,
    }
