"""The statement of one address: each credit explained down to its block, window and share of it, with sums that are the
balances.

It shows what the address itself earned. Which other addresses shared its logins appears nowhere: of the others in a
window only the total weight is told.
"""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

from sqlalchemy import Connection

from pool.audit.terms import TermsBook
from pool.progress import Tell, silent
from pool.storage import audit_views, income_store, pps_store
from pool.storage.audit_views import StoredBlock
from pool.storage.audit_window import rebuilt_window
from pool.storage.income_store import IncomeEvent

BLOCK_KINDS = ("credit", "mature", "orphan", "reinstate", "loss", "found")
PARTS = ("immature", "available", "reserved")
COUNTS_AS = {"immature": "immature", "mature": "available", "lost": "available"}
"""Which balance a credit is part of by the state of its block; in any other state it is void. What is taken back of a
lost block's credits is a movement of its own.
"""


class UnknownAddressError(Exception):
    """Nothing was ever credited to this address."""


def statement(
    connection: Connection, address: str, terms: TermsBook, tell: Tell = silent
) -> tuple[list[str], bool]:
    """The lines, and whether every sum is the balance. Raises UnknownAddressError."""
    accounts = audit_views.accounts_at(connection, address)
    if not accounts:
        raise UnknownAddressError("no account has this address")
    lines: list[str] = []
    whole = True
    for account_id, chain, held in accounts:
        title = f"{chain}: held, the login named no address for this chain" if held else chain
        told, right = _account(connection, account_id, chain, terms, tell)
        lines += [title, *(f"  {line}" for line in told), ""]
        whole = whole and right
    return lines[:-1], whole


def _account(
    connection: Connection, account_id: int, chain: str, terms: TermsBook, tell: Tell
) -> tuple[list[str], bool]:
    lines: list[str] = []
    sums = dict.fromkeys(PARTS, 0)
    earned = audit_views.credits_to(connection, account_id)
    for number, (block, weight, amount) in enumerate(earned):
        tell(f"credits on {chain}", number, len(earned))
        lines += _credit(connection, block, int(weight), amount, terms)
        if block.state in COUNTS_AS:
            sums[COUNTS_AS[block.state]] += amount
    names = {f"liab.{account_id}.{part}": part for part in PARTS}
    for move in audit_views.moves_of(connection, chain, list(names)):
        if move.kind not in BLOCK_KINDS:
            sums[names[move.account]] += move.amount
            lines.append(f"{_time(move.created_ms)} {move.kind}: {move.amount:+d} {names[move.account]}")
    lines += _bought(connection, chain, account_id)
    balances = audit_views.balances_of(connection, chain, list(names))
    whole = True
    for name, part in names.items():
        balance = balances.get(name, 0)
        if balance or sums[part] or part != "reserved":
            verdict = "" if balance == sums[part] else f", but the above adds up to {sums[part]}"
            lines.append(f"balance {part}: {balance}{verdict}")
        whole = whole and balance == sums[part]
    return lines, whole


def _credit(connection: Connection, block: StoredBlock, weight: int, amount: int, terms: TermsBook) -> list[str]:
    """One credit with the block's income event that it is of: most blocks have one."""
    (event, *_) = income_store.of_block(connection, block.id)
    void = "" if block.state in COUNTS_AS else ", void"
    return [
        f"block {block.height} {block.hash_hex}",
        f"  {block.state}{void}, found {_time(block.found_ms)}",
        f"  reward {event.reward} - fee {event.fee} = {event.reward - event.fee} to divide",
        f"  {_window(connection, block, event, terms)}total weight {event.total_weight}",
        f"  weight {weight} = {_percent(weight, event.total_weight)} of it, amount {amount}",
    ]


def _window(connection: Connection, block: StoredBlock, event: IncomeEvent, terms: TermsBook) -> str:
    """The first and last share, as kept with the credit; else as the stored shares still give them."""
    if event.scheme == "solo":
        return "solo: the solver has it all; "
    oldest, newest, share_count = event.oldest, event.newest, event.share_count
    if oldest is None or newest is None:
        known = terms.of(block.chain, block.height)
        if known is None:
            return "window: (the chain is no longer configured) "
        window_min_ms = int(known.window_min_s * 1000)
        window = rebuilt_window(connection, block, factor=known.factor, window_min_ms=window_min_ms)
        oldest, newest, share_count = window.oldest, window.newest, window.share_count
        if window.total != event.total_weight or oldest is None or newest is None:
            return "window: (its shares are no longer stored, or it was made under other terms) "
    first = f"share {oldest.sequence} ({_time(oldest.time_ms)})"
    last = f"share {newest.sequence} ({_time(newest.time_ms)})"
    return f"window: {first} to {last}, {share_count} shares, "


def _bought(connection: Connection, chain: str, account_id: int) -> list[str]:
    """What shares that the operator bought are worth, and what was credited of it; nothing where there are none."""
    return [
        f"shares bought: worth {_exact(standing.cumulative)}, credited {standing.credited}"
        for standing in pps_store.standings(connection, chain, [account_id])
    ]


def _exact(value: Fraction) -> str:
    """Units with six decimals, cut off: what is credited is what stands before the point."""
    millionths = value.numerator * 1_000_000 // value.denominator
    return f"{millionths // 1_000_000}.{millionths % 1_000_000:06d}"


def _percent(weight: int, total: int) -> str:
    parts = weight * 1_000_000 // total if total else 0
    return f"{parts // 10_000}.{parts % 10_000:04d} %"


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
