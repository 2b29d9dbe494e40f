"""deploy/backup-drill.sh over PostgreSQL, run as an operator does beside a pool at work; and its backup put back after
the database is lost, as docs/operating/postgresql.md says. With SQLite: test_devnet_stop_start.py."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text
from support.devnet import PARENT, Devnet, steps
from support.postgresql import PASSWORD, PostgresqlServer

from chains.reference.wallet import address
from pool.devnet.demo.children import Child
from pool.storage.database import Database
from pool.storage.ledger_store import audit

MINER = address("miner", 0)
DRILL = Path(__file__).parents[2] / "deploy" / "backup-drill.sh"
SHARES = 20
_runs = itertools.count(1)


@pytest.fixture
def server() -> Iterator[PostgresqlServer]:
    server = PostgresqlServer(asks_password=True)
    yield server
    server.close()


async def _drill(devnet: Devnet, *words: str) -> tuple[int, str]:
    """Exit code, and what it said."""
    command = ["sh", str(DRILL), str(devnet.config_path), *words]
    child = devnet.child(f"drill-{next(_runs)}", command)
    return await devnet.exit_code_of(child), child.log_text()


async def _totals(devnet: Devnet) -> dict[str, Any]:
    """What must be the same with the restored books."""
    pool = await devnet.api("/pool")
    for chain in pool["chains"].values():
        chain["last_block"].pop("confirmations")
    miner = await devnet.api(f"/miners/{MINER}")
    credits = sorted(miner["credits"], key=lambda credit: credit["hash"])  # one solve's stand in the order of booking
    return {"chains": pool["chains"], "balances": miner["balances"], "credits": credits}


async def test_devnet_backup_drill_proves_a_backup_of_postgresql_that_brings_the_books_back(
    make_devnet: Any, server: PostgresqlServer
) -> None:
    with server.database() as url, server.database(empty=True) as fresh:
        devnet: Devnet = await make_devnet(edit=lambda config: config["pool"].update(database_url=url))
        rig = await devnet.rig(f"{MINER}.rig")
        await devnet.solve_all(rig)

        steps.info("the drill, while shares come in")
        backup, stamp = devnet.directory / "backup", devnet.data_dir / "last-backup"
        code, said = await _drill(devnet, str(backup))
        assert code == 0 and said.endswith("the restored books are good\n"), said
        assert "transfers: " in said and PASSWORD not in said
        assert (backup / "pool.dump").stat().st_mode & 0o077 == 0, "it holds what everybody earned"
        assert stamp.exists()

        steps.info("a ledger that somebody edited is no good backup, and monitoring is not told that it was")
        stamp.unlink()
        _add_to_income(url, 1)
        code, said = await _drill(devnet, str(devnet.directory / "bad"))
        assert code == 1 and "the restored books are good" not in said, said
        assert not stamp.exists()
        _add_to_income(url, -1)

        steps.info("a block of every chain after the backup, then the database is lost")
        await devnet.solve_all(rig)
        for _ in range(SHARES):
            await rig.share(above=devnet.target(PARENT))
        before = await _totals(devnet)
        assert await devnet.stop_pool() == 0
        words = ["--exit-on-error", "--no-owner", f"--dbname={_plain(fresh)}", str(backup / "pool.dump")]
        restore = devnet.child("pg_restore", [server.program("pg_restore"), *words])
        assert await devnet.exit_code_of(restore) == 0, restore.log_text()
        solutions = devnet.data_dir / "solutions"
        for record in (solutions / "booked").iterdir():
            record.rename(solutions / "closed" / record.name)
        devnet.write_config(lambda config: config["pool"].update(database_url=fresh))
        await devnet.start_pool()

        async def is_back() -> bool:
            return await _totals(devnet) == before

        await devnet.until(is_back, "the books say what they said")
        assert await devnet.stop_pool() == 0
        with devnet.database() as connection:
            assert audit(connection) == []


def _add_to_income(url: str, amount: int) -> None:
    database = Database(url)
    try:
        with database.write() as connection:
            words = "UPDATE balances SET amount = amount + :amount WHERE chain = 'alpha' AND account = 'income.fee'"
            assert connection.execute(text(words), {"amount": amount}).rowcount == 1
    finally:
        database.close()


def _plain(url: str) -> str:
    """As PostgreSQL's own programs take it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


async def test_devnet_backup_drill_says_what_is_in_its_way(make_devnet: Any) -> None:
    devnet: Devnet = await make_devnet(start=False)
    code, said = await _drill(devnet)
    assert code == 1 and "there are no books in" in said, said
    code, said = await _drill(devnet, "one", "too many")
    assert code == 2 and said.startswith("usage: ")
    child: Child = devnet.child("drill-front-end", ["env", "ROLE=stratum", "sh", str(DRILL), str(devnet.config_path)])
    assert await devnet.exit_code_of(child) == 1
