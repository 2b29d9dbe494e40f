"""What the HTTP API shows of the books, and what it must not show."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from bookkeeping_world import World
from storage_samples import block_hash_hex, logged, make_route

from pool.storage import views
from pool.storage.books import SqlBooks
from pool.storage.database import Database

ANNA = make_route("anna", alpha="anna-alpha")
BERT = make_route("bert")
NOW_MS = 3_600_000
HARD_TARGET = f"{2**220:064x}"


@pytest.fixture
async def world(tmp_path: Path, url: str) -> AsyncIterator[World]:
    """Anna (with an alpha address) and Bert (without) find two alpha blocks and a parent block; one is orphaned."""
    made = World(tmp_path, url)
    for sequence in range(1, 9):
        route, worker = (ANNA, "rig") if sequence % 2 else (BERT, "shed")
        made.log.append(sequence, route, worker=worker, weight=2**33, time_ms=NOW_MS - 100_000 * (9 - sequence))
    for chain, number, sequence in (("alpha", 11, 9), ("alpha", 12, 10), ("regbtc", 13, 11)):
        made.chains[chain].mine(number, height=number)
        made.solve(chain, number, sequence, BERT, "accepted", target_hex=HARD_TARGET)
    await made.settle()
    made.chains["alpha"].mine(99, height=12)
    made.chains["regbtc"].advance(5)
    await made.settle()
    yield made
    made.close()


def ask(world: World, question: Callable[..., Any], *words: Any) -> Any:
    with world.database.read() as connection:
        return question(connection, *words)


def test_storage_views_show_the_pool(world: World) -> None:
    overview = ask(world, views.pool_overview, NOW_MS)
    # Within five minutes: shares 7 and 8 at 200 and 100 s (share 6 is exactly 300 s old); in the hour: all.
    assert overview["hashrate_5m"] == 2 * 2**33 // 300
    assert overview["hashrate_1h"] == 8 * 2**33 // 3600
    assert overview["shares_1h"] == 11
    assert overview["last_share_ms"] == NOW_MS - 100_000
    assert (overview["miners"], overview["workers"]) == (2, 2)
    alpha = overview["chains"]["alpha"]
    assert alpha["blocks"] == {"submitted": 0, "immature": 1, "mature": 0, "orphan": 1, "rejected": 0, "lost": 0}
    assert alpha["last_block"]["hash"] == block_hash_hex(12)
    assert {name: alpha[name] for name in ("immature", "available", "fee", "unexplained", "coins")} == {
        "immature": 990,
        "available": 0,
        "fee": 10,
        "unexplained": 0,
        "coins": 1000,
    }
    regbtc = overview["chains"]["regbtc"]
    assert (regbtc["immature"], regbtc["available"], regbtc["coins"]) == (0, 990, 1000)


@pytest.mark.parametrize(
    ("ago_s", "started_ago_s", "rate_over_s", "hour_over_s"),
    [
        ((30, 10), 60, 60, 60),  # a pool's first minute
        ((30, 10), 300, 300, 300),
        ((30, 10), 7200, 300, 3600),
        ((9, 3), 9, 10, 10),  # never over less than ten seconds
        ((1000, 30, 10), 60, 60, 3600 - 940),  # back after a quarter of an hour
        ((200, 30, 10), 60, 300 - 140, 3600 - 140),  # a short stop
        ((61, 30, 10), 60, 299, 3599),  # a restart, or other processes over the same books
        ((30, 10), -5, 285, 3585),  # the clock was put back
    ],
)
def test_storage_views_divide_by_the_time_that_the_pool_was_there(
    database: Database, books: SqlBooks, ago_s: tuple[int, ...], started_ago_s: int, rate_over_s: int, hour_over_s: int
) -> None:
    weight = 300 * 3600 * 1000
    batch = [logged(n, ANNA, weight=weight, time_ms=NOW_MS - ago * 1000) for n, ago in enumerate(ago_s, 1)]
    books.store_shares(batch, batch[-1].position, NOW_MS)
    with database.read() as connection:
        overview = views.pool_overview(connection, NOW_MS, NOW_MS - started_ago_s * 1000)
        miner = views.miner(connection, "anna", NOW_MS, NOW_MS - started_ago_s * 1000)
    recent = sum(weight for ago in ago_s if ago < 300)
    assert overview["hashrate_5m"] == recent // rate_over_s
    assert overview["hashrate_1h"] == len(ago_s) * weight // hour_over_s
    assert miner is not None
    assert (miner["hashrate_5m"], miner["hashrate_1h"]) == (overview["hashrate_5m"], overview["hashrate_1h"])


def test_storage_views_of_an_empty_pool(database: Database) -> None:
    with database.read() as connection:
        overview = views.pool_overview(connection, NOW_MS)
        assert views.chain_blocks(connection, None) == {"items": [], "cursor": None}
        assert views.miner(connection, "anna", NOW_MS) is None
    assert overview["hashrate_5m"] == overview["shares_1h"] == overview["workers"] == 0
    assert overview["last_share_ms"] is None
    assert overview["chains"] == {}


def test_storage_views_add_hashrates_beyond_63_bits(database: Database, books: SqlBooks) -> None:
    batch = [logged(number, ANNA, weight=2**62, time_ms=NOW_MS - 1) for number in range(1, 9)]
    books.store_shares(batch, batch[-1].position, NOW_MS)
    with database.read() as connection:
        assert views.pool_overview(connection, NOW_MS)["hashrate_5m"] == 2**65 // 300


def test_storage_views_list_blocks_in_pages(world: World) -> None:
    everything = ask(world, views.chain_blocks, None)
    assert [(item["chain"], item["height"], item["state"]) for item in everything["items"]] == [
        ("regbtc", 13, "mature"),
        ("alpha", 12, "orphan"),
        ("alpha", 11, "immature"),
    ]
    assert everything["cursor"] is None
    first = ask(world, views.chain_blocks, None, None, 2)
    rest = ask(world, views.chain_blocks, None, first["cursor"], 2)
    assert first["items"] + rest["items"] == everything["items"]
    assert rest["cursor"] is None
    assert len(ask(world, views.chain_blocks, "regbtc")["items"]) == 1


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "", "9" * 19, "٣"])
def test_storage_views_refuse_a_strange_cursor(world: World, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        ask(world, views.chain_blocks, None, cursor)


def test_storage_views_show_a_block_with_credits_that_add_up(world: World) -> None:
    block = ask(world, views.block_with_credits, "alpha", block_hash_hex(11))
    assert (block["state"], block["reward"], block["fee"]) == ("immature", 1000, 10)
    assert sum(credit["amount"] for credit in block["credits"]) + block["fee"] == block["reward"]
    assert {(credit["miner"], credit["held"]) for credit in block["credits"]} == {("anna-alpha", False), ("bert", True)}
    assert ask(world, views.block_with_credits, "beta", block_hash_hex(11)) is None


def test_storage_views_show_a_miner_under_the_parent_address(world: World) -> None:
    anna = ask(world, views.miner, "anna", NOW_MS)
    assert [(worker["name"], worker["hashrate_1h"]) for worker in anna["workers"]] == [("rig", 4 * 2**33 // 3600)]
    assert anna["hashrate_5m"] == 2**33 // 300
    assert anna["balances"].keys() == {"regbtc", "beta"}
    assert anna["balances"]["regbtc"]["available"] == anna["credits"][0]["amount"] > 0
    bert = ask(world, views.miner, "bert", NOW_MS)
    assert bert["balances"]["alpha"]["held"] > 0
    assert bert["balances"]["alpha"]["immature"] == bert["balances"]["alpha"]["available"] == 0
    assert [(credit["chain"], credit["state"], credit["held"]) for credit in bert["credits"]] == [
        ("regbtc", "mature", False),
        ("alpha", "orphan", True),
        ("alpha", "immature", True),
    ]


def test_storage_views_never_show_which_addresses_share_a_login(world: World) -> None:
    alpha = ask(world, views.miner, "anna-alpha", NOW_MS)
    assert alpha["workers"] == []
    assert alpha["hashrate_1h"] == alpha["hashrate_5m"] == 0
    assert alpha["balances"].keys() == {"alpha"}
    assert "'anna'" not in repr(alpha)
    assert "rig" not in repr(alpha)
    assert "anna-alpha" not in repr(ask(world, views.miner, "anna", NOW_MS))


def test_storage_views_know_nothing_of_strangers(world: World) -> None:
    assert ask(world, views.miner, "nobody", NOW_MS) is None
    assert ask(world, views.miner, "%", NOW_MS) is None
