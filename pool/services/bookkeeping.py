"""Keeps the books: shares and found blocks into SQL, blocks followed on their chains until they are final.

Loops that never stand in the way of mining. One takes shares and solutions in (log_ingest.py, stream_ingest.py); one
per chain asks its node about every block that is not final, so a node that hangs delays its own chain's books only.
Every SQL call runs in the one worker thread that is handed in. Every step may be interrupted and repeated: a block's
credits, transfers and state are one transaction that looks at the block's state first. Of several processes that keep
the books of one pool, one follows its blocks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Protocol, TypeVar

from chains.kind import BlockStatus
from pool.accounting.books_away import BooksAwayError
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

RETRY_S = 5.0
SILENT_S = 90.0
"""A call at the database that takes longer is told: its own time limits should have ended it by then."""

LEAD_S = 5.0
"""The lead is asked for so often; it lasts four times as long."""

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


class Ingest(Protocol):
    """Where shares and solutions come from. `consumed_through`: all shares up to this sequence of this process's own
    log are in SQL, -1 before the first pass; `caught_up_ms`: when everything that was there was in SQL last.
    """

    @property
    def consumed_through(self) -> int: ...

    @property
    def caught_up_ms(self) -> int: ...

    async def step(self, in_thread: InThread, leads: bool) -> bool:
        """One pass; whether it could do anything. Errors are raised. `leads` tells whether this process is the one
        that follows the pool's blocks.
        """

    def hurry(self) -> None:
        """A block waits to hear how far the share logs are drained."""


class Books(Protocol):
    """The books in SQL, synchronous; each call is one transaction and may be repeated."""

    def take_lead(self, now_ms: int, lasts_ms: int) -> bool:
        """Whether this process follows the pool's blocks, for so long."""

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


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Bookkeeping:
    """The service. For metrics and health: `lag_ms`, and `faults`: what cannot go on, by loop name, in words."""

    def __init__(
        self,
        ingest: Ingest,
        books: Books,
        chains: Mapping[str, ChainView],
        terms: Mapping[str, ChainTerms],
        executor: Executor,
        *,
        now_ms: Callable[[], int] = wall_ms,
        interval_s: float = 0.5,
    ) -> None:
        """`executor` has a single thread, which makes every SQL call; `chains` and `terms` have the same keys."""
        self._ingest = ingest
        self._books = books
        self._chains = chains
        self._terms = terms
        self._executor = executor
        self._now_ms = now_ms
        self._interval_s = interval_s
        self._look_at_ms: dict[str, dict[int, int]] = {chain: {} for chain in chains}
        self._leads = False
        self._lead_asked_s: float | None = None
        self.faults: dict[str, str] = {}
        self._without_database: set[str] = set()
        self._silent = False

    @property
    def lag_ms(self) -> int:
        """How long ago everything durable was in SQL; about the pass interval when all is well."""
        return max(0, self._now_ms() - self._ingest.caught_up_ms)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that follows the pool's blocks."""
        return self._leads

    async def in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        """Runs something else in the one thread that makes every SQL call."""
        return await self._in_thread(call, *arguments)

    @property
    def consumed_through(self) -> int:
        """All durable shares up to this sequence are in SQL; -1 before the first pass."""
        return self._ingest.consumed_through

    async def catch_up(self) -> None:
        """Brings everything durable into SQL once, e.g. at a stop when `run` was cancelled; errors are raised."""
        await self._ingest.step(self._in_thread, self._leads)

    async def run(self) -> None:
        """Until cancelled. Nothing that goes wrong ends it: it is logged once and tried again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat("shares", self._take_in))
            for chain in self._chains:
                group.create_task(self._repeat(chain, partial(self._follow, chain)))

    async def step(self) -> None:
        """One pass of everything, each watched block looked at once; errors are raised."""
        await self._take_in()
        for chain in self._chains:
            self._look_at_ms[chain].clear()
            await self._follow(chain)

    # -- the loops ---------------------------------------------------------------------------------------------------

    async def _repeat(self, name: str, work: Callable[[], Awaitable[bool]]) -> None:
        """`work` tells whether it could do anything; a pass that could not ends no outage."""
        while True:
            try:
                worked = await work()
            except Exception as error:
                self._report(name, error)
                await asyncio.sleep(RETRY_S)
                continue
            if worked:
                self._recovered(name)
            await asyncio.sleep(self._interval_s)

    def _report(self, name: str, error: Exception) -> None:
        """One line per outage, with a traceback unless it is only a node or the database that is away.

        Every loop meets the database's outage, with one reason after the other until it is back: told once in all.
        """
        if isinstance(error, BooksAwayError):
            if not self._without_database:
                log.error("the database is away, the books wait: %s", error)
            self._without_database.add(name)
            self.faults[name] = f"the database is away: {error}"
            return
        if self.faults.get(name) == str(error):
            return
        self.faults[name] = str(error)
        if isinstance(error, ChainAwayError):
            log.warning("books wait for a node chain=%s: %s", name, error)
        else:
            log.error("books cannot go on, trying again loop=%s: %s", name, error, exc_info=error)

    def _recovered(self, name: str) -> None:
        if self.faults.pop(name, None) is None:
            return
        if name not in self._without_database:
            log.info("books go on loop=%s", name)
            return
        self._without_database.discard(name)
        if not self._without_database:
            log.info("the database is back, the books go on")

    def _tell_silence(self) -> None:
        if not self._silent:
            self._silent = True
            log.error("the database has not answered for %g s, the books wait", SILENT_S)

    async def _take_in(self) -> bool:
        return await self._ingest.step(self._in_thread, await self._is_leader())

    async def _is_leader(self) -> bool:
        now_s = time.monotonic()
        if self._lead_asked_s is None or now_s - self._lead_asked_s >= LEAD_S:
            leads = await self._in_thread(self._books.take_lead, self._now_ms(), int(4 * LEAD_S * 1000))
            if self._lead_asked_s is not None and leads != self._leads:
                log.info("this process now %s the pool's blocks", "follows" if leads else "leaves to another one")
            self._leads, self._lead_asked_s = leads, now_s
        return self._leads

    async def _follow(self, chain: str) -> bool:
        """Looks at every block of a chain that is due, then takes the steps: what leaves the chain first, then what
        comes. False when no node of the chain could be asked.
        """
        if not await self._is_leader():
            return True
        view = self._chains[chain]
        if not view.synced:
            return False
        now_ms = self._now_ms()
        blocks = await self._in_thread(self._books.watched_blocks, chain)
        look_at_ms = {block.id: self._look_at_ms[chain].get(block.id, 0) for block in blocks}
        newest = await self._in_thread(self._books.newest_mature, chain)
        if newest is not None:
            look_at_ms[newest.id] = self._look_at_ms[chain].get(newest.id, 0)
        self._look_at_ms[chain] = look_at_ms
        steps: list[tuple[Step, FoundBlock, BlockStatus]] = []
        for block in blocks:
            if look_at_ms[block.id] > now_ms:
                continue
            status = await self._ask(chain, view.block_status(block.hash_hex))
            if not view.synced:
                return False
            look_at_ms[block.id] = now_ms + self._wait_ms(now_ms - block.found_ms)
            steps.append((self._step(block, status), block, status))
        maturing = any(step is Step.MATURE for step, _, _ in steps)
        final = await self._look_at_final(chain, at_once=maturing)
        faults: list[Exception] = []
        for wanted in (Step.ORPHAN, Step.FIND, Step.RETIRE, Step.MATURE, Step.REINSTATE, Step.CREDIT):
            for step, block, status in steps:
                if step is wanted:
                    try:
                        if step is Step.MATURE and not (final and await self._still_matures(block)):
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
        return True

    def _step(self, block: FoundBlock, status: BlockStatus) -> Step:
        return next_step(
            block,
            status,
            tip_height=self._chains[block.chain].tip_height,
            maturity=self._terms[block.chain].maturity,
            now_ms=self._now_ms(),
        )

    async def _look_at_final(self, chain: str, *, at_once: bool) -> bool:
        """Whether the newest final block, which speaks for all below it, is in its chain. While it is not, it is lost
        and the next one is asked for, all the way down before another block may become the newest.
        """
        while (block := await self._in_thread(self._books.newest_mature, chain)) is not None:
            if not at_once and self._look_at_ms[chain].get(block.id, 0) > self._now_ms():
                return True
            status = await self._ask(chain, self._chains[chain].block_status(block.hash_hex))
            if not self._chains[chain].synced:
                return False
            if self._step(block, status) is not Step.LOSE:
                age_ms = self._now_ms() - block.found_ms
                self._look_at_ms[chain][block.id] = self._now_ms() + self._wait_ms(age_ms)
                return status.found and status.confirmations > 0
            await self._take(Step.LOSE, block, status)
            at_once = True
        return True

    async def _still_matures(self, block: FoundBlock) -> bool:
        """Asked again after the newest final block, so that both were seen in one chain and not in two branches."""
        status = await self._ask(block.chain, self._chains[block.chain].block_status(block.hash_hex))
        return self._chains[block.chain].synced and self._step(block, status) is Step.MATURE

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
            self._look_at_ms[block.chain][block.id] = 0
            self._ingest.hurry()
            return
        reward = await self._ask(block.chain, self._chains[block.chain].block_reward(block.hash_hex))
        terms = self._terms[block.chain]
        split = await self._in_thread(
            self._books.credit, block, status.height, status.confirmations, reward, terms, self._now_ms()
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

    async def _ask(self, chain: str, call: Awaitable[T]) -> T:
        """A question to a node. Whatever goes wrong there is an outage of that chain and changes nothing."""
        try:
            async with asyncio.timeout(NODE_TIMEOUT_S):
                return await call
        except Exception as error:
            raise ChainAwayError(f"{chain}: {error or type(error).__name__}") from error

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        silence = loop.call_later(SILENT_S, self._tell_silence)
        try:
            answer = await loop.run_in_executor(self._executor, partial(call, *arguments))
        finally:
            silence.cancel()
        if self._silent:
            self._silent = False
            log.info("the database answers again")
        return answer
