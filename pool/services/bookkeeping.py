"""Keeps the books: share log into SQL, found blocks into rows, rows followed on their chains until they are final.

Three loops, none of which ever stands in the way of mining. One consumes the share log in batches and learns of
solutions; one per chain asks its node about every block that is not final, so a node that hangs delays its own
chain's books only. Every SQL call runs in the one worker thread that is handed in. Every step may be interrupted and
repeated: the position moves in the shares' transaction, a solution stays on disk until its row is committed, and a
block's credits, transfers and state are one transaction that looks at the block's state first.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Protocol, TypeVar

from chains.kind import BlockStatus
from pool.accounting.books_away import BooksAwayError
from pool.accounting.found_block import BlockState, ChainTerms, FoundBlock, Step, next_step
from pool.accounting.split import Split
from pool.blocks.solution_store import ClosedSolution, SolutionRecord
from pool.shares.record import LoggedShare, Position

log = logging.getLogger("parapool.books")

BATCH_SHARES = 1000
NODE_TIMEOUT_S = 15.0
SLOWEST_LOOK_S = 60.0
LOOKS_PER_AGE = 20
"""A block is looked at about this often within each doubling of its age: fresh ones at every pass, old ones once a
minute.
"""

RETRY_S = 5.0
SILENT_S = 90.0
"""A call at the database that takes longer is told: its own time limits should have ended it by then."""

TRIM_S = 60.0

BLOCK_STATES: Mapping[str, BlockState] = {"accepted": "submitted", "unknown": "submitted", "rejected": "rejected"}
"""A submission's answer is not yet a block's place in the chain: only `rejected` is worth a state of its own."""

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


class ShareSource(Protocol):
    """The share log's reading side."""

    @property
    def durable_sequence(self) -> int: ...

    def read_from(self, position: Position) -> Iterator[LoggedShare]: ...

    def trim(self, position: Position) -> int: ...


class SolutionSource(Protocol):
    """The solution store's side towards the books."""

    def open_names(self) -> set[tuple[str, str]]: ...

    def open_record(self, chain: str, block_hash_hex: str) -> SolutionRecord | None: ...

    def closed_solutions(self) -> Iterator[ClosedSolution]: ...

    def booked(self, chain: str, block_hash_hex: str) -> None: ...


