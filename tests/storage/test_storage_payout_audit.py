"""The audit of payouts finds each thing that was changed behind the books' back, and nothing where nothing was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from support.payout_world import PayoutWorld

from pool.audit.payout_checks import check_payouts

AMOUNTS = {1: 500_000, 2: 300_000}
TRIGGERS = "SELECT name FROM sqlite_master WHERE type = 'trigger'"

CHANGES = {
    "I7": [
        "UPDATE payouts SET gross = gross + 1, net = net + 1 WHERE place = 0",
        "UPDATE payouts SET state = 'void' WHERE place = 1",
        "DELETE FROM transfers WHERE group_id LIKE 'reserve:%'",
        "UPDATE transfers SET amount = amount - 1 WHERE group_id LIKE 'settle:%'",
        "UPDATE transfers SET amount = amount + 1 WHERE group_id LIKE 'fee:%'",
    ],
    "I8": [
        "UPDATE payouts SET script_hex = '51' WHERE place = 0",
        "UPDATE payouts SET vout = 9 WHERE place = 0",
        "UPDATE payout_outputs SET net = net + 1",
        "UPDATE batch_inputs SET amount = amount + 1",
        "UPDATE batch_inputs SET vout = vout + 1",
        "UPDATE payout_batches SET raw = X'00'",
        "UPDATE payout_batches SET txid = wtxid",
    ],
    "I9": [
        "UPDATE wallet_coins SET amount = amount + 1 WHERE spent_batch_id IS NULL",
        "UPDATE wallet_coins SET spent_batch_id = NULL",
        "UPDATE balances SET amount = amount + 1 WHERE account = 'asset.wallet'",
    ],
}


@pytest.fixture
async def paid(tmp_path: Path, new_sqlite_url: Callable[[], str]) -> PayoutWorld:
    world = PayoutWorld(tmp_path, new_sqlite_url())
    world.owe(AMOUNTS)
    await world.settle()
    world.owe({3: 100_000})
    return world


def found(connection: Connection) -> list[str]:
    return [finding.rule for finding in check_payouts(connection)]


async def test_storage_payout_audit_is_content_at_every_step(
    tmp_path: Path, new_sqlite_url: Callable[[], str]
) -> None:
    world = PayoutWorld(tmp_path, new_sqlite_url())
    world.owe(AMOUNTS)
    world.wallet.deposit(7_000)
    for _ in range(8):
        await world.passes(1)
        with world.database.read() as connection:
            assert check_payouts(connection) == []
    assert world.batches()[0].state == "settled"
    world.close()


async def test_storage_payout_audit_finds_what_was_changed(paid: PayoutWorld) -> None:
    with paid.database.read() as connection:
        assert check_payouts(connection) == []
    for rule, statements in CHANGES.items():
        for statement in statements:
            connection = paid.database.engine.connect().execution_options(writes=True)
            with connection, connection.begin() as transaction:
                for name in connection.execute(text(TRIGGERS)).scalars().all():
                    connection.execute(text(f"DROP TRIGGER {name}"))
                connection.execute(text(statement))
                assert rule in found(connection), statement
                transaction.rollback()
    paid.close()
