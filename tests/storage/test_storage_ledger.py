"""The audit of the ledger: balances against transfers, whatever was done to either."""

from __future__ import annotations

from sqlalchemy import insert, update

from pool.ledger import income
from pool.ledger.account import INCOME_FEE
from pool.storage import ledger_store
from pool.storage.database import Database
from pool.storage.tables import balances, transfer_groups, transfers

GROUP = income.credit("alpha", "A", income=2**62, fee=1, amounts={1: 2**62 - 1})


def test_storage_ledger_gives_back_a_group(database: Database) -> None:
    with database.write() as connection:
        assert ledger_store.post(connection, GROUP, 5)
        assert ledger_store.find_group(connection, GROUP.id) == GROUP
        assert ledger_store.find_group(connection, "credit:alpha:B") is None


def test_storage_ledger_posts_a_cause_once(database: Database) -> None:
    for first in (True, False):
        with database.write() as connection:
            assert ledger_store.post(connection, GROUP, 5) is first
    with database.read() as connection:
        assert ledger_store.audit(connection) == []
        assert ledger_store.chain_balances(connection, "alpha")[INCOME_FEE] == 1


def test_storage_ledger_audit_adds_up_beyond_63_bits(database: Database) -> None:
    with database.write() as connection:
        ledger_store.post(connection, GROUP, 0)
        connection.execute(insert(transfer_groups), [{"id": "x", "chain": "beta", "kind": "x", "created_ms": 0}])
        row = {"group_id": "x", "chain": "beta", "debit": "equity.operator", "credit": INCOME_FEE, "amount": 2**62}
        connection.execute(insert(transfers), [row] * 4)
        faults = ledger_store.audit(connection)
    assert f"beta income.fee: balance 0, transfers give {2**64}" in faults
    assert not any(fault.startswith("alpha") for fault in faults)


def test_storage_ledger_audit_finds_a_balance_that_was_changed(database: Database) -> None:
    with database.write() as connection:
        ledger_store.post(connection, GROUP, 0)
        assert ledger_store.audit(connection) == []
        connection.execute(update(balances).where(balances.c.account == INCOME_FEE).values(amount=7))
        assert ledger_store.audit(connection) == [
            "alpha income.fee: balance 7, transfers give 1",
            "alpha: debits and credits differ by -6",
        ]


def test_storage_ledger_audit_finds_a_transfer_without_its_balance(database: Database) -> None:
    with database.write() as connection:
        ledger_store.post(connection, GROUP, 0)
        row = {"group_id": GROUP.id, "chain": "alpha", "debit": "liab.9.available", "credit": INCOME_FEE, "amount": 3}
        connection.execute(insert(transfers), [row])
        assert ledger_store.audit(connection) == [
            "alpha income.fee: balance 1, transfers give 4",
            "alpha liab.9.available: balance 0, transfers give -3",
            "alpha liab.9.available: below zero",
        ]
