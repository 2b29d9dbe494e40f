"""The hash chain of the ledger: every group is linked, and any change to the past shows."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, insert, text

from pool.ledger import income
from pool.ledger.account import OPERATOR_WITHDRAWN
from pool.ledger.transfer import LedgerError, Transfer, TransferGroup
from pool.storage import ledger_links, ledger_store
from pool.storage.database import Database
from pool.storage.tables import transfer_groups, transfers

GROUPS = [income.credit("alpha", name, income=100, fee=1, amounts={1: 99}) for name in "CAB"]


def _post(database: Database) -> None:
    for at_ms, group in enumerate(GROUPS):
        with database.write() as connection:
            ledger_store.post(connection, group, at_ms)


def test_storage_links_follow_the_order_of_writing(database: Database) -> None:
    _post(database)
    with database.read() as connection:
        links = list(ledger_links.all_links(connection, "alpha"))
        assert [(link.number, link.group_id) for link in links] == [
            (1, "credit:alpha:C"), (2, "credit:alpha:A"), (3, "credit:alpha:B"),
        ]  # fmt: skip
        assert len({link.hash for link in links}) == 3
        assert ledger_links.broken_link(connection, "alpha") is None
        assert ledger_links.broken_link(connection, "never heard of") is None


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE transfers SET amount = 98 WHERE amount = 99 AND group_id = 'credit:alpha:A'",
        "UPDATE transfers SET credit = 'liab.2.immature' WHERE amount = 99 AND group_id = 'credit:alpha:A'",
        "UPDATE transfer_groups SET created_ms = 9 WHERE id = 'credit:alpha:A'",
        "DELETE FROM transfers WHERE amount = 1 AND group_id = 'credit:alpha:A'",
    ],
)
def test_storage_links_show_a_changed_past(database: Database, change: str) -> None:
    _post(database)
    with database.write() as connection:
        _without_triggers(connection, change)
        assert ledger_links.broken_link(connection, "alpha") == (
            "link 2: credit:alpha:A is not as it was written, or not where it was"
        )


def test_storage_links_show_a_removed_link(database: Database) -> None:
    _post(database)
    with database.write() as connection:
        _without_triggers(connection, "DELETE FROM ledger_links WHERE number = 2")
        assert ledger_links.broken_link(connection, "alpha") == "link 2 is missing"


def test_storage_groups_of_an_older_version_are_linked_at_the_start(database: Database) -> None:
    with database.write() as connection:
        for at_ms, group in enumerate(GROUPS):
            row = {"id": group.id, "chain": "alpha", "kind": "credit", "created_ms": at_ms}
            connection.execute(insert(transfer_groups), [row])
            connection.execute(
                insert(transfers),
                [
                    {"group_id": group.id, "chain": "alpha", "debit": t.debit, "credit": t.credit, "amount": t.amount}
                    for t in group.transfers
                ],
            )
    with database.write() as connection:
        assert ledger_links.broken_link(connection, "alpha") == "credit:alpha:A is not linked to the groups before it"
        assert ledger_links.link_first(connection) == 3
        assert ledger_links.link_first(connection) == 0
        assert [link.group_id for link in ledger_links.all_links(connection, "alpha")] == [g.id for g in GROUPS]
        assert ledger_links.broken_link(connection, "alpha") is None


def test_storage_links_show_a_group_that_was_slipped_in(database: Database) -> None:
    _post(database)
    with database.write() as connection:
        row = {"id": "gift:alpha:1", "chain": "alpha", "kind": "gift", "created_ms": 1}
        connection.execute(insert(transfer_groups), [row])
        assert ledger_links.link_first(connection) == 0
        assert ledger_links.broken_link(connection, "alpha") == "gift:alpha:1 is not linked to the groups before it"


def test_storage_ledger_refuses_what_the_wallet_does_not_cover(database: Database) -> None:
    _post(database)
    with database.write() as connection:
        ledger_store.post(connection, income.mature("alpha", "A", income=100, amounts={1: 99}), 4)
        assert ledger_store.cover(connection, "alpha").surplus == 1

    def withdraw(amount: int) -> None:
        transfer = Transfer(OPERATOR_WITHDRAWN, "asset.wallet", amount)
        with database.write() as connection:
            ledger_store.post(connection, TransferGroup("withdraw:alpha:1", "alpha", "withdraw", (transfer,)), 5)

    with pytest.raises(LedgerError, match="withdraw:alpha:1: the wallet would hold 1 less"):
        withdraw(2)
    withdraw(1)
    with database.read() as connection:
        assert ledger_store.cover(connection, "alpha").surplus == 0
        assert ledger_links.broken_link(connection, "alpha") is None


def _without_triggers(connection: Connection, statement: str) -> None:
    """What an intruder with the database's password can do: the triggers are in nobody's way for this change."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL session_replication_role = replica"))
    else:
        names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
        for name in names:
            connection.execute(text(f"DROP TRIGGER {name}"))
    connection.execute(text(statement))
