"""The statement of an address: each credit with its window, sums that are the balances, nobody else's addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from audit_history import PRESENT, account_id, corrupt, forget_terms, play
from bookkeeping_world import World
from storage_samples import block_hash_hex

from pool.audit.statement import UnknownAddressError, statement
from pool.audit.terms import TermsBook
from pool.storage.audit_views import snapshot


@pytest.fixture
async def world(tmp_path: Path, url: str) -> AsyncIterator[World]:
    made = await play(tmp_path, url)
    yield made
    made.close()


def told(world: World, address: str) -> tuple[str, bool]:
    with snapshot(world.url) as connection:
        lines, whole = statement(connection, address, TermsBook(PRESENT))
    return "\n".join(lines), whole


ANNAS = f"""\
alpha
  block 5 {block_hash_hex(5)}
    mature, found 1970-01-01 00:00:40Z
    reward 1001 - fee 10 = 991 to divide
    window: share 21 (1970-01-01 00:00:21Z) to share 40 (1970-01-01 00:00:40Z), 20 shares, total weight 200
    weight 150 = 75.0000 % of it, amount 743
  block 12 {block_hash_hex(6)}
    immature, found 1970-01-01 00:00:42Z
    reward 777 - fee 7 = 770 to divide
    window: share 23 (1970-01-01 00:00:23Z) to share 42 (1970-01-01 00:00:42Z), 20 shares, total weight 200
    weight 150 = 75.0000 % of it, amount 578
  block 13 {block_hash_hex(7)}
    orphan, void, found 1970-01-01 00:00:43Z
    reward 1000 - fee 10 = 990 to divide
    window: share 24 (1970-01-01 00:00:24Z) to share 43 (1970-01-01 00:00:43Z), 20 shares, total weight 200
    weight 140 = 70.0000 % of it, amount 693
  balance immature: 578
  balance available: 743"""


def test_statement_explains_each_credit_and_adds_up(world: World) -> None:
    assert told(world, "anna-alpha") == (ANNAS, True)


def test_statement_shows_what_is_held_under_the_parent_address(world: World) -> None:
    text, whole = told(world, "bert")
    assert whole
    titles = [line for line in text.splitlines() if line and not line.startswith(" ")]
    held = "held, the login named no address for this chain"
    assert titles == [f"alpha: {held}", f"beta: {held}", "regbtc"]
    assert "  weight 50 = 25.0000 % of it, amount 248" in text


def test_statement_never_shows_another_address(world: World) -> None:
    assert "anna-alpha" not in told(world, "anna")[0]
    assert "alpha\n" not in told(world, "anna")[0]
    for address, others in (("anna-alpha", ("bert",)), ("anna", ("bert",)), ("bert", ("anna",))):
        assert not any(other in told(world, address)[0] for other in others)
    assert "regbtc" not in told(world, "anna-alpha")[0]


def test_statement_shows_other_movements_and_still_adds_up(world: World) -> None:
    """A payout is under way: 700 set aside, the rest available."""
    anna = account_id(world, "alpha", "miner", "anna-alpha")
    corrupt(
        world,
        "INSERT INTO transfer_groups (id, chain, kind, created_ms)"
        " VALUES ('reserve:alpha:1', 'alpha', 'reserve', 9000)",
        "INSERT INTO transfers (group_id, chain, debit, credit, amount)"
        f" VALUES ('reserve:alpha:1', 'alpha', 'liab.{anna}.available', 'liab.{anna}.reserved', 700)",
        f"UPDATE balances SET amount = 43 WHERE account = 'liab.{anna}.available'",
        f"INSERT INTO balances (chain, account, amount) VALUES ('alpha', 'liab.{anna}.reserved', 700)",
    )
    text, whole = told(world, "anna-alpha")
    assert whole
    assert text.splitlines()[-5:] == [
        "  1970-01-01 00:00:09Z reserve: +700 reserved",
        "  1970-01-01 00:00:09Z reserve: -700 available",
        "  balance immature: 578",
        "  balance available: 43",
        "  balance reserved: 700",
    ]


def test_statement_says_where_the_sum_is_not_the_balance(world: World) -> None:
    anna = account_id(world, "alpha", "miner", "anna-alpha")
    corrupt(world, f"UPDATE balances SET amount = 744 WHERE account = 'liab.{anna}.available'")
    text, whole = told(world, "anna-alpha")
    assert not whole
    assert text.endswith("  balance available: 744, but the above adds up to 743")


def test_statement_says_when_the_window_is_no_longer_known(world: World) -> None:
    kept, _ = told(world, "anna-alpha")
    corrupt(world, "DELETE FROM shares WHERE sequence <= 25")
    assert told(world, "anna-alpha") == (kept, True), "the ends of a window outlive its shares"
    forget_terms(world)
    text, whole = told(world, "anna-alpha")
    assert whole
    unknown = "window: (its shares are no longer stored, or it was made under other terms) total weight 200"
    assert text.count(unknown) == 3
    with snapshot(world.url) as connection:
        lines, _ = statement(connection, "anna-alpha", TermsBook({}))
    assert "    window: (the chain is no longer configured) total weight 200" in lines


@pytest.mark.parametrize("address", ["nobody", "", "%", "anna%"])
def test_statement_knows_nothing_of_strangers(world: World, address: str) -> None:
    with pytest.raises(UnknownAddressError):
        told(world, address)
