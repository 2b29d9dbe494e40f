"""What the database itself refuses of payouts, whatever a program wants: on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from migrations.versions.m0009_payout_versions import STEPS
from pool.payouts.batch import HOLDABLE, BatchKind, BatchState, FeePolicy, allowed_steps
from pool.storage import payout_tables
from pool.storage.database import Database

BATCH = (
    "INSERT INTO payout_batches (id, chain, kind, state, held_from, reason, fee_policy, epoch, created_ms, updated_ms,"
    " fee, pool_fee, unsigned_bytes, raw, txid, wtxid, conflict_txid)"
    " VALUES ('{id}', 'a', 'payout', '{state}', {held}, '', 'pool', 5, 0, 0, 3, 3, X'01', {raw}, {txid}, {txid},"
    " {dead})"
)
PAYOUT = (
    "INSERT INTO payouts (id, batch_id, place, chain, account_id, address, script_hex, gross, minimum, state, txid,"
    " vout, net, fee_part) VALUES ('{id}', '{batch}', 0, 'a', {account}, 'x', '00', 9, 1, '{state}', {txid}, {vout},"
    " {net}, {part})"
)


def batch(name: str, state: str, **options: str) -> str:
    signed = state not in ("planned", "built") and options.get("held") not in ("'planned'", "'built'")
    raw = {"raw": f"X'{name.encode().hex()}'", "txid": f"X'{name.encode().hex()}'"} if signed else {}
    values = {"held": "NULL", "raw": "NULL", "txid": "NULL", "dead": "NULL"} | raw | options
    return BATCH.format(id=name, state=state, **values)


def payout(name: str, of: str = "b", **options: str) -> str:
    values = {"account": "1", "state": "open", "txid": "NULL", "vout": "NULL", "net": "NULL", "part": "NULL"} | options
    return PAYOUT.format(id=name, batch=of, **values)


def group(name: str) -> str:
    return f"INSERT INTO transfer_groups VALUES ('{name}', 'a', '{name.partition(':')[0]}', 0)"


PREPARED = [
    "INSERT INTO accounts (chain, kind, script_hex, address) VALUES ('a', 'miner', '00', 'x')",
    batch("b", "planned"),
    batch("s", "broadcast"),
    batch("t", "settled"),
    group("reserve:a:p"),
    group("reserve:a:q"),
    group("reserve:a:r"),
    group("settle:a:r"),
    payout("p"),
    payout("q", "t"),
    payout("r", "t"),
    "INSERT INTO payout_outputs VALUES ('s', 'p', 0, 9, 0)",
    "INSERT INTO payout_outputs VALUES ('t', 'q', 0, 9, 0)",
    "INSERT INTO payout_outputs VALUES ('t', 'r', 1, 8, 1)",
    "INSERT INTO batch_inputs VALUES ('s', 0, 'a', X'aa', 0, 10, '00', 1)",
    "INSERT INTO wallet_coins (chain, txid, vout, amount, source, cause, booked_ms)"
    " VALUES ('a', X'aa', 0, 10, 'income', 'h', 0)",
    "INSERT INTO payout_attempts (batch_id, made_ms, action, result, reason) VALUES ('s', 0, 'send', 'sent', '')",
    "INSERT INTO chain_holds (chain, cause, reason, placed_ms) VALUES ('a', 'operator', 'why', 0)",
]

SETTLE = "UPDATE payouts SET state = 'settled', txid = X'74', vout = {vout}, net = {net}, fee_part = {part} WHERE id = "

REFUSED = {
    "two batches of a chain before they are sent": batch("c", "built"),
    "a second one that is on hold from there": batch("c", "hold", held="'signed'"),
    "a state of its own": batch("c", "lost"),
    "on hold from nowhere": batch("c", "hold"),
    "held from somewhere and not on hold": batch("c", "broadcast", held="'signed'"),
    "sent without bytes": batch("c", "broadcast", raw="NULL", txid="NULL"),
    "bytes without an id": batch("c", "broadcast", txid="NULL"),
    "planned with bytes": "UPDATE payout_batches SET raw = X'01', txid = X'01', wtxid = X'01' WHERE id = 'b'",
    "the same transaction twice": batch("c", "broadcast", txid="X'73'"),
    "void after it was signed, without proof": batch("c", "void"),
    "other bytes": "UPDATE payout_batches SET raw = X'00' WHERE id = 's'",
    "no bytes any more": "UPDATE payout_batches SET raw = NULL, txid = NULL, wtxid = NULL WHERE id = 's'",
    "another id": "UPDATE payout_batches SET txid = X'00' WHERE id = 's'",
    "another fee": "UPDATE payout_batches SET fee = 4 WHERE id = 's'",
    "a pool's part over the fee": "UPDATE payout_batches SET pool_fee = 4 WHERE id = 'b'",
    "another chain": "UPDATE payout_batches SET chain = 'b' WHERE id = 'b'",
    "an older payer": "UPDATE payout_batches SET epoch = 4 WHERE id = 'b'",
    "a deleted batch": "DELETE FROM payout_batches WHERE id = 'b'",
    "a deleted payout": "DELETE FROM payouts WHERE id = 'p'",
    "a payout that is not reserved": payout("z"),
    "a payout of another amount": "UPDATE payouts SET gross = 8 WHERE id = 'p'",
    "a payout to another script": "UPDATE payouts SET script_hex = '01' WHERE id = 'p'",
    "a payout of somebody else": "UPDATE payouts SET account_id = NULL WHERE id = 'p'",
    "settled by a batch that is not": SETTLE.format(vout=0, net=9, part=0) + "'p'",
    "settled and not booked": SETTLE.format(vout=0, net=9, part=0) + "'q'",
    "settled by another output": SETTLE.format(vout=0, net=8, part=1) + "'r'",
    "settled with another amount": SETTLE.format(vout=1, net=9, part=0) + "'r'",
    "parts that are not the amount": SETTLE.format(vout=1, net=8, part=0) + "'r'",
    "void and not available again": "UPDATE payouts SET state = 'void' WHERE id = 'p'",
    "an input of a signed batch taken away": "DELETE FROM batch_inputs",
    "an output of a signed batch taken away": "DELETE FROM payout_outputs WHERE batch_id = 's'",
    "an output changed": "UPDATE payout_outputs SET net = 8 WHERE batch_id = 's'",
    "a coin for two batches": "INSERT INTO batch_inputs VALUES ('b', 0, 'a', X'aa', 0, 10, '00', 1)",
    "two payouts of one output": "INSERT INTO payout_outputs VALUES ('t', 'p', 0, 9, 0)",
    "a coin twice": "INSERT INTO wallet_coins (chain, txid, vout, amount, source, cause, booked_ms)"
    " VALUES ('a', X'aa', 0, 10, 'income', 'h', 0)",
    "a changed attempt": "UPDATE payout_attempts SET result = 'x'",
    "a deleted attempt": "DELETE FROM payout_attempts",
    "the same hold twice": "INSERT INTO chain_holds (chain, cause, reason, placed_ms) VALUES ('a', 'operator', '', 1)",
    "released without a reason": "UPDATE chain_holds SET released_ms = 1",
}

ALLOWED = {
    "a settled payout": [SETTLE.format(vout=1, net=8, part=1) + "'r'"],
    "a void payout": [group("void:a:p"), "UPDATE payouts SET state = 'void' WHERE id = 'p'"],
    "a void payout that was settled": [
        SETTLE.format(vout=1, net=8, part=1) + "'r'", group("unsettle:a:r"), group("void:a:r"),
        "UPDATE payouts SET state = 'void' WHERE id = 'r'",
    ],
    "void with proof": [batch("c", "void", dead="X'09'")],
    "a coin again when its batch has let it go": [
        "UPDATE batch_inputs SET active = 0", "INSERT INTO batch_inputs VALUES ('b', 0, 'a', X'aa', 0, 10, '00', 1)",
    ],
    "a hold again after its release": [
        "UPDATE chain_holds SET released_ms = 1, released_reason = 'looked'",
        "INSERT INTO chain_holds (chain, cause, reason, placed_ms) VALUES ('a', 'operator', 'again', 2)",
    ],
}  # fmt: skip


def run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        if connection.dialect.name == "postgresql":
            statement = statement.replace("X'", r"'\\x")
        connection.execute(text(statement))


def prepare(database: Database) -> None:
    with database.write() as connection:
        run(connection, *PREPARED)


def test_storage_payout_schema_refuses(database: Database) -> None:
    prepare(database)
    for name, statement in REFUSED.items():
        try:
            with database.write() as connection:
                run(connection, statement)
        except IntegrityError:
            continue
        pytest.fail(f"let pass: {name}")


def test_storage_payout_schema_lets_pass(database: Database) -> None:
    prepare(database)
    for name, statements in ALLOWED.items():
        connection = database.engine.connect().execution_options(writes=True)
        with connection, connection.begin() as transaction:
            try:
                run(connection, *statements)
            except IntegrityError as error:
                pytest.fail(f"refused: {name}: {error}")
            transaction.rollback()


def test_storage_payout_schema_lets_every_step_of_the_table_pass_and_no_other(database: Database) -> None:
    """The migration's list, the code's table and what the database does are one."""
    assert set(STEPS) == {f"{came}>{to}" for came, to in allowed_steps()}
    for number, came in enumerate(BatchState):
        for to in BatchState:
            if came is to:
                continue
            held = f"'{to}'" if came is BatchState.HOLD and to in HOLDABLE else "'broadcast'"
            name = f"x{number}"
            wanted = "NULL" if to is not BatchState.HOLD else f"'{came}'"
            unsigned = to in (BatchState.PLANNED, BatchState.BUILT) or held in ("'planned'", "'built'")
            signing = "" if came not in (BatchState.PLANNED, BatchState.BUILT) or unsigned else (
                ", raw = COALESCE(raw, X'01'), txid = COALESCE(txid, X'01'), wtxid = COALESCE(wtxid, X'01')"
            )
            connection = database.engine.connect().execution_options(writes=True)
            with connection, connection.begin() as transaction:
                run(connection, batch(name, came, held=held if came is BatchState.HOLD else "NULL", dead="X'09'"))
                change = f"UPDATE payout_batches SET state = '{to}', held_from = {wanted}{signing} WHERE id = '{name}'"
                try:
                    run(connection, change)
                    passed = True
                except IntegrityError:
                    passed = False
                transaction.rollback()
            assert passed is ((came, to) in allowed_steps()), f"{came} to {to}"


def test_storage_payout_schema_a_held_batch_goes_back_only_where_it_was(database: Database) -> None:
    with database.write() as connection:
        run(connection, batch("x", "hold", held="'broadcast'"))
    with pytest.raises(IntegrityError, match="goes back where it was"), database.write() as connection:
        run(connection, "UPDATE payout_batches SET state = 'confirming', held_from = NULL")
    with database.write() as connection:
        run(connection, "UPDATE payout_batches SET state = 'broadcast', held_from = NULL")


def test_storage_payout_schema_knows_the_words_of_the_code() -> None:
    assert set(payout_tables.STATES) == {state.value for state in BatchState}
    checks = " ".join(str(c.sqltext) for c in payout_tables.payout_batches.constraints if hasattr(c, "sqltext"))
    for word in (*BatchKind, *FeePolicy, *HOLDABLE):
        assert f"'{word.value}'" in checks
