"""Votes in the books: each is paid in one place, to the unit, whatever the chain does with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from storage_samples import block_hash_hex
from vote_world import CHAIN, VoteWorld

from pool.audit import books_audit
from pool.audit.terms import CreditTerms, TermsBook
from pool.storage import block_losses, ledger_store, views
from pool.storage.tables import blocks


@pytest.fixture
def world(tmp_path: Path, url: str) -> Iterator[VoteWorld]:
    made = VoteWorld(tmp_path, url)
    yield made
    assert_whole(made)
    made.close()


def assert_whole(world: VoteWorld) -> None:
    """The audit, which computes everything once more, agrees."""
    terms = {CHAIN: CreditTerms(10_000, 2, 0)}
    with world.database.read() as connection:
        report = books_audit.audit(connection, TermsBook(terms))
        assert [str(one) for one in report.findings if one.rule not in ("I10", "I13")] == []
        assert ledger_store.audit(connection) == []


async def settled(world: VoteWorld) -> None:
    """Some passes, the waits between them over."""
    for _ in range(4):
        world.now_ms += 60_000
        await world.bookkeeping.step()


def coins(world: VoteWorld) -> tuple[int, int]:
    """(immature, in the wallet) as the ledger has them."""
    held = world.balances(CHAIN)
    return held.get("asset.immature", 0), held.get("asset.wallet", 0)


async def test_votes_of_one_block_are_all_paid_each_its_own_amount(world: VoteWorld) -> None:
    for number in (11, 12, 13):
        world.vote(number, height=5)
    world.chain.connect("c", 5, (12, 334), (99, 333), (11, 333))
    await settled(world)
    assert world.rows(12) == [("", "immature", "c", 0, 334)]
    assert world.rows(11) == [("", "immature", "c", 2, 333)]
    assert world.rows(13) == [("", "orphan", None, 0, None)]  # late
    assert coins(world) == (667, 0)
    world.chain.advance(2)
    await settled(world)
    assert world.states(11, 12, 13) == ["mature", "mature", "orphan"]
    assert coins(world) == (0, 667)


async def test_a_vote_waits_until_a_block_has_it(world: VoteWorld) -> None:
    world.chain.connect("b", 4)
    world.vote(11, height=5)
    await settled(world)
    assert world.states(11) == ["submitted"] and coins(world) == (0, 0)
    world.chain.connect("c", 5, (11, 500))
    await settled(world)
    assert world.states(11) == ["immature"] and coins(world) == (500, 0)


async def test_a_vote_in_another_block_is_paid_what_it_earns_there_and_the_void_stays(world: VoteWorld) -> None:
    world.vote(11, height=5)
    world.vote(12, height=5)
    world.chain.connect("c", 5, (11, 400), (12, 300))
    await settled(world)
    world.chain.connect("d", 5, (99, 450), (12, 300), (11, 300))
    await settled(world)
    assert world.rows(11) == [("", "orphan", "c", 0, 400), (".1", "immature", "d", 2, 300)]
    assert world.rows(12) == [("", "orphan", "c", 1, 300), (".1", "immature", "d", 1, 300)]
    assert coins(world) == (600, 0)
    world.chain.advance(2)
    await settled(world)
    assert world.states(11, 12) == ["orphan mature", "orphan mature"] and coins(world) == (0, 600)


async def test_a_vote_that_comes_back_to_its_first_block_is_reinstated_there(world: VoteWorld) -> None:
    world.vote(11, height=5)
    for name, amount in (("c", 400), ("d", 300), ("c", 400), ("d", 300), ("f", 301), ("c", 400)):
        world.chain.connect(name, 5, *([(11, amount)] if name != "d" else [(99, 1), (11, amount)]))
        await settled(world)
        assert coins(world) == (amount, 0)
    assert world.rows(11) == [
        ("", "immature", "c", 0, 400), (".1", "orphan", "d", 1, 300), (".2", "orphan", "f", 0, 301),
    ]  # fmt: skip
    groups = world.dump()["groups"]
    vote = block_hash_hex(11)
    assert [name for name in groups if name.startswith("credit:")] == [
        f"credit:{CHAIN}:{vote}", f"credit:{CHAIN}:{vote}.1", f"credit:{CHAIN}:{vote}.2"
    ]  # fmt: skip


async def test_a_vote_that_no_block_has_after_a_reorg_earns_nothing(world: VoteWorld) -> None:
    world.vote(11, height=5)
    world.chain.connect("c", 5, (11, 400))
    await settled(world)
    world.chain.connect("d", 5, (99, 1))
    await settled(world)
    assert world.states(11) == ["orphan"] and coins(world) == (0, 0)
    world.chain.connect("d", 4)  # the tip is its own block again: it waits
    await settled(world)
    assert world.states(11) == ["orphan"]
    world.chain.connect("c", 5, (11, 400))
    await settled(world)
    assert world.states(11) == ["immature"] and coins(world) == (400, 0)


async def test_a_late_vote_is_paid_when_a_reorg_takes_it_in(world: VoteWorld) -> None:
    world.vote(11, height=5)
    world.chain.connect("c", 5, (99, 1))
    await settled(world)
    assert world.states(11) == ["orphan"]
    world.chain.connect("d", 5, (11, 400))
    await settled(world)
    assert world.rows(11) == [("", "immature", "d", 0, 400)]


async def test_votes_move_together_and_never_two_places_of_a_height_are_paid(world: VoteWorld) -> None:
    """Their looks come at different times; what one of them shows makes all of its block due."""
    for number in (11, 12, 13):
        world.vote(number, height=5)
        world.now_ms += 3_000_000
    world.chain.connect("c", 5, (11, 100), (12, 90), (13, 80))
    await settled(world)
    world.chain.connect("d", 5, (13, 70), (11, 60))
    for _ in range(400):
        world.now_ms += 500
        await world.bookkeeping._follow(CHAIN)
        with world.database.read() as connection:
            paid = {row[2] for number in (11, 12, 13) for row in world.rows(number) if row[1] == "immature"}
            assert len(paid) <= 1 and ledger_store.audit(connection) == []
    assert coins(world) == (130, 0)
    assert world.states(11, 12, 13) == ["orphan immature", "orphan", "orphan immature"]


async def test_one_vote_of_a_block_speaks_for_all_of_them(world: VoteWorld) -> None:
    for number in range(20):
        world.vote(100 + number, height=5)
    world.chain.connect("c", 5, *((100 + number, 10) for number in range(20)))
    await settled(world)
    world.chain.advance(1)
    world.chain.asked.clear()
    await world.bookkeeping.step()
    assert len([one for one in world.chain.asked if len(one) == 64]) == 1
    assert coins(world) == (200, 0)


async def test_a_final_vote_in_another_block_is_lost_there_and_paid_here(world: VoteWorld) -> None:
    world.vote(11, height=5)
    world.vote(12, height=5)
    world.chain.connect("c", 5, (11, 400), (12, 300))
    world.chain.advance(3)
    await settled(world)
    assert world.states(11, 12) == ["mature", "mature"] and coins(world) == (0, 700)
    world.chain.connect("d", 5, (12, 350))
    world.chain.advance(1)
    await settled(world)
    assert world.states(11, 12) == ["lost", "lost immature"]
    assert coins(world) == (350, 0)
    with world.database.write() as connection:
        losses = block_losses.open_losses(connection)
        assert {loss.hash_hex: loss.reward for loss in losses} == {block_hash_hex(11): 400, block_hash_hex(12): 300}
        taken, left = block_losses.clawback(connection, CHAIN, block_hash_hex(12), world.now_ms)
        assert (taken, left) == (297, 0)  # but for the fee
        assert block_losses.absorb(connection, CHAIN, block_hash_hex(11), world.now_ms) == 396
    world.chain.advance(2)
    await settled(world)
    assert world.states(11, 12) == ["lost", "lost mature"] and coins(world) == (0, 350)


async def test_a_lost_vote_is_found_where_it_was_and_lost_where_it_went(world: VoteWorld) -> None:
    world.vote(11, height=5)
    world.chain.connect("c", 5, (11, 400))
    world.chain.advance(3)
    await settled(world)
    world.chain.connect("d", 5, (11, 300))
    await settled(world)
    assert world.states(11) == ["lost immature"] and coins(world) == (300, 0)
    world.chain.connect("c", 5, (11, 400))
    await settled(world)
    assert world.states(11) == ["mature orphan"] and coins(world) == (0, 400)
    world.chain.connect("d", 5, (11, 300))
    world.chain.advance(4)
    await settled(world)
    assert world.states(11) == ["lost mature"] and coins(world) == (0, 300)
    world.chain.connect("c", 5, (11, 400))
    await settled(world)
    assert world.states(11) == ["mature lost"] and coins(world) == (0, 400)


async def test_an_income_that_is_no_longer_what_it_was_is_not_credited_again(
    world: VoteWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """The same place with another amount is a node's mistake, or an address that is no longer ours."""
    world.vote(11, height=5)
    world.chain.connect("c", 5, (11, 400))
    await settled(world)
    world.chain.connect("d", 5)
    await settled(world)
    world.chain.connect("c", 5, (11, 399))
    await settled(world)
    assert world.states(11) == ["orphan"] and coins(world) == (0, 0)
    assert [record.levelname for record in caplog.records if "not what it was" in record.message] == ["ERROR"]
    world.chain.connect("c", 5, (11, 400))
    await settled(world)
    assert world.states(11) == ["immature"]


