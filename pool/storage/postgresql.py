"""PostgreSQL as the books' database: how a session is set up, and how writers take turns.

The books are written for one writer at a time, as on SQLite: a transaction looks at rows and decides by what it saw.
Here an advisory lock, taken as the first statement of every write transaction and held to its end, makes processes that
share a database take turns. Under READ COMMITTED each later statement sees all that earlier holders committed, because
PostgreSQL lets go of the lock only after the commit is visible. The lock is the database's own: pools in other
databases of one server do not meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    bindparam,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.exc import DBAPIError, OperationalError

WRITE_LOCK = 0x7061_7261_706F_6F6C
"""The advisory lock of the books' writers: "parapool" in ASCII."""

LOCK_TIMEOUT_MS = 10_000
STATEMENT_TIMEOUT_MS = 60_000
IDLE_TIMEOUT_MS = 60_000
"""A process that hangs in the middle of a transaction loses it, so that the others get their turn."""

MIGRATION_TIMEOUT_MS = 3_600_000
"""One statement of a migration, or the wait for another process that migrates: big tables take their time."""

CONNECT: dict[str, Any] = {
    "connect_timeout": 10,
    "fallback_application_name": "parapool",
    "client_encoding": "utf8",
    # A server whose machine is gone answers nothing, not even with a refusal: give it up after half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}

READ_ONLY_STATE = "25006"
"""The SQLSTATE of a standby: after a failover the name may lead to one for a while."""


def open_postgresql(url: URL, *, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> Engine:
    """An engine whose sessions are durable, never wait for ever, and whose write transactions take turns."""
    engine = create_engine(url, isolation_level="READ COMMITTED", pool_pre_ping=True, connect_args=CONNECT)
    settings = {
        "synchronous_commit": "on",
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "statement_timeout": str(statement_timeout_ms),
        "idle_in_transaction_session_timeout": str(IDLE_TIMEOUT_MS),
        # Compiling a window's query takes longer than running it.
        "jit": "off",
    }

    def prepare(connection: Any, _record: Any) -> None:
        """Set by statements and not at the connection's start, which connection poolers refuse."""
        marks = ", ".join("set_config(%s, %s, false)" for _ in settings)
        connection.execute(f"SELECT {marks}", [word for pair in settings.items() for word in pair])
        connection.commit()

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", _take_turn)
    return engine


def _take_turn(connection: Connection) -> None:
    if connection.get_execution_options().get("writes", False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")


def hold_writers(connection: Connection) -> None:
    """Keeps all writers, migrations among them, out for as long as this session lasts."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {MIGRATION_TIMEOUT_MS}")
    connection.exec_driver_sql(f"SELECT pg_advisory_lock({WRITE_LOCK})")
    connection.commit()


def add_missing_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """As database.add_missing: one statement with an array per column, which is fast and tells how many were new."""
    names = list(rows[0])
    columns = [bindparam(name, [row[name] for row in rows], type_=ARRAY(table.c[name].type)) for name in names]
    source = func.unnest(*columns).table_valued(*names).render_derived()
    statement = insert(table).from_select(names, select(*source.c)).on_conflict_do_nothing()
    return connection.execute(statement.execution_options(preserve_rowcount=True)).rowcount


def add_missing_columns(
    connection: Connection, table: Table, names: Sequence[str], values: Sequence[Sequence[Any]]
) -> int:
    """Rows told by their columns' values: whole numbers, texts and bytes. Arrays in their written form: the driver's
    way of writing a list costs more than all that PostgreSQL does with it.
    """
    columns = [table.c[name] for name in names]
    written = {f"v{place}": _array(column, values[place]) for place, column in enumerate(columns)}
    source = ", ".join(f"%(v{place})s::{_array_type(column)}" for place, column in enumerate(columns))
    chosen = ", ".join(f"decode({name}, 'hex')" if _is_binary(table.c[name]) else name for name in names)
    listed = ", ".join(names)
    statement = (
        f"INSERT INTO {table.name} ({listed}) SELECT {chosen} FROM unnest({source}) AS given ({listed})"
        " ON CONFLICT DO NOTHING"
    )
    return connection.exec_driver_sql(statement, written).rowcount


def _is_binary(column: Column[Any]) -> bool:
    return isinstance(column.type, LargeBinary)


def _array_type(column: Column[Any]) -> str:
    if isinstance(column.type, SmallInteger):
        return "smallint[]"
    return "bigint[]" if isinstance(column.type, Integer) else "text[]"


def _array(column: Column[Any], values: Sequence[Any]) -> str:
    """A list as PostgreSQL writes an array; bytes in hex."""
    if _is_binary(column):
        words: Iterable[str] = map(bytes.hex, values)
    elif isinstance(column.type, Integer):
        words = map(str, values)
    else:
        quoted = {value: '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in set(values)}
        words = map(quoted.__getitem__, values)
    return "{" + ",".join(words) + "}"


def is_away(error: DBAPIError) -> bool:
    """Whether the error tells of the server (down, starting, full, a lock or time limit) and not of the books."""
    return error.connection_invalidated or isinstance(error, OperationalError)


def is_standby(error: DBAPIError) -> bool:
    """Whether a write came to a server that takes none."""
    return getattr(error.orig, "sqlstate", None) == READ_ONLY_STATE
