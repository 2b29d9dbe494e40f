"""How often the books are asked about a chain's blocks when there is nothing to do."""

from __future__ import annotations

from chains.kind import BlockStatus
from pool.accounting.found_block import ChainTerms, FoundBlock
from pool.services.block_following import REREAD_MS, BlockFollowing


class QuietBooks:
    """No block is watched; `asked` counts the questions."""

    def __init__(self) -> None:
        self.asked = 0

    def watched_blocks(self, chain: str) -> list:
        self.asked += 1
        return []

    def newest_mature(self, chain: str) -> None:
        return None


class View:
    synced = True
    votes = False
    tip_height = 7

    async def block_status(self, hash_hex: str) -> BlockStatus:
        raise AssertionError("there is no block to ask about")

    async def block_reward(self, hash_hex: str) -> int:
        raise AssertionError("there is no block to ask about")


class World:
    def __init__(self) -> None:
        self.books = QuietBooks()
        self.now_ms = 1_700_000_000_000
        self.view = View()

        async def in_thread(call, *arguments):
            return call(*arguments)

        terms = ChainTerms(fee_ppm=0, factor=2, window_min_s=0.0, maturity=3)
        self.following = BlockFollowing(
            "main", self.view, self.books, terms, in_thread, hurry=lambda: None, now_ms=lambda: self.now_ms,
            interval_s=0.5,
        )  # fmt: skip


async def test_block_following_asks_quiet_books_now_and_then():
    world = World()
    for _ in range(2 * REREAD_MS // 500):
        assert await world.following.follow()
        world.now_ms += 500
    assert world.books.asked == 2


async def test_block_following_asks_at_once_when_there_may_be_more():
    world = World()
    assert world.following.rest_s() == 0.5
    await world.following.follow()
    assert world.following.rest_s() == REREAD_MS / 1000
    world.following.look_for_more()
    assert world.following.rest_s() == 0.5
    await world.following.follow()
    assert world.books.asked == 2


async def test_block_following_hears_of_more_while_it_looks():
    world = World()
    watched_blocks = world.books.watched_blocks

    def one_more(chain: str) -> list:
        if world.books.asked == 0:
            world.following.look_for_more()
        return watched_blocks(chain)

    world.books.watched_blocks = one_more
    for _ in range(3):
        await world.following.follow()
    assert world.books.asked == 2


async def test_block_following_asks_at_once_when_told_to_look_at_all():
    world = World()
    await world.following.follow()
    world.following.look_at_all()
    await world.following.follow()
    assert world.books.asked == 2


async def test_block_following_asks_although_the_clock_went_back():
    world = World()
    await world.following.follow()
    world.now_ms -= 3_600_000
    await world.following.follow()
    assert world.books.asked == 2


async def test_block_following_looks_at_a_block_although_the_clock_went_back():
    """It had been an hour ahead when the block was looked at last."""
    world = World()
    block = FoundBlock(1, "main", "b1", 7, "submitted", None, None, 5, "ff", world.now_ms, 0, 0, True)
    world.books.watched_blocks = lambda chain: [block]
    asked = []

    async def status(hash_hex: str) -> BlockStatus:
        asked.append(hash_hex)
        return BlockStatus(False)

    world.view.block_status = status
    world.now_ms += 3_600_000
    await world.following.follow()
    assert asked == ["b1"]
    world.now_ms -= 3_600_000
    await world.following.follow()
    assert asked == ["b1", "b1"]
    await world.following.follow()
    assert asked == ["b1", "b1"], "not due again at once"


async def test_block_following_does_not_take_an_unsynced_node_for_quiet():
    world = World()
    world.view.synced = False
    assert not await world.following.follow()
    world.view.synced = True
    assert await world.following.follow() and world.books.asked == 1
