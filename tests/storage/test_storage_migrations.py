"""Migrations over books that hold something: nothing is lost on the way up or down, on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect, select, text

import migrations
from pool import progress
from pool.storage.database import migrating, upgrade

SCRIPTS = str(Path(migrations.__file__).parent)
REVISIONS = [script.revision for script in reversed(list(ScriptDirectory(SCRIPTS).walk_revisions()))]

FIRST_ROWS = [
    "INSERT INTO share_logs (name, segment, byte_offset, sequence, updated_ms) VALUES ('main', 3, 99, 7, 5)",
    "INSERT INTO accounts (chain, kind, script_hex, address) VALUES ('a', 'miner', '00', 'x')",
    "INSERT INTO routes (digest, login_parent) VALUES (X'01', 'x')",
    "INSERT INTO route_accounts (route_id, chain, account_id) VALUES (1, 'a', 1)",
    "INSERT INTO chain_sets (names) VALUES ('a')",
    "INSERT INTO shares (log_id, sequence, time_ms, route_id, worker, weight, chain_set_id, header_hash, stale)"
    " VALUES (1, 7, 4, 1, 'w', 1, 1, X'aa', 0)",
    "INSERT INTO share_solves (log_id, sequence, chain, block_hash_hex) VALUES (1, 7, 'a', 'paid')",
    "INSERT INTO blocks (chain, hash_hex, height, state, reward, fee, log_id, share_sequence, target_hex, found_ms,"
    " confirmations, reason, orphaned_times, watched, updated_ms)"
    " VALUES ('a', 'paid', 7, 'immature', 10, 1, 1, 7, 'ff', 4, 1, '', 0, 1, 5)",
    "INSERT INTO credits (block_id, account_id, weight, amount) VALUES (1, 1, '5', 9)",
    "INSERT INTO transfer_groups (id, chain, kind, created_ms) VALUES ('credit:a:paid', 'a', 'credit', 5)",
    "INSERT INTO transfers (group_id, chain, debit, credit, amount)"
    " VALUES ('credit:a:paid', 'a', 'asset.immature', 'income.fee', 1)",
    "INSERT INTO transfers (group_id, chain, debit, credit, amount)"
    " VALUES ('credit:a:paid', 'a', 'asset.immature', 'liab.1.immature', 9)",
    "INSERT INTO balances (chain, account, amount) VALUES ('a', 'asset.immature', 10)",
    "INSERT INTO balances (chain, account, amount) VALUES ('a', 'income.fee', 1)",
    "INSERT INTO balances (chain, account, amount) VALUES ('a', 'liab.1.immature', 9)",
]


def _fill(connection: Connection) -> None:
    for statement in FIRST_ROWS:
        if connection.dialect.name == "postgresql":
            statement = statement.replace("X'", r"'\\x")
        connection.execute(text(statement))
    connection.commit()


def _rows(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    found = MetaData()
    found.reflect(connection)
    rows = {
        name: [dict(row._mapping) for row in connection.execute(select(table))]
        for name, table in found.tables.items()
        if name != "alembic_version"
    }
    connection.rollback()
    return rows


def _holds(rows: dict[str, list[dict[str, Any]]], first: dict[str, list[dict[str, Any]]]) -> None:
    """Every row and value of the first revision is there; later revisions may know more of it."""
    for name, expected in first.items():
        assert len(rows[name]) == len(expected), name
        for row, old in zip(rows[name], expected, strict=True):
            assert {key: row[key] for key in old} == old


@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_storage_migration_keeps_the_books_up_and_down(bare_url: str, revision: str) -> None:
    with migrating(bare_url) as config:
        alembic.command.upgrade(config, "0001")
        connection = config.attributes["connection"]
        _fill(connection)
        first = _rows(connection)
        assert all(first.values())
        alembic.command.upgrade(config, revision)
        _holds(_rows(connection), first)
        alembic.command.downgrade(config, "0001")
        assert _rows(connection) == first
        alembic.command.upgrade(config, "head")
        _holds(_rows(connection), first)


def test_storage_migration_gives_credited_blocks_an_income_event(bare_url: str) -> None:
    """Terms that the books never held are not made up."""
    with migrating(bare_url) as config:
        alembic.command.upgrade(config, "0001")
        connection = config.attributes["connection"]
        _fill(connection)
        alembic.command.upgrade(config, "0004")
        assert _rows(connection)["income_events"] == [
            dict.fromkeys(
                (
                    "fee_ppm", "factor", "window_min_ms", "share_count", "oldest_log_id", "oldest_sequence",
                    "oldest_ms", "newest_log_id", "newest_sequence", "newest_ms",
                )
            )
            | {"block_id": 1, "event_index": 0, "reward": 10, "fee": 1, "operator_amount": 0, "unexplained": 0}
            | {"scheme": "pplns", "total_weight": "5"}
        ]  # fmt: skip
        assert [row["event_index"] for row in _rows(connection)["credits"]] == [0]


def test_storage_migrations_let_the_code_before_them_go_on(bare_url: str) -> None:
    """A front end of the version before may still be running: every table and column that it writes is there, and what
    is new in its tables needs no value of it.
    """
    with migrating(bare_url) as config:
        connection = config.attributes["connection"]
        before: dict[str, dict[str, Any]] = {}
        for revision in REVISIONS:
            alembic.command.upgrade(config, revision)
            found = inspect(connection)
            now = {table: {c["name"]: c for c in found.get_columns(table)} for table in found.get_table_names()}
            for table, columns in before.items():
                assert columns.keys() <= now[table].keys(), (revision, table)
                for name in now[table].keys() - columns.keys():
                    column = now[table][name]
                    assert column["nullable"] or column["default"] is not None, (revision, table, name)
            before = now
            connection.rollback()
        assert "transfers" in before


def test_migrations_that_take_long_say_in_the_log_how_far_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "parapool.books")
    monkeypatch.setattr(progress, "QUIET_S", 60.0)
    upgrade(f"sqlite:///{tmp_path}/quick.sqlite")
    assert [message for message in caplog.messages if message.startswith("database upgrade: ")] == []
    monkeypatch.setattr(progress, "QUIET_S", 0.0)
    upgrade(f"sqlite:///{tmp_path}/slow.sqlite")
    told = [message.rpartition(", ")[0] for message in caplog.messages if message.startswith("database upgrade: ")]
    assert (told[0], told[-1]) == ("database upgrade: waiting for whoever writes", "database upgrade: over")
    monkeypatch.setattr(progress, "PIPE_S", 1e-9)
    upgrade(f"sqlite:///{tmp_path}/slower.sqlite")
    schemas = [message.split(": ")[1].split()[1] for message in caplog.messages if ": schema " in message]
    assert list(dict.fromkeys(schemas)) == REVISIONS
