"""The database itself: how it is opened, migrated, and what its schema refuses; on SQLite and on PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError

import migrations
from migrations.versions import m0006_payouts, m0009_payout_versions, m0010_income_grows
from pool.accounting.books_away import BooksAwayError
from pool.ledger.transfer import CORRECTIONS
from pool.storage import payout_tables as _with_payouts  # noqa: F401  as below
from pool.storage import settings_tables as _with_settings  # noqa: F401  their tables are on the metadata, too
from pool.storage.closing_tables import metadata as _with_closings  # noqa: F401
from pool.storage.database import Database, open_engine, upgrade
from pool.storage.scheme_tables import metadata  # with the tables of schemes


def test_storage_migrations_build_the_tables_the_code_uses(database: Database) -> None:
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        is_sqlite = connection.dialect.name == "sqlite"
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'" if is_sqlite else POSTGRESQL_TRIGGERS
        tables = (
            "closings", "credits", "income_events", "ledger_links", "payout_attempts", "payout_versions",
            "settings_messages", "transfer_groups", "transfers",
        )  # fmt: skip
        append_only = [
            f"{table}_refuse_{verb}"
            for table in tables
            for verb in (("delete", "update") if is_sqlite else ("delete", "truncate", "update"))
        ]
        checks = ["blocks_add_up_insert", "blocks_add_up_update", "credits_in_time", "income_events_in_time"]
        checks += [name for name, *_ in m0006_payouts.RULES] + [m0009_payout_versions.OF_SIGNED[0]]
        checks.append(m0010_income_grows.INCOME_GROWS[0])
        checks += [f"shares_forget_span_{change}" for change in ("delete", "insert", "update_from", "update_to")]
        assert sorted(connection.execute(text(query)).scalars()) == sorted(append_only + checks)


def test_storage_upgrade_may_be_repeated_and_makes_the_folder(bare_url: str) -> None:
    upgrade(bare_url)
    upgrade(bare_url)
    engine = open_engine(bare_url)
    assert "shares" in inspect(engine).get_table_names()
    engine.dispose()


EMPTY = ("route_accounts", "share_solves", "share_spans", "closings", "closed_ends")


def test_storage_upgrade_keeps_what_is_there(url: str) -> None:
    database = Database(url)
    with database.write() as connection:
        prepare(connection)
    before = _everything(database)
    upgrade(url)
    assert _everything(database) == before
    assert all(rows for name, rows in before.items() if name not in EMPTY)
    database.close()


def _everything(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    with database.read() as connection:
        tables = metadata.sorted_tables
        return {table.name: [tuple(row) for row in connection.execute(select(table))] for table in tables}


def test_storage_pools_that_start_together_make_the_database_once(bare_url: str) -> None:
    with ThreadPoolExecutor(3) as threads:
        processes = [
            threads.submit(
                subprocess.run,
                [sys.executable, "-c", f"from pool.storage.database import upgrade; upgrade({bare_url!r})"],
                capture_output=True, text=True, check=False,
            )
            for _ in range(3)
        ]
    assert [process.result().stderr for process in processes] == [""] * 3


def test_storage_migrations_go_down_to_nothing(url: str) -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    engine = open_engine(url)
    with engine.connect() as connection:
        config.attributes["connection"] = connection.execution_options(writes=True)
        alembic.command.downgrade(config, "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            left = text("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
            assert connection.execute(left).scalars().all() == []
    engine.dispose()
    upgrade(url)


def test_storage_upgrade_refuses_a_newer_database(url: str) -> None:
    database = Database(url)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(alembic.util.CommandError, match="9999"):
        upgrade(url)


@pytest.mark.parametrize("url", ["mysql://h/d", "postgresql+asyncpg://h/d", "postgresql+psycopg2://h/d", "oracle://h"])
def test_storage_refuses_another_database_or_driver(url: str) -> None:
    with pytest.raises(ArgumentError, match="begins with postgresql"):
        upgrade(url)


def test_storage_sqlite_is_durable_and_checks_foreign_keys(new_sqlite_url: Callable[[], str]) -> None:
    database = Database(new_sqlite_url())
    with database.read() as connection:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            assert connection.execute(text(f"PRAGMA {pragma}")).scalar() == value
    database.close()


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


def test_storage_second_writer_waits_instead_of_failing_half_way(database: Database, url: str) -> None:
    other = open_engine(url)
    is_sqlite = other.dialect.name == "sqlite"
    with other.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=10" if is_sqlite else "SET lock_timeout = 10")
        connection.rollback() if is_sqlite else connection.commit()
        with database.write(), pytest.raises(OperationalError, match="locked" if is_sqlite else "lock timeout"):
            connection.execution_options(writes=True).execute(text("SELECT 1"))
    other.dispose()


def test_storage_a_full_disk_of_sqlite_is_the_disks_fault_and_not_the_books(
    new_sqlite_url: Callable[[], str],
) -> None:
    full = Database(new_sqlite_url())
    with pytest.raises(BooksAwayError) as told, full.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
        connection.execute(text("INSERT INTO chain_sets (names) VALUES (hex(zeroblob(4000000)))"))
    assert str(told.value) == "database or disk is full"
    with full.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM chain_sets")).scalar() == 0
    with pytest.raises(OperationalError, match="no such table"), full.read() as connection:
        connection.execute(text("SELECT * FROM nowhere"))
    full.close()


def test_storage_writers_see_what_the_one_before_them_committed(database: Database, url: str) -> None:
    """Read, then write by what was read: with four at it, each sees the others' work."""
    with database.write() as connection:
        connection.execute(text("INSERT INTO balances VALUES ('a', 'equity.operator', 0)"))

    def add_one_often(times: int) -> None:
        own = Database(url)
        for _ in range(times):
            with own.write() as connection:
                amount = connection.execute(text("SELECT amount FROM balances")).scalar_one()
                connection.execute(text("UPDATE balances SET amount = :amount"), {"amount": amount + 1})
        own.close()

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(add_one_often, 25) for _ in range(4)]:
            done.result()
    with database.read() as connection:
        assert connection.execute(text("SELECT amount FROM balances")).scalar() == 100


