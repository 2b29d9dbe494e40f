"""Who gets a block by the scheme of its solve, and what bought shares earn: over the real books."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from audit_history import audited, block_id, corrupt
from bookkeeping_world import TERMS, World
from sqlalchemy import delete, select
from storage_samples import block_hash_hex, header_hash, make_route, solution

from pool.audit.split_export import ExportError, split_export
from pool.audit.statement import statement
from pool.audit.terms import TermsBook
from pool.blocks.solution_store import SolvingShare
from pool.ledger.account import ASSET_WALLET, OPERATOR_AVAILABLE, OPERATOR_IMMATURE
from pool.ledger.transfer import Transfer, TransferGroup
from pool.shares.record import Route
from pool.shares.watermark import Watermark
from pool.storage import front_ends, income_store, ledger_store, pps_store
from pool.storage.audit_views import snapshot
from pool.storage.income_store import ShareRef, Terms
from pool.storage.pps_books import SqlPpsBooks
from pool.storage.retention import Retention
from pool.storage.scheme_tables import pps_accruals
from pool.storage.tables import accounts, blocks, share_logs, shares

ANNA = make_route("anna", alpha="anna-alpha")
BERT = make_route("bert", alpha="bert-alpha")
PPS = ("regbtc", "alpha:pps:1000:100:0", "beta")
SOLO = ("regbtc", "alpha:solo", "beta")
PERIOD = 3600


@pytest.fixture
async def world(tmp_path: Path, url: str) -> AsyncIterator[World]:
    made = World(tmp_path, url)
    yield made
    made.close()


def solve(
    world: World,
    number: int,
    sequence: int,
    route: Route | None,
    chains: Sequence[str],
    scheme: str | None,
    **options: Any,
) -> None:
    """A share of alpha solves a block; without a route it is nobody's, and no share."""
    world.chains["alpha"].mine(number, height=number, reward=options.pop("reward", 1000))
    if route is not None:
        solved = (("alpha", bytes.fromhex(block_hash_hex(number))[::-1]),)
        world.log.append(sequence, route, chains=tuple(chains), solved=solved, stale=options.get("stale", False))
    world.solutions.put(solution("alpha", number, sequence if route else 0, scheme=scheme, **options))
    world.solutions.outcome("alpha", block_hash_hex(number), "accepted", "")


def fund(world: World, amount: int) -> None:
    transfers = (Transfer(ASSET_WALLET, OPERATOR_AVAILABLE, amount),)
    with world.database.write() as connection:
        ledger_store.post(connection, TransferGroup("fund:alpha:1", "alpha", "fund", transfers), 0)


def named(world: World) -> dict[str, int]:
    """Balances of alpha by account, miners by name."""
    with world.database.read() as connection:
        names = {row.id: row.address for row in connection.execute(select(accounts))}
    found = {}
    for account, amount in world.balances("alpha").items():
        parts = account.split(".")
        found[f"{names[int(parts[1])]}.{parts[2]}" if parts[0] == "liab" else account] = amount
    return found


def event_of(world: World, number: int) -> income_store.IncomeEvent:
    with world.database.read() as connection:
        found = select(blocks.c.id).where(blocks.c.hash_hex == block_hash_hex(number))
        block_id = connection.execute(found).scalar_one()
        (event,) = income_store.of_block(connection, block_id)
        return event


def credit(world: World, period: int = PERIOD) -> int:
    books = SqlPpsBooks(world.database)
    return sum(books.credit("alpha", books.owed("alpha"), period, 0).values())


# -- whose a block is -----------------------------------------------------------------------------------------------


async def test_schemes_give_a_solo_block_to_its_solver_less_the_fee(world: World) -> None:
    for sequence in range(1, 20):
        world.log.append(sequence, ANNA)
    solve(world, 5, 20, BERT, SOLO, "solo", reward=1003)
    await world.settle()
    assert world.credits(5) == {("miner", "bert-alpha"): 993}
    assert world.state(5) == ("immature", 1003, 10)
    event = event_of(world, 5)
    assert (event.scheme, event.terms, event.total_weight) == ("solo", Terms(10_000), 10)
    assert event.oldest == event.newest == ShareRef(1, 20, 20_000)
    world.chains["alpha"].advance(5)
    await world.settle()
    assert named(world) == {"asset.wallet": 1003, "income.fee": 10, "bert-alpha.available": 993}
    assert world.dump()["audit"] == []


async def test_schemes_keep_the_terms_of_a_pplns_block(world: World) -> None:
    for sequence in range(1, 40):
        world.log.append(sequence, ANNA)
    solve(world, 5, 40, BERT, ("regbtc", "alpha"), "pplns", reward=1001)
    await world.settle()
    event = event_of(world, 5)
    assert (event.reward, event.fee, event.divided, event.scheme) == (1001, 10, 991, "pplns")
    assert event.terms == Terms(10_000, Fraction(2), 0)
    assert (event.total_weight, event.share_count) == (200, 20)
    assert (event.oldest, event.newest) == (ShareRef(1, 21, 21_000), ShareRef(1, 40, 40_000))


