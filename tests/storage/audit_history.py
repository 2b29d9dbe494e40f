"""Books with everything an audit can meet: held credits, orphans that returned, ripe blocks, a window that is empty."""

from __future__ import annotations

from pathlib import Path

from bookkeeping_world import TERMS, World
from sqlalchemy import select
from storage_samples import block_hash_hex, make_route, solution

from pool.audit.books_audit import AuditReport, audit
from pool.audit.terms import CreditTerms, PastTerms, TermsBook
from pool.storage.audit_views import snapshot
from pool.storage.tables import accounts

ANNA = make_route("anna", alpha="anna-alpha")
BERT = make_route("bert")
PRESENT = {chain: CreditTerms(terms.fee_ppm, terms.factor, terms.window_min_s) for chain, terms in TERMS.items()}
MATURE, RETURNED, ORPHAN, EMPTY, REJECTED, SUBMITTED = 5, 6, 7, 8, 9, 10
"""Blocks of alpha by number, except MATURE (also of regbtc) and EMPTY (of beta)."""


async def play(folder: Path, url: str) -> World:
    """20 shares for each block's window; three of four shares are Anna's."""
    world = World(folder, url)
    alpha, beta, regbtc = (world.chains[chain] for chain in ("alpha", "beta", "regbtc"))
    for sequence in range(1, 40):
        world.log.append(sequence, BERT if sequence % 4 == 0 else ANNA, chains=("regbtc", "alpha"))
    alpha.mine(MATURE, height=5, reward=1001)
    world.solve("alpha", MATURE, 40, BERT, "accepted")
    regbtc.mine(MATURE, height=5, reward=5003)
    world.solve("regbtc", MATURE, 41, ANNA, "accepted")
    await world.settle()
    alpha.advance(5)
    regbtc.advance(5)
    await world.settle()
    alpha.mine(RETURNED, height=12, reward=777)
    world.solve("alpha", RETURNED, 42, ANNA, "accepted", height=12)
    alpha.mine(ORPHAN, height=13, reward=1000)
    world.solve("alpha", ORPHAN, 43, BERT, "accepted", height=13)
    await world.settle()
    alpha.mine(98, height=12)
    alpha.mine(99, height=13)
    await world.settle()
    alpha.mine(RETURNED, height=12, reward=777)
    await world.settle()
    beta.mine(EMPTY, height=8, reward=55)
    world.solutions.put(solution("beta", EMPTY, 39))
    world.solve("alpha", REJECTED, 45, ANNA, "rejected", height=900)
    world.solve("alpha", SUBMITTED, 46, BERT, None, height=901)
    await world.settle()
    return world


def audited(world: World, *past: PastTerms, present: dict[str, CreditTerms] | None = None) -> AuditReport:
    with snapshot(world.url) as connection:
        return audit(connection, TermsBook(PRESENT if present is None else present, past))


def found(world: World) -> list[str]:
    """What is found beside the broken chain of hashes, which a thief could have computed anew."""
    return [str(finding) for finding in audited(world).findings if finding.rule != "I11"]


def corrupt(world: World, *statements: str) -> None:
    """Raw SQL past every guard: no triggers, no constraints, no foreign keys, no unique height."""
    with world.database.write() as connection:
        if connection.dialect.name == "postgresql":
            checks = "SELECT conrelid::regclass, conname FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0"
            for table, name in connection.exec_driver_sql(checks).all():
                connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        else:
            triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            for name in connection.exec_driver_sql(triggers).scalars().all():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql("DROP INDEX IF EXISTS uq_blocks_paid_height")
    raw = world.database.engine.raw_connection()
    cursor = raw.cursor()
    if world.url.startswith("postgresql"):
        cursor.execute("SET session_replication_role = replica")
    else:
        cursor.execute("PRAGMA ignore_check_constraints=ON")
        cursor.execute("PRAGMA foreign_keys=OFF")
    for statement in statements:
        cursor.execute(statement)
        assert cursor.rowcount > 0, statement
    raw.commit()
    raw.invalidate()  # the settings go with it


def forget_terms(world: World) -> None:
    """As books are that were written before terms were kept."""
    unknown = ("fee_ppm", "factor", "window_min_ms", "share_count", *(
        f"{end}_{part}" for end in ("oldest", "newest") for part in ("log_id", "sequence", "ms")
    ))  # fmt: skip
    corrupt(world, f"UPDATE income_events SET {', '.join(f'{name} = NULL' for name in unknown)}")


def block_id(number: int, chain: str = "alpha") -> str:
    """As SQL."""
    return f"(SELECT id FROM blocks WHERE chain = '{chain}' AND hash_hex = '{block_hash_hex(number)}')"


def account_id(world: World, chain: str, kind: str, address: str) -> int:
    with world.database.read() as connection:
        query = select(accounts.c.id).where(accounts.c.chain == chain, accounts.c.kind == kind)
        return int(connection.execute(query.where(accounts.c.address == address)).scalar_one())
