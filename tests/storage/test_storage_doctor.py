"""The doctor reads real databases: their version, whether they can be filled, and leaves them as they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sqlalchemy import create_engine, inspect, make_url, text

from pool.doctor.books_checks import database_finding
from pool.doctor.finding import Finding, Result


async def looked_at(url: str, role: str = "all") -> Finding:
    config: Any = SimpleNamespace(pool=SimpleNamespace(role=role), database_url=lambda: url)
    return await database_finding(config)


def run(url: str, *statements: str) -> None:
    engine = create_engine(make_url(url))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


async def test_storage_doctor_takes_books_of_this_version(url: str) -> None:
    found = await looked_at(url)
    assert found.result is Result.GOOD and ", version " in found.found


async def test_storage_doctor_takes_a_database_that_the_first_start_fills(bare_url: str) -> None:
    found = await looked_at(bare_url)
    assert found.result is Result.GOOD and "first start" in found.found
    if bare_url.startswith("postgresql"):
        engine = create_engine(bare_url)
        assert inspect(engine).get_table_names() == []
        engine.dispose()


async def test_storage_doctor_tells_older_books_from_newer_ones(url: str) -> None:
    run(url, "UPDATE alembic_version SET version_num = '0001'")
    assert (await looked_at(url)).result is Result.NOTE
    run(url, "UPDATE alembic_version SET version_num = '9999'")
    found = await looked_at(url)
    assert found.result is Result.WRONG and "newer" in found.remedy


async def test_storage_doctor_tells_web_that_others_make_the_books(url: str, bare_url: str) -> None:
    assert (await looked_at(url, "web")).result is Result.GOOD
    found = await looked_at(bare_url, "web")
    assert found.result is Result.WRONG and "accountant first" in found.remedy
    run(url, "UPDATE alembic_version SET version_num = '0001'")
    assert "accountant" in (await looked_at(url, "web")).remedy


async def test_storage_doctor_asks_for_the_rights_that_a_role_needs(
    new_postgresql_url: Any, postgresql_server: Any
) -> None:
    url, reader = new_postgresql_url(), "reader_of_the_doctor"
    as_reader = make_url(url).set(username=reader).render_as_string(hide_password=False)
    run(url, f"CREATE ROLE {reader} LOGIN")
    try:
        assert "may not read its tables" in (await looked_at(as_reader, "web")).found
        run(url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}")
        assert (await looked_at(as_reader, "web")).result is Result.GOOD
        assert "may not write its tables" in (await looked_at(as_reader, "payout")).found
    finally:
        run(url, f"DROP OWNED BY {reader}", f"DROP ROLE {reader}")


async def test_storage_doctor_finds_a_user_without_rights(new_postgresql_url: Any, postgresql_server: Any) -> None:
    with postgresql_server.database(empty=True) as bare:
        user = "nobody_of_the_doctor"
        run(bare, f"CREATE ROLE {user} LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        try:
            found = await looked_at(make_url(bare).set(username=user).render_as_string(hide_password=False))
        finally:
            run(bare, f"DROP ROLE {user}")
    assert found.result is Result.WRONG and "may make no tables" in found.found
