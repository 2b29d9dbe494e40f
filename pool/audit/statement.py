"""The statement of one address: each credit explained down to its block, window and share of it, with sums that are the
balances.

It shows what the address itself earned. Which other addresses shared its logins appears nowhere: of the others in a
window only the total weight is told.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Connection

from pool.audit.terms import TermsBook
from pool.storage import audit_views
from pool.storage.audit_views import StoredBlock
from pool.storage.audit_window import rebuilt_window

BLOCK_KINDS = ("credit", "mature", "orphan", "reinstate", "loss", "found")
PARTS = ("immature", "available", "reserved")
COUNTS_AS = {"immature": "immature", "mature": "available", "lost": "available"}
"""Which balance a credit is part of by the state of its block; in any other state it is void. What is taken back of a
lost block's credits is a movement of its own.
"""

Progress = Callable[[str], None]


class UnknownAddressError(Exception):
    """Nothing was ever credited to this address."""


def statement(
    connection: Connection, address: str, terms: TermsBook, progress: Progress = lambda text: None
) -> tuple[list[str], bool]:
    """The lines, and whether every sum is the balance. Raises UnknownAddressError."""
    accounts = audit_views.accounts_at(connection, address)
    if not accounts:
        raise UnknownAddressError("no account has this address")
    lines: list[str] = []
    whole = True
    for account_id, chain, held in accounts:
        title = f"{chain}: held, the login named no address for this chain" if held else chain
        told, right = _account(connection, account_id, chain, terms, progress)
        lines += [title, *(f"  {line}" for line in told), ""]
        whole = whole and right
    return lines[:-1], whole


def _account(
    connection: Connection, account_id: int, chain: str, terms: TermsBook, progress: Progress
) -> tuple[list[str], bool]:
    lines: list[str] = []
    sums = dict.fromkeys(PARTS, 0)
    earned = audit_views.credits_to(connection, account_id)
    for number, (block, weight, amount) in enumerate(earned):
        progress(f"{chain}: credit {number} of {len(earned)}")
        lines += _credit(connection, block, int(weight), amount, terms)
        if block.state in COUNTS_AS:
            sums[COUNTS_AS[block.state]] += amount
    names = {f"liab.{account_id}.{part}": part for part in PARTS}
    for move in audit_views.moves_of(connection, chain, list(names)):
        if move.kind not in BLOCK_KINDS:
            sums[names[move.account]] += move.amount
            lines.append(f"{_time(move.created_ms)} {move.kind}: {move.amount:+d} {names[move.account]}")
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
    total = sum(int(credit.weight) for credit in audit_views.credits_of(connection, block.id))
    void = "" if block.state in COUNTS_AS else ", void"
    reward, fee = block.reward or 0, block.fee or 0
    return [
        f"block {block.height} {block.hash_hex}",
        f"  {block.state}{void}, found {_time(block.found_ms)}",
        f"  reward {reward} - fee {fee} = {reward - fee} to divide",
        f"  window: {_window(connection, block, total, terms)}total weight {total}",
        f"  weight {weight} = {_percent(weight, total)} of it, amount {amount}",
    ]


def _window(connection: Connection, block: StoredBlock, total: int, terms: TermsBook) -> str:
    """The first and last share, when the stored shares still give the window that was credited."""
    known = terms.of(block.chain, block.height)
    if known is None:
        return "(the chain is no longer configured) "
    window = rebuilt_window(connection, block, factor=known.factor, window_min_s=known.window_min_s)
    if window.total != total or window.oldest_ms is None or window.newest_ms is None:
        return "(its shares are no longer stored, or it was made under other terms) "
    first = f"share {window.oldest_sequence} ({_time(window.oldest_ms)})"
    last = f"share {window.newest_sequence} ({_time(window.newest_ms)})"
    return f"{first} to {last}, {window.share_count} shares, "


def _percent(weight: int, total: int) -> str:
    parts = weight * 1_000_000 // total if total else 0
    return f"{parts // 10_000}.{parts % 10_000:04d} %"


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
