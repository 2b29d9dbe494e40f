"""The books' database and Redis: reachable, of this version, and willing. Only read; no migration, no lock."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError
from sqlalchemy import URL, Connection, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

import migrations
from pool.config.configuration import Config
from pool.doctor.finding import Finding, Result, good, in_thread, note, wrong
from pool.storage.database import in_short

POOL = "pool"
BOOKS_S = 8.0
CONNECT_S = 5
PAGE = "docs/operating/postgresql.md"


async def database_finding(config: Config) -> Finding:
    """For every role but a front end's, which has none."""
    check = "database"
    try:
        url = make_url(config.database_url())
    except ArgumentError:
        return wrong(POOL, check, "pool.database_url is no URL", f"{PAGE} shows one.")
    shown = url.render_as_string(hide_password=True)
    try:
        async with asyncio.timeout(BOOKS_S):
            return await in_thread(_looked_at, url, shown, config.pool.role == "web")
    except TimeoutError:
        return wrong(POOL, check, f"{shown}: no answer within {BOOKS_S:g} s", f"Is the server there? {PAGE}")


def _looked_at(url: URL, shown: str, only_reads: bool) -> Finding:
    check = "database"
    try:
        if url.get_backend_name() == "sqlite":
            return _sqlite(url, shown, only_reads)
        if url.get_backend_name() == "postgresql":
            return _postgresql(url, shown, only_reads)
    except sqlite3.Error as error:
        remedy = "Restore the file from a backup (docs/operating/backup.md) if it is damaged; else give us its rights."
        return wrong(POOL, check, f"{shown}: {error}", remedy)
    except (SQLAlchemyError, OSError) as error:
        remedy = f"Start the server, or correct pool.database_url: host, user, password, database. {PAGE}"
        return wrong(POOL, check, f"{shown}: {in_short(error)}", remedy)
    return wrong(POOL, check, f"{shown}: of an unknown kind", f"SQLite and PostgreSQL can be used. {PAGE}")


def _sqlite(url: URL, shown: str, only_reads: bool) -> Finding:
    path = Path(url.database or "")
    if not path.exists():
        if only_reads:
            return _no_books(shown)
        return good(POOL, "database", f"{shown} will be made at the first start")
    uri = f"{path.absolute().as_uri()}?mode=ro"
    if not path.with_name(f"{path.name}-wal").exists():
        uri += "&immutable=1"  # nobody has it open; without this, SQLite would leave files of ours beside it
    connection = sqlite3.connect(uri, uri=True, timeout=CONNECT_S)
    try:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "alembic_version" not in tables:
            return _of_version(shown, None, only_reads, is_empty=not tables)
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return _of_version(shown, row and row[0], only_reads, is_empty=row is None)
    finally:
        connection.close()


def _postgresql(url: URL, shown: str, only_reads: bool) -> Finding:
    words = {"connect_timeout": CONNECT_S, "fallback_application_name": "parapool doctor"}
    engine = create_engine(url.set(drivername="postgresql+psycopg"), poolclass=NullPool, connect_args=words)
    with engine.connect() as connection:
        connection.execute(text("SET default_transaction_read_only = on"))
        connection.execute(text(f"SET statement_timeout = {CONNECT_S * 1000}"))
        if not only_reads and connection.scalar(text("SELECT pg_is_in_recovery()")):
            remedy = "Point pool.database_url at the primary: a standby takes no books."
            return wrong(POOL, "database", f"{shown} is a standby", remedy)
        if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
            may_make = text("SELECT has_schema_privilege(current_schema(), 'CREATE')")
            if not only_reads and not connection.scalar(may_make):
                return wrong(POOL, "database", f"{shown}: our user may make no tables", f"Make it the owner: {PAGE}")
            return _of_version(shown, None, only_reads, is_empty=True)
        if not _may(connection, "alembic_version", "SELECT"):
            return _no_right(shown, "read")
        version = connection.scalar(text("SELECT version_num FROM alembic_version"))
        found = _of_version(shown, version, only_reads, is_empty=False)
        if found.result is Result.WRONG or _may(connection, "transfers", "SELECT" if only_reads else "INSERT"):
            return found
        return _no_right(shown, "read" if only_reads else "write")


def _may(connection: Connection, table: str, right: str) -> bool:
    words = {"table": table, "right": right}
    return bool(connection.scalar(text("SELECT has_table_privilege(:table, :right)"), words))


def _no_right(shown: str, what: str) -> Finding:
    remedy = f"Make it the owner ({PAGE}); `web` needs to read only (docs/operating/scale-out.md)."
    return wrong(POOL, "database", f"{shown}: our user may not {what} its tables", remedy)


def _no_books(shown: str) -> Finding:
    return wrong(POOL, "database", f"{shown} has no books yet", "Start the accountant first: it makes them.")


def _of_version(shown: str, version: str | None, only_reads: bool, *, is_empty: bool) -> Finding:
    if is_empty and only_reads:
        return _no_books(shown)
    if is_empty:
        return good(POOL, "database", f"{shown} is empty, the first start fills it")
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    head = scripts.get_current_head()
    if version == head:
        return good(POOL, "database", f"{shown}, version {version}")
    if version is None or version not in {script.revision for script in scripts.walk_revisions()}:
        remedy = "Run the version of the pool that wrote it, or a newer one; or point pool.database_url elsewhere."
        return wrong(POOL, "database", f"{shown} is of a version that this program does not know: {version}", remedy)
    who = "accountant" if only_reads else "pool"
    remedy = f"The next start of the {who} brings it up to date. Back it up before (docs/operating/backup.md)."
    return note(POOL, "database", f"{shown} is of version {version}, this program's is {head}", remedy)


async def redis_findings(config: Config) -> list[Finding]:
    """Nothing to say where no Redis is configured."""
    check, page = "redis", "docs/operating/redis.md"
    if config.transport.kind != "redis":
        return []
    try:
        redis: Any = Redis.from_url(config.transport.redis_url(), socket_timeout=None, socket_connect_timeout=CONNECT_S)
    except ValueError as error:
        return [wrong(POOL, check, str(error), f"Write a URL such as redis://:PASSWORD@HOST:6379/0. {page}")]
    try:
        async with asyncio.timeout(BOOKS_S):
            info = await redis.info()
    except TimeoutError:
        return [wrong(POOL, check, f"no answer within {BOOKS_S:g} s", f"Is Redis there, or overloaded? {page}")]
    except AuthenticationError as error:
        return [wrong(POOL, check, str(error), f"Correct user and password in the URL of transport. {page}")]
    except (RedisError, OSError) as error:
        words = str(error).partition("\n")[0]
        return [wrong(POOL, check, words, f"Start Redis, or correct the URL of transport. {page}")]
    finally:
        await redis.aclose()
    if info.get("role") not in (None, "master"):
        return [wrong(POOL, check, f"it is a {info['role']}", "Point the URL of transport at the primary.")]
    words = f"version {info.get('redis_version', 'unknown')}"
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory") and policy != "noeviction":
        remedy = f"Set maxmemory-policy noeviction: shares that Redis throws away are fed again and again. {page}"
        return [note(POOL, check, f"{words}, maxmemory-policy {policy}", remedy)]
    return [good(POOL, check, words)]
