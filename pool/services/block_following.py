"""Follows the found blocks of one chain until they are final and beyond: what its node shows are steps in the books.

What leaves the chain is booked first, then what comes. Looks grow rare with a block's age. Nothing is decided by a node
that is away or not synced, and a step that was interrupted is taken again: the books look at the block's state first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from chains.kind import BlockStatus
from pool.accounting.found_block import ChainTerms, FoundBlock, Step, next_step
from pool.accounting.split import Split
from pool.services.log_ingest import InThread

log = logging.getLogger("parapool.books")

NODE_TIMEOUT_S = 15.0
SLOWEST_LOOK_S = 60.0
LOOKS_PER_AGE = 20
"""A block is looked at about this often within each doubling of its age: fresh ones at every pass, old ones once a
minute.
"""

REREAD_MS = 5000
"""While no known block is due, the books are asked this often for new ones. Twice a second, three queries per chain
cost more than a thousand shares.
"""

FINAL_STEPS = (Step.MATURE, Step.FIND)
"""What makes a block final, and with it perhaps the newest one, which speaks for all below it."""

T = TypeVar("T")


class ChainAwayError(Exception):
    """A chain's node did not answer. Its books wait; nobody else's do."""


class ChainView(Protocol):
    """What the books need to know of a chain. The calls raise when the node is away."""

    @property
    def synced(self) -> bool:
        """Whether a node is usable and at the tip; while it is not, nothing it says moves a block."""

    @property
    def tip_height(self) -> int | None:
        """The best height, None while unknown."""

    async def block_status(self, hash_hex: str) -> BlockStatus: ...

    async def block_reward(self, hash_hex: str) -> int:
        """What the block's actual coinbase pays to us, in the chain's smallest unit."""


class BlockBooks(Protocol):
    """The books in SQL, synchronous; each call is one transaction and may be repeated."""

    def window_drained(self, block: FoundBlock) -> bool:
        """Whether every share that can be in the block's window is stored, of all the pool's front ends."""

    def watched_blocks(self, chain: str) -> list[FoundBlock]: ...

    def newest_mature(self, chain: str) -> FoundBlock | None: ...

    def credit(
        self, block: FoundBlock, height: int, confirmations: int, reward: int, terms: ChainTerms, now_ms: int
    ) -> Split | None: ...

    def confirm(self, confirmations: Mapping[int, int], now_ms: int) -> None: ...

    def mature(self, block: FoundBlock, confirmations: int, now_ms: int) -> None: ...

    def orphan(self, block: FoundBlock, now_ms: int) -> None: ...

    def reinstate(self, block: FoundBlock, confirmations: int, now_ms: int) -> bool: ...

    def lose(self, block: FoundBlock, now_ms: int) -> None: ...

    def find(self, block: FoundBlock, confirmations: int, now_ms: int) -> bool: ...

    def retire(self, block: FoundBlock, now_ms: int) -> None: ...


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
        self._read_ms: int | None = None  # when the books were last asked and all that was due is done

    def look_at_all(self) -> None:
        """Makes every block due at the next pass."""
        self._look_at_ms.clear()
        self._read_ms = None

    async def follow(self) -> bool:
        """Looks at every block that is due and takes the steps. False when no node could be asked; raises
        ChainAwayError and what the books raise.
        """
        if not self._view.synced:
            return False
        now_ms = self._now_ms()
        if self._nothing_due(now_ms):
            return True
        self._read_ms = None
        blocks = await self._in_thread(self._books.watched_blocks, self._chain)
        newest = await self._in_thread(self._books.newest_mature, self._chain)
        known = [*blocks, newest] if newest is not None else blocks
        look_at_ms = {block.id: self._look_at_ms.get(block.id, 0) for block in known}
        self._look_at_ms = look_at_ms
        steps: list[tuple[Step, FoundBlock, BlockStatus]] = []
        for block in blocks:
            if look_at_ms[block.id] > now_ms:
                continue
            status = await self._ask(self._view.block_status(block.hash_hex))
            if not self._view.synced:
                return False
            look_at_ms[block.id] = now_ms + self._wait_ms(now_ms - block.found_ms)
            steps.append((self._step(block, status), block, status))
        becomes_final = any(step in FINAL_STEPS for step, _, _ in steps)
        final = await self._look_at_final(newest, at_once=becomes_final)
        faults: list[Exception] = []
        for wanted in (Step.ORPHAN, Step.FIND, Step.RETIRE, Step.MATURE, Step.REINSTATE, Step.CREDIT):
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

    def _nothing_due(self, now_ms: int) -> bool:
        """Whether the books were asked a moment ago and none of their blocks has to be looked at. A clock that was put
        back does not make it longer."""
        if self._read_ms is None or not 0 <= now_ms - self._read_ms < REREAD_MS:
            return False
        return all(at_ms > now_ms for at_ms in self._look_at_ms.values())

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
            if not at_once and self._look_at_ms.get(block.id, 0) > self._now_ms():
                return True
            status = await self._ask(self._view.block_status(block.hash_hex))
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
        status = await self._ask(self._view.block_status(block.hash_hex))
        return self._view.synced and self._step(block, status) is step

    async def _take(self, step: Step, block: FoundBlock, status: BlockStatus) -> None:
        now_ms = self._now_ms()
        confirmations = status.confirmations
        tail = f"chain={block.chain} height={block.height} hash={block.hash_hex}"
        if step is Step.CREDIT:
            await self._credit(block, status)
        elif step is Step.MATURE:
            await self._in_thread(self._books.mature, block, confirmations, now_ms)
            log.info("block mature %s reward=%s", tail, block.reward)
        elif step is Step.ORPHAN:
            await self._in_thread(self._books.orphan, block, now_ms)
            log.warning("block orphaned %s reward=%s", tail, block.reward)
        elif step is Step.REINSTATE:
            if await self._in_thread(self._books.reinstate, block, confirmations, now_ms):
                log.warning("block reinstated %s reward=%s", tail, block.reward)
        elif step is Step.LOSE:
            await self._in_thread(self._books.lose, block, now_ms)
            log.critical("final block lost to a deep reorg, its chain's payouts stop %s reward=%s", tail, block.reward)
        elif step is Step.FIND:
            if await self._in_thread(self._books.find, block, confirmations, now_ms):
                log.warning("lost block is back %s reward=%s", tail, block.reward)
        elif step is Step.RETIRE:
            await self._in_thread(self._books.retire, block, now_ms)
            log.info("block no longer watched %s state=%s", tail, block.state)

    async def _credit(self, block: FoundBlock, status: BlockStatus) -> None:
        """Credits a block once every front end has drained past its solve, so that its whole window is in SQL."""
        if not await self._in_thread(self._books.window_drained, block):
            self._look_at_ms[block.id] = 0
            self._hurry()
            return
        reward = await self._ask(self._view.block_reward(block.hash_hex))
        split: Split | None = await self._in_thread(
            self._books.credit, block, status.height, status.confirmations, reward, self.terms, self._now_ms()
        )
        if split is None:
            return
        level = logging.INFO if reward and not split.unexplained else logging.ERROR
        log.log(
            level,
            "block credited chain=%s height=%d hash=%s reward=%d fee=%d operator=%d accounts=%d unexplained=%d",
            block.chain,
            status.height,
            block.hash_hex,
            reward,
            split.fee,
            split.operator,
            len(split.amounts),
            split.unexplained,
        )

    def _wait_ms(self, age_ms: int) -> int:
        longest_ms = int(SLOWEST_LOOK_S * 1000)
        return min(longest_ms, max(int(self._interval_s * 1000), age_ms // LOOKS_PER_AGE))

    async def _ask(self, call: Awaitable[T]) -> T:
        """A question to a node. Whatever goes wrong there is an outage of the chain and changes nothing."""
        try:
            async with asyncio.timeout(NODE_TIMEOUT_S):
                return await call
        except Exception as error:
            raise ChainAwayError(f"{self._chain}: {error or type(error).__name__}") from error
