"""Follows the found blocks of one chain until they are final and beyond: what its node shows are steps in the books.

What leaves the chain is booked first, then what comes. Looks grow rare with a block's age. Nothing is decided by a node
that is away or not synced, and a step that was interrupted is taken again: the books look at the block's state first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from chains.kind import BlockStatus, Inclusion
from pool.accounting.found_block import ChainTerms, FoundBlock, Place, Step, next_step, place_of
from pool.accounting.split import Split
from pool.services.followed_chain import BlockBooks, ChainAwayError, ChainView, ask
from pool.services.log_ingest import InThread

log = logging.getLogger("parapool.books")

SLOWEST_LOOK_MS = 60_000
LOOKS_PER_AGE = 20
"""A block is looked at about this often within each doubling of its age: fresh ones at every pass, old ones once a
minute.
"""

REREAD_MS = 60_000
"""While no known block is due and nobody told of another one, the books are asked this often all the same."""

ORDER = (
    Step.ORPHAN, Step.FIND, Step.DISPUTE, Step.RETIRE, Step.MATURE, Step.REINSTATE, Step.CREDIT, Step.MOVE,
)  # fmt: skip
"""What leaves the chain makes room for what comes."""

FINAL_STEPS = (Step.MATURE, Step.FIND)
"""What makes a block final, and with it perhaps the newest one, which speaks for all below it."""

CREDITED = "block credited chain=%s height=%d hash=%s reward=%d fee=%d operator=%d accounts=%d unexplained=%d"
VOTE_CREDITED = "vote credited chain=%s height=%d hash=%s reward=%d fee=%d operator=%d accounts=%d unexplained=%d"
"""In words of its own: a vote is no news to anybody, and `block credited` is told to people (pool/notifications.py)."""


class BlockFollowing:
    """One chain's. `hurry` is called when a block waits to hear how far the share logs are drained."""

    def __init__(
        self,
        chain: str,
        view: ChainView,
        books: BlockBooks,
        terms: ChainTerms,
        in_thread: InThread,
        *,
        hurry: Callable[[], None],
        now_ms: Callable[[], int],
        interval_s: float,
    ) -> None:
        """`interval_s` is the time between two passes, the shortest between two looks at a block."""
        self._chain = chain
        self._view = view
        self._books = books
        self.terms = terms
        self._in_thread = in_thread
        self._hurry = hurry
        self._now_ms = now_ms
        self._interval_s = interval_s
        self._look_at_ms: dict[int, int] = {}
        self._disputed: set[int] = set()
        self._read_ms: int | None = None  # when the books were last asked and all that was due is done
        self._has_more = True

    def look_at_all(self) -> None:
        """Makes every block due at the next pass."""
        self._look_at_ms.clear()
        self._read_ms = None

    def look_for_more(self) -> None:
        """The books may have another block: they are asked at the next pass."""
        self._has_more = True

    def rest_s(self) -> float:
        """How long nothing is due, one pass's interval at least."""
        if self._has_more or self._read_ms is None:
            return self._interval_s
        due_ms = min((self._read_ms + REREAD_MS, *self._look_at_ms.values()))
        return min(max((due_ms - self._now_ms()) / 1000, self._interval_s), REREAD_MS / 1000)

    async def follow(self) -> bool:
        """Looks at every block that is due and takes the steps. False when no node could be asked; raises
        ChainAwayError and what the books raise.
        """
        if not self._view.synced:
            return False
        now_ms = self._now_ms()
        if self._nothing_due(now_ms):
            return True
        self._read_ms, self._has_more = None, False
        blocks = await self._in_thread(self._books.watched_blocks, self._chain)
        newest = await self._in_thread(self._books.newest_mature, self._chain)
        known = [*blocks, newest] if newest is not None else blocks
        look_at_ms = {block.id: self._look_at_ms.get(block.id, 0) for block in known}
        self._look_at_ms = look_at_ms
        seen = await self._look(blocks, now_ms)
        if seen is None:
            return False
        steps = [(self._step(block, status), block, status) for block, status in seen]
        steps = _once_per_place(steps, blocks)
        becomes_final = any(step in FINAL_STEPS for step, _, _ in steps)
        final = await self._look_at_final(newest, at_once=becomes_final)
        faults: list[Exception] = []
        for wanted in ORDER:
            for step, block, status in steps:
                if step is wanted:
                    try:
                        if step in FINAL_STEPS and not (final and await self._still(step, block)):
                            look_at_ms[block.id] = 0
                            continue
                        await self._take(step, block, status)
                    except ChainAwayError:
                        raise
                    except Exception as error:
                        # One block's trouble must not keep the others' credits back.
                        look_at_ms[block.id] = 0
                        faults.append(error)
        confirmed = {block.id: status.confirmations for step, block, status in steps if step is Step.CONFIRM}
        if confirmed:
            await self._in_thread(self._books.confirm, confirmed, now_ms)
        if faults:
            raise faults[0]
        self._read_ms = now_ms
        return True

    async def _look(self, blocks: list[FoundBlock], now_ms: int) -> list[tuple[FoundBlock, BlockStatus]] | None:
        """The blocks that are due, each with what a node shows of it; None when no node could be asked.

        One vote of a block that is still where it was speaks for all of that block, as a block's votes never change;
        one that is not makes all of them due, so that they leave together.
        """
        found: list[tuple[FoundBlock, BlockStatus]] = []
        connected: dict[str, BlockStatus] = {}
        left: set[str] = set()
        for due in (True, False):
            for block in blocks:
                place = block.place
                if _is_due(self._look_at_ms[block.id], now_ms) is not due:
                    continue
                if not due and (place is None or place.container_hex not in left or block.state != "immature"):
                    continue
                told = None if place is None or block.state != "immature" else connected.get(place.container_hex)
                if told is None:
                    status = await ask(self._chain, self._view.block_status(block.solve_hex))
                    if not self._view.synced:
                        return None
                    if place is not None and block.state == "immature":
                        if status.inclusion is None or place_of(status.inclusion) != place:
                            left.add(place.container_hex)
                        else:
                            connected[place.container_hex] = status
                else:
                    assert place is not None and block.reward is not None
                    inclusion = Inclusion(*place, block.reward)
                    status = BlockStatus(True, told.confirmations, told.height, inclusion)
                found.append((block, status))
        for block, _ in found:
            self._look_at_ms[block.id] = now_ms + self._wait_ms(now_ms - block.found_ms)
        return found

    def _nothing_due(self, now_ms: int) -> bool:
        """Whether the books were asked a moment ago and none of their blocks has to be looked at. A clock that was put
        back does not make it longer."""
        if self._has_more or self._read_ms is None or not 0 <= now_ms - self._read_ms < REREAD_MS:
            return False
        return not any(_is_due(at_ms, now_ms) for at_ms in self._look_at_ms.values())

    def _step(self, block: FoundBlock, status: BlockStatus) -> Step:
        return next_step(
            block,
            status,
            tip_height=self._view.tip_height,
            maturity=self.terms.maturity,
            now_ms=self._now_ms(),
        )

    async def _look_at_final(self, newest: FoundBlock | None, *, at_once: bool) -> bool:
        """Whether the newest final block, which speaks for all below it, is in its chain. While it is not, it is lost
        and the next one is asked for, all the way down before another block may become the newest.
        """
        block = newest
        while block is not None:
            if not at_once and not _is_due(self._look_at_ms.get(block.id, 0), self._now_ms()):
                return True
            status = await ask(self._chain, self._view.block_status(block.solve_hex))
            if not self._view.synced:
                return False
            if self._step(block, status) is not Step.LOSE:
                age_ms = self._now_ms() - block.found_ms
                self._look_at_ms[block.id] = self._now_ms() + self._wait_ms(age_ms)
                return status.found and status.confirmations > 0
            await self._take(Step.LOSE, block, status)
            at_once = True
            block = await self._in_thread(self._books.newest_mature, self._chain)
        return True

    async def _still(self, step: Step, block: FoundBlock) -> bool:
        """Asked again after the newest final block, so that both were seen in one chain and not in two branches."""
        status = await ask(self._chain, self._view.block_status(block.solve_hex))
        return self._view.synced and self._step(block, status) is step

    async def _take(self, step: Step, block: FoundBlock, status: BlockStatus) -> None:
        now_ms = self._now_ms()
        confirmations = status.confirmations
        tail = f"chain={block.chain} height={block.height} hash={block.hash_hex}"
        if step in (Step.CREDIT, Step.MOVE):
            await self._credit(block, status)
        elif step is Step.MATURE:
            await self._in_thread(self._books.mature, block, confirmations, now_ms)
            log.info("%s mature %s reward=%s", _word(block), tail, block.reward)
        elif step is Step.ORPHAN:
            await self._in_thread(self._books.orphan, block, now_ms)
            if block.place is not None:
                # Of two blocks for one height each takes votes that the other has: as usual as late votes are.
                self._look_at_ms[block.id] = 0
                log.info("vote void %s block=%s reward=%s", tail, block.place.container_hex, block.reward)
            elif self._view.votes:
                log.info("vote late %s", tail)
            else:
                log.warning("block orphaned %s reward=%s", tail, block.reward)
        elif step is Step.REINSTATE:
            if await self._in_thread(self._books.reinstate, block, confirmations, now_ms):
                level = logging.WARNING if block.place is None else logging.INFO
                log.log(level, "%s reinstated %s reward=%s", _word(block), tail, block.reward)
        elif step is Step.LOSE:
            await self._in_thread(self._books.lose, block, now_ms)
            log.critical("final block lost to a deep reorg, its chain's payouts stop %s reward=%s", tail, block.reward)
        elif step is Step.FIND:
            if await self._in_thread(self._books.find, block, confirmations, now_ms):
                log.warning("lost block is back %s reward=%s", tail, block.reward)
        elif step is Step.RETIRE:
            await self._in_thread(self._books.retire, block, now_ms)
            log.info("%s no longer watched %s state=%s", _word(block), tail, block.state)
        elif step is Step.DISPUTE and block.id not in self._disputed:
            self._disputed.add(block.id)
            log.error("a vote's income is not what it was, and is not credited again %s reward=%s now=%s", tail,
                      block.reward, None if status.inclusion is None else status.inclusion.amount)  # fmt: skip

    async def _credit(self, block: FoundBlock, status: BlockStatus) -> None:
        """Credits a block once every front end has drained past its solve, so that its whole window is in SQL."""
        if not await self._in_thread(self._books.window_drained, block):
            self._look_at_ms[block.id] = 0
            self._hurry()
            return
        place: Place | None = None
        if status.inclusion is None:
            reward = await ask(self._chain, self._view.block_reward(block.hash_hex))
        else:  # a vote: asked for anew, its income could be that of another block already
            place, reward = place_of(status.inclusion), status.inclusion.amount
        split: Split | None = await self._in_thread(
            self._books.credit, block, status.height, status.confirmations, reward, self.terms, self._now_ms(), place
        )
        if split is None:
            return
        level = logging.INFO if reward and not split.unexplained else logging.ERROR
        log.log(
            level,
            CREDITED if place is None else VOTE_CREDITED,
            block.chain,
            status.height,
            block.solve_hex,
            reward,
            split.fee,
            split.operator,
            len(split.amounts),
            split.unexplained,
        )

    def _wait_ms(self, age_ms: int) -> int:
        return min(SLOWEST_LOOK_MS, max(int(self._interval_s * 1000), age_ms // LOOKS_PER_AGE))


def _is_due(look_at_ms: int, now_ms: int) -> bool:
    """No block waits longer than for the slowest look, whatever the clock said at the last one."""
    return not 0 < look_at_ms - now_ms <= SLOWEST_LOOK_MS


def _word(block: FoundBlock) -> str:
    return "block" if block.place is None else "vote"


def _once_per_place(
    steps: list[tuple[Step, FoundBlock, BlockStatus]], blocks: list[FoundBlock]
) -> list[tuple[Step, FoundBlock, BlockStatus]]:
    """Of a vote's rows one at most goes on elsewhere, and none when another row is there already."""
    taken = {(block.solve_hex, block.place) for block in blocks if block.place is not None}
    kept = []
    for step, block, status in steps:
        if step is Step.MOVE:
            assert status.inclusion is not None
            goal = (block.solve_hex, place_of(status.inclusion))
            if goal in taken:
                continue
            taken.add(goal)
        kept.append((step, block, status))
    return kept
