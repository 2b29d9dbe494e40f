"""Release of held credits and balances brought from another pool, as tables: what is done, and every balance after it.

Accounts: wal (wallet), own (the operator's available money), h1 and a1 for account ids' held and own available balance,
i1 for what is held and not yet final. Steps that are refused leave everything as it was.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pool.ledger import income
from pool.ledger.account import ASSET_IMMATURE, ASSET_WALLET, INCOME_FEE, OPERATOR_AVAILABLE, available, immature
from pool.ledger.opening import opening
from pool.ledger.release import release
from pool.ledger.transfer import LedgerError, Transfer, TransferGroup, apply, check, imbalance
from pool.storage import ledger_store
from pool.storage.database import Database, sqlite_url, upgrade

HELD, MINER, OTHER = 1, 2, 3
NAMES = {
    "imm": ASSET_IMMATURE, "wal": ASSET_WALLET, "fee": INCOME_FEE, "own": OPERATOR_AVAILABLE,
    "i1": immature(HELD), "h1": available(HELD), "a2": available(MINER), "a3": available(OTHER),
}  # fmt: skip
FUND = check(TransferGroup("fund:alpha:x", "alpha", "fund", (Transfer(ASSET_WALLET, OPERATOR_AVAILABLE, 100),)))
STEPS = {
    "credit": income.credit("alpha", "A", income=60, fee=0, amounts={HELD: 60}),
    "mature": income.mature("alpha", "A", income=60, amounts={HELD: 60}),
    "credit again": income.credit("alpha", "B", income=30, fee=0, amounts={HELD: 30}),
    "mature again": income.mature("alpha", "B", income=30, amounts={HELD: 30}),
    "release": release("alpha", HELD, MINER, 1, 60),
    "release again": release("alpha", HELD, OTHER, 2, 30),
    "fund": FUND,
    "open": opening("alpha", "file", {MINER: 50, OTHER: 20}),
    "open another": opening("alpha", "another", {OTHER: 30}),
    "open too much": opening("alpha", "third", {MINER: 30, OTHER: 1}),
}
SCENARIOS = {
    "what is held and final is released once": [
        ("credit", "imm=60 i1=60"),
        ("mature", "imm=0 wal=60 i1=0 h1=60"),
        ("release", "h1=0 a2=60"),
        ("release", "again"),
    ],
    "what is not final is not released": [
        ("credit", "imm=60 i1=60"),
        ("release", "refused"),
    ],
    "what is held later is released with the next number": [
        ("credit", "imm=60 i1=60"),
        ("mature", "imm=0 wal=60 i1=0 h1=60"),
        ("release", "h1=0 a2=60"),
        ("credit again", "imm=30 i1=30"),
        ("release again", "refused"),
        ("mature again", "imm=0 wal=90 i1=0 h1=30"),
        ("release again", "h1=0 a3=30"),
    ],
    "what the operator funded is owed once it is brought in": [
        ("fund", "wal=100 own=100"),
        ("open", "own=30 a2=50 a3=20"),
        ("open", "again"),
        ("open too much", "refused"),
        ("open another", "own=0 a3=50"),
    ],
    "nothing is brought in that nobody funded": [
        ("open", "refused"),
    ],
}


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_tables_release_and_opening(scenario: list[tuple[str, str]], tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "pool.db")
    upgrade(url)
    database = Database(url)
    pure: dict[str, int] = {}
    expected: dict[str, int] = {}
    for step, outcome in scenario:
        group = STEPS[step]
        if outcome == "refused":
            with pytest.raises(LedgerError):
                apply(pure, group)
            with pytest.raises(LedgerError), database.write() as connection:
                ledger_store.post(connection, group, 0)
        else:
            with database.write() as connection:
                assert ledger_store.post(connection, group, 0) is (outcome != "again")
            if outcome != "again":
                pure = apply(pure, group)
                expected |= {NAMES[name]: int(amount) for name, amount in (pair.split("=") for pair in outcome.split())}
        with database.read() as connection:
            assert ledger_store.audit(connection) == []
            stored = ledger_store.chain_balances(connection, "alpha")
        wanted = {name: amount for name, amount in expected.items() if amount}
        for balances in (pure, stored):
            assert {name: amount for name, amount in balances.items() if amount} == wanted
            assert imbalance(balances) == 0
    database.close()


@pytest.mark.parametrize("amount", [0, -1, True, 1.5, "1"])
def test_tables_release_and_opening_of_no_whole_amount_is_refused(amount: int) -> None:
    with pytest.raises(LedgerError, match="not a positive whole amount"):
        release("alpha", HELD, MINER, 1, amount)
    with pytest.raises(LedgerError, match="not a positive whole amount"):
        opening("alpha", "file", {MINER: amount})


def test_tables_release_is_to_another_account_and_counted_from_1() -> None:
    with pytest.raises(LedgerError, match="debited and credited"):
        release("alpha", HELD, HELD, 1, 5)
    with pytest.raises(LedgerError, match="counted from 1"):
        release("alpha", HELD, MINER, 0, 5)
