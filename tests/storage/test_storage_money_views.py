"""What the metrics ask of the ledger: sums per chain, the balance of both sides, and who waits longest."""

from __future__ import annotations

from sqlalchemy import update

from pool.ledger import income, payment
from pool.ledger.transfer import TransferGroup
from pool.storage import ledger_store
from pool.storage.database import Database
from pool.storage.money_views import chain_money, newest_money, oldest_unpaid_ms
from pool.storage.tables import balances

CREDIT = income.credit("alpha", "A", income=1000, fee=10, amounts={1: 600, 2: 390})
MATURE = income.mature("alpha", "A", income=1000, amounts={1: 600, 2: 390})


def reserve(name: str, account: int, amount: int) -> TransferGroup:
    return payment.reserve("alpha", name, account, amount)


def test_storage_money_sums_each_chain(database: Database) -> None:
    with database.write() as connection:
        for group in (CREDIT, MATURE, reserve("1", 1, 100)):
            ledger_store.post(connection, group, 5)
        ledger_store.post(connection, income.credit("beta", "B", income=2**62, fee=0, amounts={3: 2**62}), 6)
        ledger_store.post(connection, income.credit("beta", "C", income=2**61, fee=0, amounts={4: 2**61}), 6)
        money = chain_money(connection)
    assert money.liabilities["alpha", "available"] == 890 and money.liabilities["alpha", "reserved"] == 100
    assert money.liabilities["beta", "immature"] == money.coins["beta", "immature"] == 2**62 + 2**61
    assert money.coins["alpha", "wallet"] == 1000
    assert money.fees == {"alpha": 10, "beta": 0}
    assert money.imbalance == {"alpha": 0, "beta": 0}


def test_storage_money_tells_when_it_is_another_sum(database: Database) -> None:
    with database.write() as connection:
        seen = [newest_money(connection)]
        for group in (CREDIT, MATURE):
            ledger_store.post(connection, group, 5)
            seen.append(newest_money(connection))
        assert newest_money(connection) == seen[-1]
    assert seen[0] == ({}, 0) and len({number for _, number in seen}) == 3


def test_storage_money_shows_what_does_not_balance(database: Database) -> None:
    with database.write() as connection:
        ledger_store.post(connection, CREDIT, 5)
        connection.execute(update(balances).where(balances.c.account == "liab.1.immature").values(amount=599))
        assert chain_money(connection).imbalance == {"alpha": 1}


def test_storage_money_tells_who_waits_longest_since_his_last_payment(database: Database) -> None:
    with database.write() as connection:
        assert oldest_unpaid_ms(connection, {"alpha": 300, "beta": 1}, 9000) == {"alpha": 0, "beta": 0}
        ledger_store.post(connection, CREDIT, 1000)
        assert oldest_unpaid_ms(connection, {"alpha": 300}, 9000) == {"alpha": 0}, "immature is not owed for good"
        ledger_store.post(connection, MATURE, 2000)
        assert oldest_unpaid_ms(connection, {"alpha": 300}, 9000) == {"alpha": 7000}
        ledger_store.post(connection, reserve("1", 1, 250), 5000)
        assert oldest_unpaid_ms(connection, {"alpha": 300}, 9000) == {"alpha": 7000}, "the other one still waits"
        ledger_store.post(connection, reserve("2", 2, 350), 6000)
        assert oldest_unpaid_ms(connection, {"alpha": 300}, 9000) == {"alpha": 4000}, "350 are left to the first"
        assert oldest_unpaid_ms(connection, {"alpha": 351}, 9000) == {"alpha": 0}