INSERT_BLOCK = (
    "INSERT INTO blocks (chain, hash_hex, height, state, reward, fee, log_id, share_sequence, target_hex, found_ms,"
    " confirmations, reason, orphaned_times, watched, updated_ms)"
    " VALUES ({chain}, {hash}, {height}, {state}, {reward}, {fee}, 1, 1, 'ff', 0, 0, '', 0, 1, 0)"
)


def insert_block(**values: str) -> str:
    default = {"chain": "'a'", "hash": "'h'", "height": "1", "state": "'submitted'", "reward": "NULL", "fee": "NULL"}
    return INSERT_BLOCK.format(**(default | values))


POSTGRESQL_TRIGGERS = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"

# The first number that a table gives is 1.
PREPARED = [
    "INSERT INTO share_logs (name, segment, byte_offset, sequence, updated_ms) VALUES ('main', 0, 0, 0, 0)",
    "INSERT INTO accounts (chain, kind, script_hex, address) VALUES ('a', 'miner', '00', 'x')",
    "INSERT INTO routes (digest, login_parent) VALUES (X'01', 'x')",
    "INSERT INTO chain_sets (names) VALUES ('a')",
    "INSERT INTO shares VALUES (1, 1, 0, 1, 'w', 1, 1, X'aa', 0)",
    insert_block(hash="'paid'", height="7", reward="10", fee="1"),
    insert_block(hash="'unpaid'", height="6", reward="10", fee="1"),
    "INSERT INTO credits (block_id, account_id, weight, amount) VALUES (1, 1, '5', 9)",
    "INSERT INTO credits (block_id, account_id, weight, amount) VALUES (2, 1, '5', 3)",
    "INSERT INTO income_events (block_id, event_index, reward, fee, operator_amount, unexplained, scheme, total_weight)"
    " VALUES (1, 0, 10, 1, 0, 0, 'pplns', '5')",
    "UPDATE blocks SET state = 'immature' WHERE id = 1",
    "INSERT INTO pps_rates (chain, scheme, reward, work, fee_ppm, last_ms) VALUES ('a', 'pps', 5, '7', 0, 0)",
    "INSERT INTO pps_accruals VALUES (1, 1, '5')",
    "INSERT INTO pps_accounts VALUES (1, '0', 0)",
    "INSERT INTO pps_chains VALUES ('a', '0', 0)",
    "INSERT INTO transfer_groups VALUES ('g', 'a', 'credit', 0)",
    "INSERT INTO transfers (group_id, chain, debit, credit, amount) VALUES ('g', 'a', 'x', 'y', 1)",
    "INSERT INTO balances VALUES ('a', 'liab.1.immature', 0)",
    "INSERT INTO ledger_links VALUES ('a', 1, 'g', X'aa')",
    "INSERT INTO pool_leads VALUES ('main', 'main', 0)",
    "INSERT INTO share_sums VALUES (0, 1, 1, 1, 3, '30')",
    "INSERT INTO settings_messages (source, script_hex, address, number, message, signature, received_ms)"
    " VALUES ('miner', '00', 'x', 1, 'm', 's', 0)",
    "INSERT INTO account_settings VALUES ('a', 'miner', '00', 5, NULL, NULL, 1)",
    "INSERT INTO frozen_scripts VALUES ('00', 'x', 'why', 0, 1)",
    "INSERT INTO offline_notices VALUES ('00', 'x', 'ntfy://ntfy.sh/topic', 15, 1)",
    "INSERT INTO transfer_groups VALUES ('reserve:a:p', 'a', 'reserve', 0)",
    "INSERT INTO payout_batches (id, chain, kind, state, reason, fee_policy, epoch, created_ms, updated_ms)"
    " VALUES ('b', 'a', 'payout', 'planned', '', 'pool', 1, 0, 0)",
    "INSERT INTO payout_batches (id, chain, kind, state, reason, fee_policy, epoch, created_ms, updated_ms, fee,"
    " pool_fee, unsigned_bytes, raw, txid, wtxid)"
    " VALUES ('sent', 'a', 'payout', 'broadcast', '', 'pool', 1, 0, 0, 3, 3, X'01', X'02', X'03', X'03')",
    "INSERT INTO payout_versions (batch_id, number, chain, signed_ms, fee_rate, fee, pool_fee, vsize, unsigned_bytes,"
    " input_count, raw, txid, wtxid) VALUES ('sent', 0, 'a', 0, 1, 3, 3, 3, X'01', 1, X'02', X'03', X'03')",
    "INSERT INTO payouts (id, batch_id, place, chain, account_id, address, script_hex, gross, minimum, state)"
    " VALUES ('p', 'b', 0, 'a', 1, 'x', '00', 9, 1, 'open')",
    "INSERT INTO payout_outputs VALUES ('b', 'p', 0, 9, 0)",
    "INSERT INTO batch_inputs VALUES ('b', 0, 'a', X'aa', 0, 10, '00', 1)",
    "INSERT INTO wallet_coins (chain, txid, vout, amount, source, cause, booked_ms)"
    " VALUES ('a', X'aa', 0, 10, 'income', 'paid', 0)",
    "INSERT INTO payout_attempts (batch_id, made_ms, action, result, reason) VALUES ('b', 0, 'send', 'sent', '')",
    "INSERT INTO payer_epochs VALUES ('a', 1, 'x', 0)",
    "INSERT INTO chain_holds (chain, cause, reason, placed_ms) VALUES ('a', 'operator', 'why', 0)",
    "INSERT INTO payout_quarantine VALUES (1, 'x', 'why', 0)",
    insert_block(hash="'v'", height="9", reward="0", fee="0"),
    insert_block(hash="'v.1'", height="9", reward="0", fee="0"),
    "UPDATE blocks SET vote_hash_hex = 'v', container_hash_hex = 'c', event_index = 2, state = 'immature' WHERE id = 3",
    "UPDATE blocks SET vote_hash_hex = 'v' WHERE id = 4",
    "INSERT INTO vote_scans VALUES ('main', 'a', 9, 'c')",
]