async def test_a_vote_that_pays_somebody_else_credits_nobody(
    world: VoteWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.vote(11, height=5)
    world.chain.foreign.add(11)
    world.chain.connect("c", 5, (11, 400))
    await settled(world)
    assert world.rows(11) == [("", "immature", "c", 0, 0)] and coins(world) == (0, 0)
    assert any(record.levelname == "ERROR" and "vote credited" in record.message for record in caplog.records)


async def test_votes_outlive_a_restart_and_a_node_that_is_away(world: VoteWorld) -> None:
    world.vote(11, height=5)
    world.chain.connect("c", 5, (11, 400))
    world.chain.away = True
    with pytest.raises(Exception, match="away"):
        await world.bookkeeping.step()
    world.restart()
    world.chain.away = False
    await settled(world)
    assert world.states(11) == ["immature"]
    world.chain.connect("d", 5, (99, 3), (11, 300))
    world.restart()
    await settled(world)
    assert world.states(11) == ["orphan immature"] and coins(world) == (300, 0)


async def test_views_show_each_vote_once_where_it_is_now(world: VoteWorld) -> None:
    for number in (11, 12, 13, 14):
        world.vote(number, height=5)
    world.chain.connect("c", 5, (11, 400), (12, 300))
    await settled(world)
    world.chain.connect("d", 5, (99, 450), (11, 300))
    await settled(world)
    world.chain.connect("e", 5, (11, 310))
    await settled(world)
    with world.database.read() as connection:
        page = views.chain_blocks(connection, CHAIN, None, 10)["items"]
        told = {int(item["hash"], 16): (item["state"], item["container"], item["index"]) for item in page}
        assert told == {
            11: ("immature", "e".ljust(64, "0"), 0), 12: ("orphan", "c".ljust(64, "0"), 1),
            13: ("orphan", None, None), 14: ("orphan", None, None),
        }  # fmt: skip
        assert len(page) == 4 and views.block_counts(connection) == {(CHAIN, "immature"): 1, (CHAIN, "orphan"): 3}
        assert views.chain_blocks(connection, None, None, 10, {"alpha"})["items"] == []
        block = views.block_with_credits(connection, CHAIN, block_hash_hex(11))
        assert block is not None and (block["reward"], block["credits"][0]["amount"]) == (310, 307)
        miner = views.miner(connection, "anna-beta", world.now_ms)
        assert miner is not None
        assert [(one["state"], one["amount"]) for one in miner["credits"]] == [("immature", 307), ("orphan", 297)]
        assert views.pool_overview(connection, world.now_ms)["chains"][CHAIN]["blocks"]["immature"] == 1
    world.chain.connect("c", 5, (11, 400), (12, 300))
    await settled(world)
    with world.database.read() as connection:
        page = views.chain_blocks(connection, CHAIN, None, 10)["items"]
        assert [(item["state"], item["reward"]) for item in page if item["hash"] == block_hash_hex(11)] == [
            ("immature", 400)
        ]


# -- the comparison with the chain ------------------------------------------------------------------------------------

UNKNOWN = "votes that the books do not know"
OTHERWISE = "otherwise than in its chain"


def told(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if words in record.getMessage()]


async def look_for(world: VoteWorld, minutes: int) -> None:
    """Passes over this time; the only front end tells all the while how far it is."""
    for _ in range(minutes):
        world.now_ms += 60_000
        world.ingest.hurry()
        await world.bookkeeping.step()


async def test_income_of_votes_that_the_books_do_not_know_is_told_once_and_given_to_nobody(
    world: VoteWorld, caplog: pytest.LogCaptureFixture
) -> None:
    await look_for(world, 1)
    world.vote(11, height=1)
    world.chain.foreign.add(99)
    world.chain.connect("c", 1, (98, 20), (11, 10), (97, 11), (99, 5))
    world.chain.advance(7)
    await look_for(world, 3)
    assert told(caplog, UNKNOWN) == [] and coins(world) == (0, 10)
    await look_for(world, 6)
    world.restart()
    await look_for(world, 15)
    (line,) = told(caplog, UNKNOWN)
    assert "height=1 block=" + "c".ljust(64, "0") + " votes=2 amount=31 first=" + block_hash_hex(98) in line
    assert coins(world) == (0, 10) and told(caplog, OTHERWISE) == []


async def test_a_vote_whose_front_end_is_late_is_no_unknown_income(
    world: VoteWorld, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.chain.advance(1)
    await look_for(world, 1)
    world.chain.connect("c", 2, (11, 10))
    world.chain.advance(7)
    monkeypatch.setattr(world.books, "drain", lambda watermark, now_ms: None)  # nothing is heard of it
    await look_for(world, 20)
    assert world.books.scanned(CHAIN) == (1, world.chain.main[1].hash_hex)
    monkeypatch.undo()
    world.vote(11, height=2)
    await look_for(world, 20)
    assert told(caplog, UNKNOWN) == [] and world.states(11) == ["mature"]


async def test_the_comparison_goes_on_after_a_restart_and_works_some_blocks_at_a_time(world: VoteWorld) -> None:
    await look_for(world, 1)
    world.chain.advance(100)
    world.chain.asked.clear()
    await world.bookkeeping.step()
    assert world.chain.asked == [str(height) for height in range(1, 21)]
    world.restart()
    world.chain.asked.clear()
    await world.bookkeeping.step()
    assert world.chain.asked == [str(height) for height in range(20, 41)]
    for _ in range(5):
        await world.bookkeeping.step()
    world.chain.asked.clear()
    await world.bookkeeping.step()
    assert world.chain.asked == ["97"]  # 3 below the tip is the maturity: whether it is still the one compared


async def test_the_comparison_begins_with_the_first_vote_of_older_books(
    world: VoteWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.chain.advance(49)
    world.vote(11, height=50)
    world.chain.connect("c", 50, (11, 10), (12, 7))
    world.chain.advance(100)
    await look_for(world, 40)
    assert len(told(caplog, UNKNOWN)) == 1 and world.states(11) == ["mature"]
    assert world.chain.asked[-1] == "147" and "49" not in world.chain.asked


async def test_a_vote_that_was_given_up_is_credited_when_a_block_has_it_after_all(
    world: VoteWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.chain.advance(4)
    world.vote(11, height=5)
    world.chain.connect("c", 5, (99, 1))
    world.chain.foreign.add(99)
    world.chain.advance(9)
    await look_for(world, 3)
    assert world.states(11) == ["orphan"]
    with world.database.read() as connection:
        assert connection.execute(select(blocks.c.watched).where(blocks.c.hash_hex == block_hash_hex(11))).scalar() == 0
    world.chain.connect("d", 5, (11, 30))
    world.chain.advance(20)
    await look_for(world, 5)
    assert world.states(11) == ["mature"] and coins(world) == (0, 30)
    assert len(told(caplog, "watched again")) == 1 and told(caplog, OTHERWISE) == []


async def test_a_final_vote_that_the_chain_pays_otherwise_is_told(
    world: VoteWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.vote(11, height=5)
    world.chain.connect("c", 5, (11, 30))
    world.chain.advance(2)
    await look_for(world, 1)
    world.chain.connect("c", 5, (11, 31))
    world.chain.advance(8)
    await look_for(world, 15)
    assert len(told(caplog, OTHERWISE)) == 1 and world.states(11) == ["mature"]


async def test_unknown_votes_in_every_block_do_not_keep_the_comparison_behind(
    world: VoteWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """Another pool with our address, or somebody who gives: all blocks wait for certainty at the same time."""
    await look_for(world, 1)
    for height in range(1, 16):
        world.chain.connect(f"c{height:02}", height, (1000 + height, 5))
    await look_for(world, 5)
    world.chain.advance(4)
    await look_for(world, 5)
    assert len(told(caplog, UNKNOWN)) == 15
    scanned = world.books.scanned(CHAIN)
    assert scanned is not None and scanned[0] == 16