async def test_schemes_give_the_operator_a_block_of_bought_shares_at_any_outcome(world: World) -> None:
    """An orphan takes from the operator what was his, and nothing of what shares have earned."""
    fund(world, 500)
    for sequence in range(1, 20):
        world.log.append(sequence, ANNA, chains=PPS)
    solve(world, 5, 20, BERT, PPS, "pps")
    await world.settle()
    assert world.state(5) == ("immature", 1000, 0)
    assert world.credits(5) == {}
    assert credit(world) == 2000 - 1500, "19 shares of Anna and one of Bert are worth 100 each, 500 is there"
    before = named(world)
    assert before[OPERATOR_IMMATURE] == 1000
    world.chains["alpha"].mine(99, height=5)
    await world.settle()
    assert world.state(5)[0] == "orphan"
    gone = {OPERATOR_IMMATURE: 1000, "asset.immature": 1000}
    assert named(world) == {name: amount for name, amount in before.items() if name not in gone}
    world.chains["alpha"].mine(5, height=5)
    world.chains["alpha"].advance(5)
    await world.settle()
    assert named(world)[OPERATOR_AVAILABLE] == 1000
    assert credit(world, 2 * PERIOD) == 1000
    assert sum(amount for name, amount in named(world).items() if name.endswith("available")) == 1500
    assert world.dump()["audit"] == []


async def test_schemes_keep_shares_out_of_windows_of_another_scheme(world: World) -> None:
    for sequence in range(1, 10):
        world.log.append(sequence, BERT, chains=PPS if sequence % 2 else SOLO)
    world.log.append(10, ANNA)
    solve(world, 5, 11, ANNA, ("regbtc", "alpha"), "pplns")
    world.chains["regbtc"].mine(6, height=6)
    world.solve("regbtc", 6, 12, ANNA, "accepted")
    await world.settle()
    assert world.credits(5) == {("miner", "anna-alpha"): 990}
    # On regbtc all of them count for PPLNS: twelve shares, nine of them Bert's.
    assert world.credits(6) == {("miner", "bert"): 743, ("miner", "anna"): 247}


@pytest.mark.parametrize(
    ("scheme", "window", "outcome"),
    [
        ("pps", True, {OPERATOR_IMMATURE: 1000}),
        ("fpps", False, {OPERATOR_IMMATURE: 1000}),
        ("pplns", True, {"anna-alpha.immature": 990, "income.fee": 10}),
        ("solo", True, {"anna-alpha.immature": 990, "income.fee": 10}),
        (None, True, {"anna-alpha.immature": 990, "income.fee": 10}),
        ("solo", False, {"suspense.unexplained": 1000}),
        (None, False, {"suspense.unexplained": 1000}),
    ],
)
async def test_schemes_of_a_solve_that_is_nobodys_share(
    world: World, scheme: str | None, window: bool, outcome: dict[str, int]
) -> None:
    """Where shares are bought, whoever found a block cannot give it to others by not logging in."""
    world.log.append(1, ANNA, chains=("regbtc", "alpha") if window else PPS)
    solve(world, 5, 2, None, (), scheme, found_ms=1500)
    await world.settle()
    assert named(world) == outcome | {"asset.immature": 1000}


async def test_schemes_leave_a_block_that_nobody_explains_to_the_operator_of_a_chain_that_buys_shares(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TERMS, "alpha", replace(TERMS["alpha"], scheme="fpps"))
    world.restart()  # terms are read at the start
    world.log.append(1, ANNA, chains=PPS)
    solve(world, 5, 2, None, (), None, found_ms=1500)
    await world.settle()
    assert named(world) == {OPERATOR_IMMATURE: 1000, "asset.immature": 1000}
    assert event_of(world, 5).scheme == "fpps"


async def test_schemes_read_the_share_when_the_solution_is_of_an_older_version(world: World) -> None:
    solve(world, 5, 1, BERT, SOLO, None)
    await world.settle()
    assert event_of(world, 5).scheme == "solo"


async def test_schemes_pay_a_solo_solver_whose_share_came_too_late_for_anything_else(world: World) -> None:
    world.log.append(1, ANNA)
    solve(world, 5, 2, BERT, SOLO, "solo", stale=True)
    await world.settle()
    assert world.credits(5) == {("miner", "bert-alpha"): 990}


# -- what shares earn -----------------------------------------------------------------------------------------------