INSERT_CREDIT = "INSERT INTO credits (block_id, account_id, weight, amount) VALUES "
INSERT_EVENT = (
    "INSERT INTO income_events (block_id, event_index, reward, fee, operator_amount, unexplained, scheme, total_weight)"
    " VALUES "
)
INSERT_RATE = "INSERT INTO pps_rates (chain, scheme, reward, work, fee_ppm, last_ms) VALUES "
INSERT_TRANSFER = "INSERT INTO transfers (group_id, chain, debit, credit, amount) VALUES "
INSERT_MESSAGE = (
    "INSERT INTO settings_messages (source, script_hex, address, number, message, signature, received_ms) VALUES "
)
INSERT_ACCOUNT = "INSERT INTO accounts (chain, kind, script_hex, address) VALUES "

REFUSED = {
    "a negative reward": insert_block(reward="-1"),
    "a fee over the reward": insert_block(reward="1", fee="2"),
    "a state of its own": insert_block(state="'stolen'"),
    "immature without a reward": insert_block(state="'immature'"),
    "the same block twice": insert_block(hash="'paid'", height="8"),
    "two paid blocks at one height": "UPDATE blocks SET height = 7, fee = 7, state = 'immature' WHERE id = 2",
    "a vote paid twice": "UPDATE blocks SET height = 10, state = 'immature' WHERE id = 4",
    "two votes paid at one index": "UPDATE blocks SET vote_hash_hex = NULL, event_index = 2, state = 'mature'"
    " WHERE id = 4",
    "two incomes of one index of a block": "UPDATE blocks SET container_hash_hex = 'c', event_index = 2 WHERE id = 4",
    "a block that begins paid": insert_block(height="9", state="'mature'", reward="1", fee="0"),
    "a second credit of an account": INSERT_CREDIT + "(2, 1, '5', 0)",
    "a negative credit": INSERT_CREDIT + "(2, 2, '5', -1)",
    "a credit of an unknown account": INSERT_CREDIT + "(2, 99, '5', 1)",
    "a credit of a block that is credited": INSERT_CREDIT + "(1, 2, '5', 0)",
    "an event of a block that is credited": INSERT_EVENT + "(1, 1, 0, 0, 0, 0, 'pplns', '0')",
    "an event whose parts are more than it": INSERT_EVENT + "(2, 0, 10, 4, 4, 3, 'pplns', '0')",
    "an event of an unknown scheme": INSERT_EVENT + "(2, 0, 10, 4, 0, 0, 'prop', '0')",
    "a changed event": "UPDATE income_events SET fee_ppm = 5",
    "a deleted event": "DELETE FROM income_events",
    "an immature block whose credits do not add up (I6)": "UPDATE blocks SET state = 'immature' WHERE id = 2",
    "a mature block whose credits do not add up (I6)": "UPDATE blocks SET state = 'mature' WHERE id = 2",
    "a paid block with another reward": "UPDATE blocks SET reward = 11 WHERE id = 1",
    "a paid block with another fee": "UPDATE blocks SET fee = 2 WHERE id = 1",
    "less than nothing credited for shares": "UPDATE pps_accounts SET credited = -1",
    "the same rate twice": INSERT_RATE + "('a', 'pps', 5, '7', 0, 1)",
    "a rate of another scheme": INSERT_RATE + "('a', 'solo', 5, '7', 0, 1)",
    "a transfer of nothing": INSERT_TRANSFER + "('g','a','x','y',0)",
    "a transfer to itself": INSERT_TRANSFER + "('g','a','x','x',1)",
    "income that falls (I4)": INSERT_TRANSFER + "('g','a','income.fee','y',1)",
    "an expense that falls (I4)": INSERT_TRANSFER + "('g','a','x','expense.txfee',1)",
    "a transfer without a group": INSERT_TRANSFER + "('n','a','x','y',1)",
    "the same group twice": "INSERT INTO transfer_groups VALUES ('g', 'a', 'credit', 0)",
    "a changed transfer": "UPDATE transfers SET amount = 2",
    "a deleted transfer": "DELETE FROM transfers",
    "a changed group": "UPDATE transfer_groups SET kind = 'mature'",
    "a deleted group": "DELETE FROM transfer_groups",
    "a changed link": "UPDATE ledger_links SET hash = X'bb'",
    "a deleted link": "DELETE FROM ledger_links",
    "a group linked twice": "INSERT INTO ledger_links VALUES ('a', 2, 'g', X'bb')",
    "a changed credit": "UPDATE credits SET amount = 5",
    "a deleted credit": "DELETE FROM credits",
    "a debt below zero": "UPDATE balances SET amount = -1",
    "the same sequence twice": "INSERT INTO shares VALUES (1, 1, 0, 1, 'w', 1, 1, X'bb', 0)",
    "a negative weight": "INSERT INTO shares VALUES (1, 3, 0, 1, 'w', -1, 1, X'bb', 0)",
    "a script with two accounts": INSERT_ACCOUNT + "('a','miner','00','y')",
    "an account of another kind": INSERT_ACCOUNT + "('a','bank','01','y')",
    "a settings message without a signature": INSERT_MESSAGE + "('miner', '00', 'x', 2, 'm', '', 0)",
    "a settings message without a number": INSERT_MESSAGE + "('miner', '00', 'x', NULL, 'm', 's', 0)",
    "a number used twice": INSERT_MESSAGE + "('miner', '00', 'y', 1, 'other', 's', 0)",
    "a signed word of the operator": INSERT_MESSAGE + "('operator', '00', 'x', NULL, 'm', 's', 0)",
    "a settings message of somebody else": INSERT_MESSAGE + "('stranger', '00', 'x', 2, 'm', 's', 0)",
    "a second offline notice": "INSERT INTO offline_notices VALUES ('00', 'x', 'ntfy://ntfy.sh/other', 15, 1)",
    "an offline notice after no time": "UPDATE offline_notices SET after_min = 0",
    "an offline notice that nobody signed": "UPDATE offline_notices SET message_id = 99",
    "a changed settings message": "UPDATE settings_messages SET message = 'n'",
    "a deleted settings message": "DELETE FROM settings_messages",
    "a negative minimum payout": "UPDATE account_settings SET minimum_payout = -1",
    "half a registered address": "UPDATE account_settings SET payout_address = 'y'",
    "settings without their message": "UPDATE account_settings SET message_id = 99",
    "frozen twice": "INSERT INTO frozen_scripts VALUES ('00', 'x', 'again', 0, 1)",
}


