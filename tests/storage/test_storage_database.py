"""The database itself: how it is opened, migrated, and what its schema refuses."""

from __future__ import annotations

from pathlib import Path

import alembic.command
import alembic.config
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable

import migrations
from pool.storage.database import Database, open_engine, sqlite_url, upgrade
from pool.storage.tables import metadata


def test_storage_migrations_build_the_tables_the_code_uses(database: Database) -> None:
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        rows = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name")).scalars()
        assert list(rows) == [
            f"{table}_refuse_{verb}"
            for table in ("credits", "transfer_groups", "transfers")
            for verb in ("delete", "update")
        ]


def test_storage_upgrade_may_be_repeated_and_makes_the_folder(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "deep" / "pool.db")
    upgrade(url)
    upgrade(url)
    engine = open_engine(url)
    assert "shares" in inspect(engine).get_table_names()
    engine.dispose()


def test_storage_migrations_go_down_to_nothing(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "pool.db")
    upgrade(url)
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    engine = open_engine(url)
    with engine.connect() as connection:
        config.attributes["connection"] = connection.execution_options(writes=True)
        alembic.command.downgrade(config, "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()
    upgrade(url)


def test_storage_upgrade_refuses_a_newer_database(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "pool.db")
    upgrade(url)
    database = Database(url)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(alembic.util.CommandError, match="9999"):
        upgrade(url)


def test_storage_sqlite_is_durable_and_checks_foreign_keys(database: Database) -> None:
    with database.read() as connection:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            assert connection.execute(text(f"PRAGMA {pragma}")).scalar() == value


def test_storage_write_is_all_or_nothing(database: Database) -> None:
    def write_and_fail() -> None:
        with database.write() as connection:
            connection.execute(text("INSERT INTO chain_sets (names) VALUES ('a')"))
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_and_fail()
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM chain_sets")).scalar() == 0


def test_storage_readers_see_the_last_commit_while_a_writer_works(database: Database) -> None:
    with database.write() as writer:
        writer.execute(text("INSERT INTO chain_sets (names) VALUES ('a')"))
        with database.read() as reader:
            assert reader.execute(text("SELECT count(*) FROM chain_sets")).scalar() == 0


def test_storage_second_writer_waits_instead_of_failing_half_way(database: Database) -> None:
    other = open_engine(str(database.engine.url))
    with other.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=10")
        connection.rollback()
        with database.write(), pytest.raises(OperationalError, match="locked"):
            connection.execution_options(writes=True).execute(text("SELECT 1"))
    other.dispose()


INSERT_BLOCK = (
    "INSERT INTO blocks (chain, hash_hex, height, state, reward, fee, log_id, share_sequence, target_hex, found_ms,"
    " confirmations, reason, orphaned_times, watched, updated_ms)"
    " VALUES ({chain}, {hash}, {height}, {state}, {reward}, {fee}, 1, 1, 'ff', 0, 0, '', 0, 1, 0)"
)


def insert_block(**values: str) -> str:
    default = {"chain": "'a'", "hash": "'h'", "height": "1", "state": "'submitted'", "reward": "NULL", "fee": "NULL"}
    return INSERT_BLOCK.format(**(default | values))


PREPARED = [
    "INSERT INTO share_logs (id, name, segment, byte_offset, sequence, updated_ms) VALUES (1, 'main', 0, 0, 0, 0)",
    "INSERT INTO accounts (id, chain, kind, script_hex, address) VALUES (1, 'a', 'miner', '00', 'x')",
    "INSERT INTO routes (id, digest, login_parent) VALUES (1, X'01', 'x')",
    "INSERT INTO chain_sets (id, names) VALUES (1, 'a')",
    "INSERT INTO shares VALUES (1, 1, 0, 1, 'w', 1, 1, X'aa', 0)",
    insert_block(hash="'paid'", height="7", state="'immature'", reward="10", fee="1"),
    "INSERT INTO credits VALUES (1, 1, '5', 9)",
    "INSERT INTO transfer_groups VALUES ('g', 'a', 'credit', 0)",
    "INSERT INTO transfers (group_id, chain, debit, credit, amount) VALUES ('g', 'a', 'x', 'y', 1)",
    "INSERT INTO balances VALUES ('a', 'liab.1.immature', 0)",
]

INSERT_TRANSFER = "INSERT INTO transfers (group_id, chain, debit, credit, amount) VALUES "
INSERT_ACCOUNT = "INSERT INTO accounts (chain, kind, script_hex, address) VALUES "

REFUSED = {
    "a negative reward": insert_block(reward="-1"),
    "a fee over the reward": insert_block(reward="1", fee="2"),
    "a state of its own": insert_block(state="'lost'"),
    "immature without a reward": insert_block(state="'immature'"),
    "the same block twice": insert_block(hash="'paid'", height="8"),
    "two paid blocks at one height": insert_block(height="7", state="'mature'", reward="1", fee="0"),
    "a second credit of an account": "INSERT INTO credits VALUES (1, 1, '5', 0)",
    "a negative credit": "INSERT INTO credits VALUES (1, 2, '5', -1)",
    "a credit of an unknown account": "INSERT INTO credits VALUES (1, 99, '5', 1)",
    "a transfer of nothing": INSERT_TRANSFER + "('g','a','x','y',0)",
    "a transfer to itself": INSERT_TRANSFER + "('g','a','x','x',1)",
    "a transfer without a group": INSERT_TRANSFER + "('n','a','x','y',1)",
    "the same group twice": "INSERT INTO transfer_groups VALUES ('g', 'a', 'credit', 0)",
    "a changed transfer": "UPDATE transfers SET amount = 2",
    "a deleted transfer": "DELETE FROM transfers",
    "a changed group": "UPDATE transfer_groups SET kind = 'mature'",
    "a deleted group": "DELETE FROM transfer_groups",
    "a changed credit": "UPDATE credits SET amount = 5",
    "a deleted credit": "DELETE FROM credits",
    "a debt below zero": "UPDATE balances SET amount = -1",
    "the same header twice": "INSERT INTO shares VALUES (1, 2, 0, 1, 'w', 1, 1, X'aa', 0)",
    "the same sequence twice": "INSERT INTO shares VALUES (1, 1, 0, 1, 'w', 1, 1, X'bb', 0)",
    "a negative weight": "INSERT INTO shares VALUES (1, 3, 0, 1, 'w', -1, 1, X'bb', 0)",
    "a script with two accounts": INSERT_ACCOUNT + "('a','miner','00','y')",
    "an account of another kind": INSERT_ACCOUNT + "('a','bank','01','y')",
}


@pytest.mark.parametrize("statement", REFUSED.values(), ids=REFUSED.keys())
def test_storage_schema_refuses(database: Database, statement: str) -> None:
    with database.write() as connection:
        for prepared in PREPARED:
            connection.execute(text(prepared))

    def run() -> None:
        with database.write() as connection:
            connection.execute(text(statement))

    with pytest.raises(IntegrityError):
        run()


def test_storage_schema_allows_an_orphan_beside_a_paid_block(database: Database) -> None:
    with database.write() as connection:
        for prepared in PREPARED:
            connection.execute(text(prepared))
        connection.execute(text(insert_block(height="7", state="'orphan'", reward="10", fee="1")))
        connection.execute(text("UPDATE blocks SET state = 'orphan' WHERE hash_hex = 'paid'"))
        connection.execute(text("UPDATE blocks SET state = 'immature' WHERE hash_hex = 'h'"))


def test_storage_tables_can_be_written_for_postgresql() -> None:
    dialect = postgresql.dialect()
    statements = [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables]
    for table in metadata.sorted_tables:
        statements += [str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes]
    everything = "\n".join(statements)
    assert "id BIGSERIAL NOT NULL" in everything
    assert "header_hash BYTEA NOT NULL" in everything
    assert "ON blocks (chain, height) WHERE state IN ('immature', 'mature')" in everything