async def test_schemes_credit_a_share_worth_two_thousandths_of_a_unit_when_five_hundred_are_there(world: World) -> None:
    fund(world, 100)
    for sequence in range(1, 1250):
        world.log.append(sequence, ANNA, chains=("alpha:pps:2:1000:0",), weight=1)
        if sequence in (499, 500, 999, 1000):
            await world.settle()
            assert credit(world, PERIOD * sequence) == (1 if sequence in (500, 1000) else 0)
    assert named(world)["anna-alpha.available"] == 2


async def test_schemes_credit_once_in_a_period_and_take_the_fee_off_what_shares_are_worth(world: World) -> None:
    fund(world, 10_000)
    world.log.append(1, ANNA, chains=("alpha:fpps:1000:100:20000",))
    await world.settle()
    assert credit(world) == 98
    world.log.append(2, ANNA, chains=("alpha:fpps:1000:100:20000",))
    await world.settle()
    assert credit(world) == 0
    assert credit(world, 2 * PERIOD) == 98
    assert named(world) == {"asset.wallet": 10_000, OPERATOR_AVAILABLE: 10_000 - 196, "anna-alpha.available": 196}
    assert world.dump()["audit"] == []


async def test_schemes_never_credit_more_than_the_operator_has(world: World) -> None:
    fund(world, 150)
    world.log.append(1, ANNA, chains=PPS)
    world.log.append(2, BERT, chains=PPS)
    await world.settle()
    assert SqlPpsBooks(world.database).reserve("alpha") == -50
    assert credit(world) == 150
    assert {name: amount for name, amount in named(world).items() if "alpha" in name} == {
        "anna-alpha.available": 75, "bert-alpha.available": 75,
    }  # fmt: skip
    assert OPERATOR_AVAILABLE not in named(world)
    assert SqlPpsBooks(world.database).owed("alpha") != {}


async def test_schemes_earn_once_however_often_a_share_comes(world: World) -> None:
    """Told by the solution and by the log, and read again after a crash in the middle of a batch."""
    fund(world, 10_000)
    solving = SolvingShare(ANNA, "rig", 1000, PPS, header_hash(1))
    world.solutions.put(solution("alpha", 5, sequence=1, solving_share=solving, scheme="pps"))
    await world.bookkeeping.step()
    solve(world, 5, 1, ANNA, PPS, "pps")
    world.log.append(2, ANNA, chains=PPS)
    await world.settle()
    world.restart()
    position, _ = world.books.position()
    with world.database.write() as connection:
        standings = pps_store.standings(connection, "alpha")
    assert [standing.cumulative for standing in standings] == [200]
    again = [item for item in world.log.items if item.share.sequence == 2] * 2
    assert world.books.store_shares(again, position, 0) == 0
    assert credit(world) == 200


async def test_schemes_pay_nothing_for_a_solve_that_is_no_share(world: World) -> None:
    solve(world, 5, 1, ANNA, PPS, "pps", stale=True)
    await world.settle()
    assert SqlPpsBooks(world.database).owed("alpha") == {}
    assert event_of(world, 5).operator == 1000


async def test_schemes_fold_rates_that_are_over_and_go_on_to_the_unit(world: World) -> None:
    fund(world, 1_000_000)
    for sequence in range(1, 31):
        world.log.append(sequence, ANNA, chains=(f"alpha:pps:{1000 + sequence}:97:10000",))
    await world.settle()
    exact = sum(Fraction(10 * (1000 + n) * 99, 97 * 100) for n in range(1, 31))
    with world.database.write() as connection:
        assert pps_store.fold_rates(connection, "alpha", 10_000 + pps_store.FOLD_AFTER_MS) == 0
        assert pps_store.fold_rates(connection, "alpha", 10_001 + pps_store.FOLD_AFTER_MS) == 30
        assert connection.execute(select(pps_accruals)).all() == []
    world.log.append(31, ANNA, chains=("alpha:pps:1001:97:10000",))
    await world.settle()
    exact += Fraction(10 * 1001 * 99, 97 * 100)
    assert credit(world) == exact.numerator // exact.denominator


async def test_schemes_hold_what_shares_earn_for_want_of_an_address(world: World) -> None:
    fund(world, 1000)
    world.log.append(1, make_route("carl"), chains=("regbtc", "alpha:pps:1000:100:0"))
    await world.settle()
    assert credit(world) == 100
    assert named(world)["carl.available"] == 100


async def test_schemes_keep_the_reserve_above_what_was_earned_and_not_credited(world: World) -> None:
    fund(world, 1000)
    assert SqlPpsBooks(world.database).reserve("alpha") == 1000
    world.log.append(1, ANNA, chains=("alpha:pps:1000:99:0",))
    await world.settle()
    assert SqlPpsBooks(world.database).reserve("alpha") == 1000 - 102, "101.01 was earned, and that is rounded up"
    assert credit(world) == 101
    assert SqlPpsBooks(world.database).reserve("alpha") == 1000 - 102