def run(connection: Connection, statement: str) -> None:
    """A statement of this file; X'..' are bytes."""
    if connection.dialect.name == "postgresql":
        statement = statement.replace("X'", r"'\\x")
    connection.execute(text(statement))


def prepare(connection: Connection) -> None:
    for statement in PREPARED:
        run(connection, statement)


@pytest.mark.parametrize("statement", REFUSED.values(), ids=REFUSED.keys())
def test_storage_schema_refuses(database: Database, statement: str) -> None:
    with database.write() as connection:
        prepare(connection)
    with pytest.raises(IntegrityError), database.write() as connection:
        run(connection, statement)


def test_storage_schema_lets_a_block_pay_several_votes(database: Database) -> None:
    with database.write() as connection:
        prepare(connection)
        run(connection, "UPDATE blocks SET vote_hash_hex = 'w', container_hash_hex = 'c' WHERE id = 4")
        run(connection, "UPDATE blocks SET state = 'immature' WHERE id = 4")


def test_storage_schema_lets_corrections_take_income_and_expenses_back(database: Database) -> None:
    """Invariant I4; and both grow by anything."""
    assert set(m0010_income_grows.CORRECTIONS) == CORRECTIONS
    with database.write() as connection:
        prepare(connection)
        for kind in sorted(CORRECTIONS):
            run(connection, f"INSERT INTO transfer_groups VALUES ('{kind}:a:x', 'a', '{kind}', 0)")
            run(connection, INSERT_TRANSFER + f"('{kind}:a:x','a','income.fee','expense.txfee',1)")
        run(connection, INSERT_TRANSFER + "('g','a','expense.txfee','income.fee',1)")