class Books(Protocol):
    """The books in SQL, synchronous; each call is one transaction and may be repeated."""

    def position(self) -> tuple[Position, int]: ...

    def store_shares(self, batch: Sequence[LoggedShare], position: Position, now_ms: int) -> int: ...

    def book_solution(self, record: SolutionRecord, state: BlockState, reason: str, now_ms: int) -> None: ...

    def watched_blocks(self, chain: str) -> list[FoundBlock]: ...

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
        shares: ShareSource,
        solutions: SolutionSource,
        books: Books,
        chains: Mapping[str, ChainView],
        terms: Mapping[str, ChainTerms],
        executor: Executor,
        *,
        now_ms: Callable[[], int] = wall_ms,
        interval_s: float = 0.5,
    ) -> None:
        """`executor` has a single thread, which makes every SQL call; `chains` and `terms` have the same keys."""
        self._shares = shares
        self._solutions = solutions
        self._books = books
        self._chains = chains
        self._terms = terms
        self._executor = executor
        self._now_ms = now_ms
        self._interval_s = interval_s
        self._position: Position | None = None
        self._consumed_through = -1
        self._caught_up_ms = now_ms()
        self._known_open: set[tuple[str, str]] = set()
        self._look_at_ms: dict[str, dict[int, int]] = {chain: {} for chain in chains}
        self._trimmed_s = 0.0
        self.faults: dict[str, str] = {}
        self._without_database: set[str] = set()
        self._silent = False

    @property
    def lag_ms(self) -> int:
        """How long ago everything durable was in SQL; about the pass interval when all is well."""
        return max(0, self._now_ms() - self._caught_up_ms)

    @property
    def consumed_through(self) -> int:
        """All durable shares up to this sequence are in SQL; -1 before the first pass."""
        return self._consumed_through

    async def catch_up(self) -> None:
        """Brings everything durable into SQL once, e.g. at a stop when `run` was cancelled; errors are raised."""
        await self._ingest()

    async def run(self) -> None:
        """Until cancelled. Nothing that goes wrong ends it: it is logged once and tried again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat("shares", self._ingest))
            for chain in self._chains:
                group.create_task(self._repeat(chain, partial(self._follow, chain)))

    async def step(self) -> None:
        """One pass of everything, each watched block looked at once; errors are raised."""
        await self._ingest()
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

    async def _ingest(self) -> bool:
        # What is durable now will be in SQL when the reading below has come to its end.
        durable, now_ms = self._shares.durable_sequence, self._now_ms()
        while await self._in_thread(self._consume_batch) == BATCH_SHARES:
            pass
        self._consumed_through = durable
        self._caught_up_ms = now_ms
        await self._in_thread(self._learn_of_solutions)
        if time.monotonic() - self._trimmed_s > TRIM_S and self._position is not None:
            self._trimmed_s = time.monotonic()
            await self._in_thread(self._shares.trim, self._position)
        return True

    def _consume_batch(self) -> int:
        if self._position is None:
            self._position, _ = self._books.position()
        batch = list(itertools.islice(self._shares.read_from(self._position), BATCH_SHARES))
        if batch:
            position, self._position = batch[-1].position, None
            # When this raises, the commit may have happened or not: the next pass asks the books.
            self._books.store_shares(batch, position, self._now_ms())
            self._position = position
        return len(batch)

    def _learn_of_solutions(self) -> None:
        names = self._solutions.open_names()
        for chain, hash_hex in names - self._known_open:
            record = self._solutions.open_record(chain, hash_hex)
            if record is not None:
                self._books.book_solution(record, "submitted", "", self._now_ms())
        self._known_open = names
        for closed in self._solutions.closed_solutions():
            record = closed.record
            reason = "" if closed.state == "accepted" else closed.reason
            self._books.book_solution(record, BLOCK_STATES[closed.state], reason, self._now_ms())
            self._solutions.booked(record.chain, record.block_hash_hex)

    async def _follow(self, chain: str) -> bool:
        """Looks at every block of a chain that is due, then takes the steps: what leaves the chain first, then what
        comes. False when no node of the chain could be asked.
        """
        view = self._chains[chain]
        if not view.synced:
            return False
        now_ms = self._now_ms()
        blocks = await self._in_thread(self._books.watched_blocks, chain)
        look_at_ms = {block.id: self._look_at_ms[chain].get(block.id, 0) for block in blocks}
        self._look_at_ms[chain] = look_at_ms
        steps: list[tuple[Step, FoundBlock, BlockStatus]] = []
        for block in blocks:
            if look_at_ms[block.id] > now_ms:
                continue
            status = await self._ask(chain, view.block_status(block.hash_hex))
            if not view.synced:
                return False
            look_at_ms[block.id] = now_ms + self._wait_ms(now_ms - block.found_ms)
            maturity = self._terms[chain].maturity
            step = next_step(block, status, tip_height=view.tip_height, maturity=maturity, now_ms=now_ms)
            steps.append((step, block, status))
        faults: list[Exception] = []
        for wanted in (Step.LOSE, Step.ORPHAN, Step.FIND, Step.RETIRE, Step.MATURE, Step.REINSTATE, Step.CREDIT):
            for step, block, status in steps:
                if step is wanted:
                    try:
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
        """Credits a block once its solving share, and with it the whole window, is in SQL."""
        if not self._window_consumed(block):
            self._look_at_ms[block.chain][block.id] = 0
            return
        reward = await self._ask(block.chain, self._chains[block.chain].block_reward(block.hash_hex))
        terms = self._terms[block.chain]
        split = await self._in_thread(
            self._books.credit, block, status.height, status.confirmations, reward, terms, self._now_ms()
        )
        if split is None:
            return
        level = logging.INFO if split.amounts and reward else logging.ERROR
        log.log(
            level,
            "block credited chain=%s height=%d hash=%s reward=%d fee=%d accounts=%d unexplained=%d",
            block.chain,
            status.height,
            block.hash_hex,
            reward,
            split.fee,
            len(split.amounts),
            split.unexplained,
        )

    def _window_consumed(self, block: FoundBlock) -> bool:
        if block.share_sequence > 0:
            return self._consumed_through >= block.share_sequence
        # The share log had stopped when the solve came: its window ends with what was received before.
        return self._consumed_through >= 0 and self._caught_up_ms > block.found_ms

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
