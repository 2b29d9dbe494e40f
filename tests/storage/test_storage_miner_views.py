"""What a miner's own page reads: hashrate over time, workers of a day, payments, and what a next payout depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update
from storage_samples import logged, make_route
from support.payout_world import CHAIN, PayoutWorld, address_of

from pool.miners.settings_message import Destination
from pool.storage import miner_views as views
from pool.storage import payout_holds, settings_store
from pool.storage.books import SqlBooks
from pool.storage.database import Database
from pool.storage.payout_tables import payouts
from pool.storage.tables import accounts, share_sums

HOUR_MS = 3_600_000
NOW_MS = 1000 * HOUR_MS + 30 * 60_000
ANNA = make_route("anna", alpha="anna-alpha")
ANNA_TOO = make_route("anna")
BERT = make_route("bert")
MS = 1000


def store(books: SqlBooks, *batch: tuple[Any, str, int, int]) -> None:
    """Shares of (route, worker, weight, time)."""
    shares = [
        logged(number, route, worker=worker, weight=weight, time_ms=time_ms)
        for number, (route, worker, weight, time_ms) in enumerate(batch, 1)
    ]
    books.store_shares(shares, shares[-1].position, NOW_MS)


def ask(database: Database, question: Callable[..., Any], *words: Any) -> Any:
    with database.read() as connection:
        return question(connection, *words)


def test_storage_miner_views_plot_an_hour_in_steps_of_five_minutes(database: Database, books: SqlBooks) -> None:
    store(
        books,
        (ANNA, "rig", 300 * MS, NOW_MS - 1),
        (ANNA_TOO, "rig", 600 * MS, NOW_MS - 1),
        (BERT, "rig", 10**9, NOW_MS - 1),
        (ANNA, "rig", 2**62, NOW_MS - HOUR_MS),
        (ANNA, "rig", 2**62, NOW_MS - HOUR_MS + 1),
        (ANNA, "rig", 10**9, NOW_MS - HOUR_MS - 1),
    )
    hour = ask(database, views.hashrates, "anna", NOW_MS)["1h"]
    assert (hour["step_ms"], hour["end_ms"]) == (300_000, NOW_MS)
    assert hour["points"] == [2**63 // 300, *[0] * 10, 3 * MS]


def test_storage_miner_views_plot_a_week_from_sums_and_the_newest_hours_from_shares(
    database: Database, books: SqlBooks
) -> None:
    store(
        books,
        (ANNA, "rig", 1800 * MS, NOW_MS - 60_000),
        (ANNA, "rig", 3600 * MS, NOW_MS - 2 * HOUR_MS),
        (BERT, "shed", 5, NOW_MS - 2 * HOUR_MS),
    )
    with database.read() as connection:
        route_ids = {name: views._routes(connection, name) for name in ("anna", "bert")}
    rows = [  # three hours back and more: only what was added up is there
        (997, "anna", 3600 * 7), (997, "bert", 9), (990, "bert", 9), (840, "anna", 3600 * 2**80), (831, "anna", 3600),
    ]  # fmt: skip
    with database.write() as connection:
        for hour, name, weight in rows:
            row = {"hour_ms": hour * HOUR_MS, "log_id": 1, "chain_set_id": 1, "shares": 1, "weight": str(weight)}
            connection.execute(insert(share_sums).values(route_id=route_ids[name][0], **row))
    found = ask(database, views.hashrates, "anna", NOW_MS)
    week = found["7d"]
    assert (week["step_ms"], week["end_ms"], len(week["points"])) == (HOUR_MS, NOW_MS, 168)
    by_hour = dict(zip(range(833, 1001), week["points"], strict=True))
    assert by_hour[1000] == MS, "the hour that runs, over its half hour"
    assert (by_hour[999], by_hour[998]) == (0, MS)
    assert (by_hour[997], by_hour[990]) == (7, 0), "an hour in which others mined"
    assert by_hour[840] == 2**80
    assert by_hour[991] is None, "nothing is on record"
    assert found["24h"]["points"] == week["points"][-24:]


def test_storage_miner_views_leave_the_hour_out_that_has_just_begun(database: Database, books: SqlBooks) -> None:
    early_ms = 1000 * HOUR_MS + 60_000
    store(books, (ANNA, "rig", 3600 * MS, early_ms - 1), (ANNA, "rig", 7200 * MS, early_ms - HOUR_MS))
    day = ask(database, views.hashrates, "anna", early_ms)["24h"]
    assert day["end_ms"] == 1000 * HOUR_MS
    assert (len(day["points"]), day["points"][-1]) == (24, 2 * MS)


def test_storage_miner_views_know_nothing_of_auxiliary_addresses_and_strangers(
    database: Database, books: SqlBooks
) -> None:
    store(books, (ANNA, "rig", 3600 * MS, NOW_MS - 1))
    series = ask(database, views.hashrates, "anna-alpha", NOW_MS)
    assert not any(point for span in series.values() for point in span["points"])
    assert ask(database, views.seen, "anna-alpha", NOW_MS) == {"workers": [], "best": None}
    for question in (views.hashrates, views.payments):
        assert ask(database, question, "nobody", *([NOW_MS] if question is views.hashrates else [])) is None


def test_storage_miner_views_see_the_workers_of_a_day_and_the_best_share(database: Database, books: SqlBooks) -> None:
    store(
        books,
        (ANNA, "old", 1, NOW_MS - 20 * HOUR_MS),
        (ANNA_TOO, "new", 1, NOW_MS - 5),
        (ANNA, "old", 1, NOW_MS - 19 * HOUR_MS),
        (ANNA, "gone", 1, NOW_MS - 25 * HOUR_MS),
        (BERT, "shed", 1, NOW_MS - 5),
    )
    found = ask(database, views.seen, "anna", NOW_MS)
    assert found["workers"] == [
        {"name": "new", "last_share_ms": NOW_MS - 5},
        {"name": "old", "last_share_ms": NOW_MS - 19 * HOUR_MS},
    ]
    assert found["best"]["shares"] == 3
    # The samples' header hashes are little-endian numbers, as hashes are read: the smallest is the first share's.
    assert (int(found["best"]["hash"], 16), found["best"]["time_ms"]) == (1, NOW_MS - 20 * HOUR_MS)


# -- payments ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path, url: str) -> Iterator[PayoutWorld]:
    made = PayoutWorld(tmp_path, url)
    with made.database.write() as connection:
        for number in (1, 2, 3):
            row = {"chain": CHAIN, "kind": "miner", "script_hex": f"0014{number:040x}", "address": address_of(number)}
            connection.execute(insert(accounts).values(**row))
    yield made
    made.close()


async def test_storage_miner_views_follow_a_payment_from_plan_to_paid(world: PayoutWorld) -> None:
    world.owe({1: 500_000, 2: 9_000})
    seen = []
    for _ in range(6):
        await world.passes(1)
        (payment,) = ask(world.database, views.payments, address_of(1))["items"]
        seen.append(payment["state"])
    assert (seen[0], seen[-1]) == ("sent", "paid")
    (batch,) = world.batches()
    assert batch.txid is not None
    assert payment["txid"] == batch.txid[::-1].hex()
    assert (payment["amount"], payment["net"], payment["fee"], payment["elsewhere"]) == (500_000, 500_000, 0, False)
    assert payment["settled_ms"] > payment["created_ms"]
    assert ask(world.database, views.payments, address_of(2)) == {"items": [], "cursor": None}, "below the minimum"


async def test_storage_miner_views_page_payments(world: PayoutWorld) -> None:
    for amount in (500_000, 300_000, 200_000):
        world.owe({1: amount})
        world.now_ms += world.terms.interval_ms
        await world.settle()
    first = ask(world.database, views.payments, address_of(1), None, 2)
    assert [payment["amount"] for payment in first["items"]] == [200_000, 300_000]
    rest = ask(world.database, views.payments, address_of(1), first["cursor"], 2)
    assert ([payment["amount"] for payment in rest["items"]], rest["cursor"]) == ([500_000], None)
    for cursor in ("x", "1", "-1", "٣-a", "1" * 17 + "-a"):
        with pytest.raises(ValueError, match="cursor"):
            ask(world.database, views.payments, address_of(1), cursor)


async def test_storage_miner_views_hide_where_a_registered_address_was_paid(world: PayoutWorld) -> None:
    world.owe({1: 500_000})
    await world.settle()
    with world.database.write() as connection:
        connection.execute(update(payouts).values(address=address_of(9)))
    (payment,) = ask(world.database, views.payments, address_of(1))["items"]
    assert (payment["state"], payment["elsewhere"], payment["txid"]) == ("paid", True, None)
    assert address_of(9) not in repr(payment)
    assert ask(world.database, views.payments, address_of(9)) is None


async def test_storage_miner_views_tell_what_the_next_payout_depends_on(world: PayoutWorld) -> None:
    world.owe({1: 500_000, 2: 9_000})
    facts = ask(world.database, views.payout_facts, address_of(2), world.now_ms)[CHAIN]
    assert facts == {
        "available": 9_000, "immature": 0, "own_minimum": None, "frozen": False, "refused_address": False,
        "chain_on_hold": False, "last_planned_ms": None, "earned_7d": 0,
    }  # fmt: skip
    assert ask(world.database, views.payout_facts, address_of(2), 1)[CHAIN]["earned_7d"] == 9_000, "found at 0"
    planned_ms = world.now_ms
    await world.passes(1)
    two = world.account(2)
    with world.database.write() as connection:
        payout_holds.place(connection, CHAIN, "operator", "words for the operator", world.now_ms)
        payout_holds.quarantine(connection, two, address_of(2), "no such form", world.now_ms)
        settings_store.freeze(connection, Destination(address_of(2), bytes.fromhex(f"0014{2:040x}")), "theft", 1)
    facts = ask(world.database, views.payout_facts, address_of(2), world.now_ms)[CHAIN]
    assert (facts["frozen"], facts["refused_address"], facts["chain_on_hold"]) == (True, True, True)
    assert facts["last_planned_ms"] == planned_ms
    assert "theft" not in repr(facts) and "words" not in repr(facts)
    other = ask(world.database, views.payout_facts, address_of(1), world.now_ms)[CHAIN]
    assert (other["frozen"], other["refused_address"]) == (False, False)
    assert ask(world.database, views.payout_facts, "nobody", world.now_ms) == {}
