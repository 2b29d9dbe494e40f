"""The ledger as tables: what is done, line by line, and every balance after it, in the pure ledger and in SQL.

A line is a step and the balances that it changed, account by account; what is not named stays as it was.
Accounts: imm and wal (assets), fee, sus, and for account ids 1 to 3 the pending (p1) and available (a1) balance.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pool.ledger import income
from pool.ledger.account import (
    ASSET_IMMATURE,
    ASSET_WALLET,
    INCOME_FEE,
    SUSPENSE_UNEXPLAINED,
    available,
    immature,
)
from pool.ledger.transfer import LedgerError, TransferGroup, apply, imbalance
from pool.storage import ledger_store
from pool.storage.database import Database, sqlite_url, upgrade

NAMES = {"imm": ASSET_IMMATURE, "wal": ASSET_WALLET, "fee": INCOME_FEE, "sus": SUSPENSE_UNEXPLAINED}
NAMES |= {f"p{number}": immature(number) for number in (1, 2, 3)}
NAMES |= {f"a{number}": available(number) for number in (1, 2, 3)}

A = income.credit("alpha", "A", income=100, fee=1, amounts={1: 60, 2: 39})
B = income.credit("alpha", "B", income=50, fee=0, amounts={2: 50})
LONELY = income.credit("alpha", "L", income=70, fee=0, amounts={}, unexplained=70)
NOTHING = income.credit("alpha", "N", income=0, fee=0, amounts={1: 0})

STEPS: dict[str, TransferGroup] = {
    "credit A": A,
    "credit B": B,
    "credit lonely": LONELY,
    "credit nothing": NOTHING,
    "mature A": income.mature("alpha", "A", income=100, amounts={1: 60, 2: 39}),
    "mature B": income.mature("alpha", "B", income=50, amounts={2: 50}),
    "mature lonely": income.mature("alpha", "L", income=70, amounts={}),
    "mature nothing": income.mature("alpha", "N", income=0, amounts={1: 0}),
    "orphan A": income.orphan(A, "A", 1),
    "orphan A again": income.orphan(A, "A", 2),
    "reinstate A": income.reinstate(A, "A", 1),
    "orphan B": income.orphan(B, "B", 1),
}

SCENARIOS: dict[str, list[tuple[str, str]]] = {
    "a block is credited and matures": [
        ("credit A", "imm=100 fee=1 p1=60 p2=39"),
        ("mature A", "imm=0 wal=100 p1=0 p2=0 a1=60 a2=39"),
    ],
    "a block is orphaned": [
        ("credit A", "imm=100 fee=1 p1=60 p2=39"),
        ("orphan A", "imm=0 fee=0 p1=0 p2=0"),
    ],
    "an orphan returns, leaves and is gone": [
        ("credit A", "imm=100 fee=1 p1=60 p2=39"),
        ("orphan A", "imm=0 fee=0 p1=0 p2=0"),
        ("reinstate A", "imm=100 fee=1 p1=60 p2=39"),
        ("orphan A again", "imm=0 fee=0 p1=0 p2=0"),
    ],
    "an orphan that returned matures": [
        ("credit A", "imm=100 fee=1 p1=60 p2=39"),
        ("orphan A", "imm=0 fee=0 p1=0 p2=0"),
        ("reinstate A", "imm=100 fee=1 p1=60 p2=39"),
        ("mature A", "imm=0 wal=100 p1=0 p2=0 a1=60 a2=39"),
    ],
    "two blocks, one orphaned": [
        ("credit A", "imm=100 fee=1 p1=60 p2=39"),
        ("credit B", "imm=150 p2=89"),
        ("orphan A", "imm=50 fee=0 p1=0 p2=50"),
        ("mature B", "imm=0 wal=50 p2=0 a2=50"),
    ],
    "doing a thing twice is doing it once": [
        ("credit A", "imm=100 fee=1 p1=60 p2=39"),
        ("credit A", "again"),
        ("orphan A", "imm=0 fee=0 p1=0 p2=0"),
        ("orphan A", "again"),
        ("credit A", "again"),
    ],
    "an empty window leaves the coins unexplained": [
        ("credit lonely", "imm=70 sus=70"),
        ("mature lonely", "imm=0 wal=70"),
    ],
    "a block that pays nothing moves nothing": [
        ("credit nothing", ""),
        ("mature nothing", ""),
    ],
    "what was never credited cannot be voided": [
        ("credit B", "imm=50 p2=50"),
        ("orphan A", "refused"),
    ],
    "what has matured cannot be voided": [
        ("credit A", "imm=100 fee=1 p1=60 p2=39"),
        ("mature A", "imm=0 wal=100 p1=0 p2=0 a1=60 a2=39"),
        ("orphan A", "refused"),
    ],
    "what is void cannot mature": [
        ("credit A", "imm=100 fee=1 p1=60 p2=39"),
        ("orphan A", "imm=0 fee=0 p1=0 p2=0"),
        ("mature A", "refused"),
    ],
}


def changed(text: str) -> dict[str, int]:
    return {NAMES[name]: int(amount) for name, amount in (item.split("=") for item in text.split())}


def play(
    scenario: list[tuple[str, str]], post: Callable[[TransferGroup], bool], read: Callable[[], dict[str, int]]
) -> None:
    expected: dict[str, int] = {}
    for step, outcome in scenario:
        if outcome == "refused":
            with pytest.raises(LedgerError, match=r"below zero|would fall to"):
                post(STEPS[step])
        elif outcome == "again":
            assert not post(STEPS[step])
        else:
            assert post(STEPS[step])
            expected |= changed(outcome)
        balances = read()
        assert {name: amount for name, amount in balances.items() if amount} == {n: a for n, a in expected.items() if a}
        assert imbalance(balances) == 0


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_tables_ledger_in_pure_form(scenario: list[tuple[str, str]]) -> None:
    balances: dict[str, int] = {}
    written: set[str] = set()

    def post(group: TransferGroup) -> bool:
        nonlocal balances
        if group.id in written:
            return False
        balances = apply(balances, group)
        written.add(group.id)
        return True

    play(scenario, post, lambda: balances)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_tables_ledger_in_sql(scenario: list[tuple[str, str]], tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "pool.db")
    upgrade(url)
    database = Database(url)

    def post(group: TransferGroup) -> bool:
        with database.write() as connection:
            return ledger_store.post(connection, group, 0)

    def read() -> dict[str, int]:
        with database.read() as connection:
            assert ledger_store.audit(connection) == []
            return ledger_store.chain_balances(connection, "alpha")

    play(scenario, post, read)
    database.close()
