"""Runs the migrations: on the connection the pool hands in at its start, or on the URL given to the alembic command.

By hand: `alembic -x url=sqlite:///data/pool.sqlite current`, or with a URL of
PostgreSQL. On PostgreSQL each migration is one transaction; on SQLite all together are, because its write lock ends
with a transaction: a second process that starts at the same time would read the revision before this one has changed
it, and run the same migration again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection

from pool.storage.database import open_engine
from pool.storage.postgresql import MIGRATION_TIMEOUT_MS
from pool.storage.tables import metadata


def migrate(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        with connection.begin():
            _run(connection)
        return
    _run(connection)


def _run(connection: Connection) -> None:
    applied = context.config.attributes.get("applied", lambda revision: None)

    def tell(ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Mapping[str, Any]) -> None:
        applied(step.up_revision_ids[0])

    context.configure(
        connection=connection, target_metadata=metadata, transaction_per_migration=True, on_version_apply=tell
    )
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    handed_in = context.config.attributes.get("connection")
    if handed_in is not None:
        migrate(handed_in)
        return
    url = context.get_x_argument(as_dictionary=True).get("url")
    if not url:
        raise SystemExit("give the database: alembic -x url=sqlite:///data/pool.db COMMAND")
    engine = open_engine(url, statement_timeout_ms=MIGRATION_TIMEOUT_MS)
    with engine.connect() as connection:
        migrate(connection.execution_options(writes=True))
    engine.dispose()


main()
