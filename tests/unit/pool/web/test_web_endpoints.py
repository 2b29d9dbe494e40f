"""Every endpoint's shape over real books, and what the views keep to themselves."""

from __future__ import annotations

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families
from web_site import ADA, ADA_ALPHA, BOB, CLEO, UP_S, Site

from pool.web.api import wall_ms

BLOCK_KEYS = {"chain", "height", "hash", "state", "reward", "fee", "confirmations", "found_ms", "vote"}


async def test_web_pool_shape(site: Site):
    status, pool = await site.ask("/api/v1/pool")
    assert status == 200
    assert set(pool) == {
        "name", "started_ms", "now_ms", "parent", "algorithm", "fee_ppm", "stratum", "accepting", "connections",
        "workers", "miners", "hashrate", "hashrate_1h", "last_share_ms", "shares", "jobs_sent", "chains",
        "drained_ms", "provisional",
    }
    assert (pool["drained_ms"], pool["provisional"]) == (None, True), "nothing has told how far it has drained"
    assert pool["shares"] == {"accepted": 40, "accepted_work": 2**70, "rejected": {"stale": 1}}
    assert pool["miners"] == 3
    up_ms = pool["now_ms"] - pool["started_ms"]
    assert pool["hashrate"] == pool["hashrate_1h"] == 10_000 * 1000 // up_ms, "of the time since the pool began"
    regbtc = pool["chains"]["regbtc"]
    assert regbtc["blocks"] == {"submitted": 0, "immature": 0, "mature": 1, "orphan": 0, "rejected": 0, "lost": 0}
    assert (regbtc["immature"], regbtc["fee"]) == (0, 50_000_000)
    assert regbtc["available"] + regbtc["fee"] == 5_000_000_007
    assert set(regbtc["last_block"]) == BLOCK_KEYS


async def test_web_chains_shape(site: Site):
    status, chains = await site.ask("/api/v1/chains")
    assert status == 200
    assert chains == {
        "items": [
            {"name": "regbtc", "kind": "bitcoin", "height": 12, "target": "0" * 7 + "1" + "0" * 56, "state": "ok",
             "in_tree": True, "schemes": ["pplns"], "buying": None, "votes": False, "network": None,
             "leading": None},
            {"name": "alpha", "kind": "mm2", "height": None, "target": None, "state": "syncing", "in_tree": False,
             "schemes": ["pplns"], "buying": None, "votes": False, "network": None, "leading": None},
        ],
        "cursor": None,
    }


async def test_web_blocks_are_paged_newest_first(site: Site):
    _, first = await site.ask("/api/v1/blocks?limit=2")
    assert [block["hash"][0] for block in first["items"]] == ["3", "2"]
    assert all(set(block) == BLOCK_KEYS for block in first["items"])
    assert [(b["state"], b["reward"], b["fee"]) for b in first["items"]] == [
        ("rejected", None, None), ("immature", 1_000_000_001, 10_000_000)
    ]
    _, second = await site.ask(f"/api/v1/blocks?limit=2&cursor={first['cursor']}")
    assert [block["hash"][0] for block in second["items"]] == ["1"]
    assert second["cursor"] is None


async def test_web_blocks_of_one_chain(site: Site):
    _, alpha = await site.ask("/api/v1/blocks?chain=alpha&limit=100000000000000000000&_=1")
    assert [block["height"] for block in alpha["items"]] == [13, 12]


@pytest.mark.parametrize(("chain", "digit", "reward"), [("regbtc", "1", 5_000_000_007), ("alpha", "2", 1_000_000_001)])
async def test_web_block_credits_sum_to_the_reward(site: Site, chain: str, digit: str, reward: int):
    status, block = await site.ask(f"/api/v1/blocks/{chain}/{digit * 64}")
    assert status == 200
    assert set(block) == BLOCK_KEYS | {"credits", "credits_total", "cursor"}
    assert (block["credits_total"], block["cursor"]) == (len(block["credits"]), None)
    assert sum(credit["amount"] for credit in block["credits"]) + block["fee"] == block["reward"] == reward
    assert all(set(credit) == {"miner", "amount", "held"} for credit in block["credits"])


async def test_web_block_credits_are_paged(site: Site):
    path = f"/api/v1/blocks/alpha/{'2' * 64}"
    whole = (await site.ask(path))[1]
    first, rest = (await site.ask(f"{path}?limit=2"))[1], (await site.ask(f"{path}?limit=2&cursor=2"))[1]
    assert (first["cursor"], first["credits_total"], len(first["credits"])) == ("2", 3, 2)
    assert rest["cursor"] is None
    assert first["credits"] + rest["credits"] == whole["credits"]
    beyond = (await site.ask(f"{path}?cursor=99"))[1]
    assert (beyond["credits"], beyond["cursor"]) == ([], None)


async def test_web_pool_hashrate_over_time(site: Site):
    status, found = await site.ask("/api/v1/pool/hashrate")
    assert status == 200
    assert {span: len(series["points"]) for span, series in found["spans"].items()} == {"1h": 12, "24h": 24, "7d": 168}
    assert found["spans"]["1h"]["points"][-1] == 10_000 * 1000 // 300_000
    page = (await site.ask("/"))[1]
    assert page.count("<figure class=\"plot\">") == 3 and "Hashrate, last 7 days: mean" in page


async def test_web_readyz_sends_nobody_new_to_who_is_drained(site: Site):
    assert await site.ask("/readyz") == (200, "ok\n")
    site.live.draining = True
    status, words = await site.ask("/readyz")
    assert status == 404 and "moved to another process" in words["error"], "HAProxy's disable-on-404 keeps who is there"
    assert await site.ask("/healthz") == (200, "ok\nminers are being moved to another process\n")
    site.live.accepting = False
    assert (await site.ask("/readyz"))[0] == 503