# -- the audit ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def sold(world: World) -> World:
    """Anna sold two shares and Bert one; two of the three are credited, after the first rate was over and folded."""
    fund(world, 10_000)
    world.log.append(1, ANNA, chains=("alpha:pps:1000:97:0",))
    world.log.append(2, BERT, chains=PPS)
    await world.settle()
    assert credit(world) == 203
    with world.database.write() as connection:
        pps_store.fold_rates(connection, "alpha", 10_001 + pps_store.FOLD_AFTER_MS)
    world.log.append(3, ANNA, chains=PPS)
    solve(world, 5, 4, BERT, SOLO, "solo")
    solve(world, 6, 5, BERT, PPS, "pps", stale=True)
    await world.settle()
    assert audited(world).findings == []
    assert audited(world).notes == []
    return world


def pps_findings(world: World) -> list[str]:
    return [finding.text for finding in audited(world).findings if finding.rule == "pps"]


async def test_schemes_audit_finds_a_worth_that_the_shares_do_not_have(sold: World) -> None:
    corrupt(sold, "UPDATE pps_accruals SET weight = '11'")
    assert pps_findings(sold) == ["its shares are summed to 213.092784, they are worth 203.092784"]


async def test_schemes_audit_finds_a_share_that_was_given_to_somebody_else(sold: World) -> None:
    corrupt(sold, "UPDATE shares SET route_id = (SELECT route_id FROM shares WHERE sequence = 2) WHERE sequence = 3")
    assert sorted(pps_findings(sold)) == [
        "its shares are summed to 100.000000, they are worth 200.000000",
        "its shares are summed to 203.092784, they are worth 103.092784",
    ]


async def test_schemes_audit_takes_the_sums_of_hours_whose_shares_are_deleted(sold: World) -> None:
    """The hours are added up while their shares are still there, and then deleted, the eldest first."""
    retention = Retention(sold.database, "main", 1)
    with sold.database.write() as connection:
        log_id = connection.execute(select(share_logs.c.id)).scalar_one()
        front_ends.drain(connection, log_id, Watermark(5, 10 * PERIOD * 1000), 1)
    assert retention.step({}, 0), "one hour is added up"
    assert audited(sold).findings == []
    for gone in (2, 5):
        with sold.database.write() as connection:
            connection.execute(delete(shares).where(shares.c.sequence <= gone))
        assert pps_findings(sold) == []
        assert not any("bought shares" in note for note in audited(sold).notes)
    corrupt(sold, "UPDATE share_sums SET weight = '20' WHERE weight = '10'")
    assert pps_findings(sold) != []


async def test_schemes_audit_finds_credits_that_the_ledger_does_not_have(sold: World) -> None:
    corrupt(sold, "UPDATE pps_accounts SET credited = 99 WHERE credited = 100")
    assert pps_findings(sold) == ["99 were credited for shares, its transfers give 100"]


async def test_schemes_audit_finds_more_credited_than_earned(sold: World) -> None:
    corrupt(sold, "UPDATE pps_accounts SET folded = '0' WHERE credited = 100")
    assert "100 were credited, its shares are worth 0.000000" in pps_findings(sold)


async def test_schemes_audit_finds_a_block_that_was_credited_under_another_scheme(sold: World) -> None:
    corrupt(sold, f"UPDATE blocks SET scheme = 'pplns' WHERE id = {block_id(5)}")
    told = [str(finding) for finding in audited(sold).findings if finding.rule == "scheme"]
    assert told == [f"scheme alpha block {block_hash_hex(5)}: credited as solo, its solve counted as pplns"]


async def test_schemes_explain_what_bought_shares_earned(sold: World) -> None:
    with snapshot(sold.url) as connection:
        lines, whole = statement(connection, "anna-alpha", TermsBook({}))
    assert whole
    assert "  shares bought: worth 203.092783, credited 103" in lines
    assert any(line.endswith("pps: +103 available") for line in lines)


async def test_schemes_export_a_solo_block_and_none_of_the_operators(sold: World) -> None:
    with snapshot(sold.url) as connection:
        export = split_export(connection, "alpha", block_hash_hex(5), TermsBook({}))
        assert (export["scheme"], export["fee_ppm"]) == ("solo", 10_000)
        assert [(credit["address"], credit["amount"]) for credit in export["credits"]] == [("bert-alpha", 990)]
        with pytest.raises(ExportError, match="the block is the operator's"):
            split_export(connection, "alpha", block_hash_hex(6), TermsBook({}))


async def test_schemes_tell_no_error_when_a_block_is_the_operators(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    solve(world, 5, 1, ANNA, PPS, "pps")
    with caplog.at_level(logging.ERROR, "parapool.books"):
        await world.settle()
    assert caplog.text == ""