def test_storage_schema_allows_an_orphan_beside_a_paid_block(database: Database) -> None:
    with database.write() as connection:
        prepare(connection)
        connection.execute(text(insert_block(height="7", state="'orphan'", reward="10", fee="0")))
        connection.execute(text("UPDATE blocks SET state = 'orphan' WHERE hash_hex = 'paid'"))
        connection.execute(text("UPDATE blocks SET state = 'immature' WHERE hash_hex = 'h'"))


def test_storage_schema_takes_a_block_of_several_events_that_add_up(database: Database) -> None:
    """I5 and I6 for a chain that pays several proofs of one block: each event by itself, and all together."""

    def attempt(second_reward: int, block_reward: int) -> None:
        with database.write() as connection:
            connection.execute(text(insert_block(hash="'many'", height="70", reward=str(block_reward), fee="2")))
            block = "(SELECT id FROM blocks WHERE hash_hex = 'many')"
            connection.execute(text(INSERT_EVENT + f"({block}, 0, 10, 1, 4, 0, 'pplns', '5')"))
            connection.execute(text(INSERT_EVENT + f"({block}, 1, {second_reward}, 1, 0, 0, 'pplns', '5')"))
            columns = "INSERT INTO credits (block_id, event_index, account_id, weight, amount) VALUES "
            connection.execute(text(columns + f"({block}, 0, 1, '5', 5)"))
            connection.execute(text(columns + f"({block}, 1, 1, '5', 6)"))
            connection.execute(text(f"UPDATE blocks SET state = 'immature' WHERE id = {block}"))

    with database.write() as connection:
        prepare(connection)
    for second_reward, block_reward in ((8, 18), (7, 18), (8, 17), (6, 17)):
        with pytest.raises(IntegrityError, match="I6"):
            attempt(second_reward, block_reward)
    attempt(7, 17)