async def test_web_miner_hashrate_over_time(site: Site):
    status, found = await site.ask(f"/api/v1/miners/{ADA}/hashrate")
    assert status == 200
    assert {span: len(series["points"]) for span, series in found["spans"].items()} == {"1h": 12, "24h": 24, "7d": 168}
    assert found["spans"]["1h"]["points"][-1] == 5000 * 1000 // 300_000
    assert (await site.ask("/api/v1/miners/nobody/hashrate"))[0] == 404


async def test_web_miner_payouts_say_that_nothing_is_paid_here(site: Site):
    status, found = await site.ask(f"/api/v1/miners/{ADA}/payouts?limit=3")
    assert status == 200
    assert (found["items"], found["cursor"]) == ([], None)
    assert found["next"]["regbtc"]["state"] == "not_paid"
    assert (await site.ask("/api/v1/miners/nobody/payouts"))[0] == 404
    assert (await site.ask(f"/api/v1/miners/{ADA}/payouts?cursor=x"))[0] == 400


async def test_web_block_hash_may_be_upper_case(site: Site):
    (found,) = [b for b in (await site.ask("/api/v1/blocks?chain=regbtc"))[1]["items"]]
    status, block = await site.ask(f"/api/v1/blocks/regbtc/{found['hash'].upper()}")
    assert (status, block["hash"]) == (200, found["hash"])


async def test_web_miner_shape(site: Site):
    status, miner = await site.ask(f"/api/v1/miners/{ADA}")
    assert status == 200
    assert set(miner) == {
        "address", "hashrate", "hashrate_1h", "best_share", "workers", "balances", "pseudonyms", "credits",
    }  # fmt: skip
    assert [(worker["name"], worker["online"]) for worker in miner["workers"]] == [("rig", True)]
    assert miner["best_share"]["shares"] == 2
    assert miner["pseudonyms"] == {}
    assert miner["hashrate"] == miner["workers"][0]["hashrate"]
    up_ms = wall_ms() - site.live.started_ms
    assert 5000 * 1000 // up_ms <= miner["hashrate"] <= 5000 // UP_S, "of the time since the pool began"
    (credit,) = miner["credits"]
    assert set(credit) == {"chain", "height", "hash", "state", "amount", "held", "found_ms"}
    assert miner["balances"] == {"regbtc": {"immature": 0, "available": credit["amount"], "held": 0}}


async def test_web_miner_sees_credits_held_for_want_of_an_address(site: Site):
    _, miner = await site.ask(f"/api/v1/miners/{BOB}")
    held = next(credit for credit in miner["credits"] if credit["chain"] == "alpha")
    assert held["held"] is True
    assert miner["balances"]["alpha"] == {"immature": 0, "available": 0, "held": held["amount"]}


async def test_web_no_view_shows_which_addresses_shared_a_login(site: Site):
    """Ada mined alpha to another address than regbtc: neither address leads to the other, not even by a worker name."""
    _, parent = await site.ask(f"/api/v1/miners/{ADA}")
    _, child = await site.ask(f"/api/v1/miners/{ADA_ALPHA}")
    assert ADA_ALPHA not in json.dumps(parent)
    assert ADA not in json.dumps(child)
    assert (child["workers"], child["hashrate"], child["hashrate_1h"]) == ([], 0, 0)
    _, block = await site.ask(f"/api/v1/blocks/alpha/{'2' * 64}")
    assert {credit["miner"] for credit in block["credits"]} == {ADA_ALPHA, BOB, CLEO}
    assert [credit["amount"] for credit in block["credits"]] == sorted(
        (credit["amount"] for credit in block["credits"]), reverse=True
    ), "ordered by amount, never by login"


async def test_web_rejected_block_keeps_the_nodes_words_to_itself(site: Site):
    _, block = await site.ask(f"/api/v1/blocks/alpha/{'3' * 64}")
    assert block["state"] == "rejected"
    assert "10.0.0.7" not in json.dumps(block)


async def test_web_health_says_why_it_is_bad(site: Site):
    assert await site.ask("/healthz") == (200, "ok\n")
    site.live.states["alpha"] = "down"
    assert (await site.ask("/healthz"))[0] == 200, "an auxiliary chain's trouble keeps no miner away"
    site.live.states["regbtc"] = "syncing"
    assert await site.ask("/healthz") == (503, {"error": "the parent chain regbtc is syncing"})
    site.live.accepting = False
    status, answer = await site.ask("/healthz")
    assert (status, answer["error"]) == (503, "the pool accepts no shares; the parent chain regbtc is syncing")


async def test_web_health_stays_good_while_the_books_lag_and_says_how_long(site: Site):
    site.live.books_lag_s = 60.0
    assert await site.ask("/healthz") == (200, "ok\n")
    site.live.books_lag_s = 725.0
    assert await site.ask("/healthz") == (200, "ok\nthe books are 12 min behind\n")
    assert "the books are 12 min behind" in (await site.ask("/"))[1]
    site.live.accepting = False
    answer = {"error": "the pool accepts no shares; the books are 12 min behind"}
    assert await site.ask("/healthz") == (503, answer)


async def test_web_metrics_parse(site: Site):
    status, text = await site.ask("/metrics")
    assert status == 200
    (family,) = [f for f in text_string_to_metric_families(text) if f.name == "parapool_shares"]
    assert {s.labels["result"]: s.value for s in family.samples if s.name.endswith("_total")} == {"accepted": 40}
