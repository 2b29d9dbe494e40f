"""A file of balances that miners bring along from another pool: CSV with the columns chain, address, amount.

Amounts are whole smallest units, so that no pool's idea of a decimal point is guessed at. Every bad line is told at
once, by its number, and one is enough to take nothing. A file's reference is the digest of what it says, not of how it
is written: saved again with other line ends or in another order it is still the same file.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pool.miners.amount import MAX_AMOUNT
from pool.miners.refusal import SettingsRefusedError
from pool.miners.settings_message import SettingsRules

COLUMNS = ["chain", "address", "amount"]
MAX_BYTES = 64 * 2**20
"""Over half a million balances."""

MAX_TOLD = 1000
"""Mistakes that are told; a file of another kind has one in every line."""

_AMOUNT = re.compile(r"[1-9][0-9]*", re.ASCII)


class Mistake(NamedTuple):
    """What is wrong with a line, counted from 1."""

    line: int
    sentence: str


class BalanceFileError(Exception):
    """A file of which nothing is taken: everything that is wrong with it, in order."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = list(mistakes)
        super().__init__(f"{len(self.mistakes)} mistakes")


class Balance(NamedTuple):
    """What an account brings along, with the line that says so. The address is canonical."""

    line: int
    chain: str
    address: str
    script_hex: str
    amount: int


@dataclass(frozen=True, slots=True)
class BalanceFile:
    """Balances in the file's order, each account once, and the file's reference (16 hex digits)."""

    balances: tuple[Balance, ...]
    reference: str

    def totals(self) -> dict[str, int]:
        """Smallest units by chain."""
        sums: dict[str, int] = {}
        for balance in self.balances:
            sums[balance.chain] = sums.get(balance.chain, 0) + balance.amount
        return sums


def read_balances(data: bytes, rules: SettingsRules) -> BalanceFile:
    """What the file says. Raises BalanceFileError."""
    if len(data) > MAX_BYTES:
        raise BalanceFileError([Mistake(1, f"a file has at most {MAX_BYTES} bytes; import it in parts")])
    rows = _rows(data)
    mistakes: list[Mistake] = []
    balances: dict[tuple[str, str], Balance] = {}
    for line, cells in rows:
        try:
            balance = _balance(line, cells, rules)
            before = balances.setdefault((balance.chain, balance.script_hex), balance)
            if before is not balance:
                raise ValueError(f"{balance.chain} {balance.address} stands in line {before.line} already")
        except (ValueError, SettingsRefusedError) as error:
            mistakes.append(Mistake(line, str(error)))
            if len(mistakes) == MAX_TOLD:
                mistakes.append(Mistake(line, "and so on; no more is looked at"))
                break
    if mistakes:
        raise BalanceFileError(mistakes)
    if not balances:
        raise BalanceFileError([Mistake(1, "there is no balance in this file")])
    found = tuple(balances.values())
    return BalanceFile(found, _reference(found))


def _rows(data: bytes) -> list[tuple[int, list[str]]]:
    """The filled lines below the heading, each with its number."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BalanceFileError([Mistake(line, "the file is not UTF-8 text")]) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, list[str]]] = []
    line = 0
    try:
        for cells in reader:
            first, line = line + 1, reader.line_num
            if cells:
                rows.append((first, cells))
    except csv.Error as error:
        raise BalanceFileError([Mistake(reader.line_num or 1, f"this is no CSV: {error}")]) from None
    if not rows or [cell.strip().lower() for cell in rows[0][1]] != COLUMNS:
        raise BalanceFileError([Mistake(rows[0][0] if rows else 1, f"expected the heading {','.join(COLUMNS)}")])
    return rows[1:]


def _balance(line: int, cells: list[str], rules: SettingsRules) -> Balance:
    if len(cells) != len(COLUMNS):
        raise ValueError(f"expected {len(COLUMNS)} columns, there are {len(cells)}")
    for name, cell in zip(COLUMNS, cells, strict=True):
        if not cell.isprintable():
            raise ValueError(f"{name}: control characters are not taken: {cell[:100]!r}")
    chain, address, amount = (cell.strip() for cell in cells)
    destination = rules.destination(chain, address)
    if not _AMOUNT.fullmatch(amount) or len(amount) > len(str(MAX_AMOUNT)) or int(amount) > MAX_AMOUNT:
        wanted = "expected a whole positive number of smallest units"
        raise ValueError(f"amount: {wanted}, there is {amount[:100]!r}")
    return Balance(line, chain, destination.address, destination.script.hex(), int(amount))


def _reference(balances: tuple[Balance, ...]) -> str:
    lines = sorted(f"{balance.chain} {balance.script_hex} {balance.amount}" for balance in balances)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
