"""PPS and FPPS from the operator's side: watch the reserve, credit what shares have earned, fold what is over.

Every ten seconds the books tell the reserve of each chain whose shares are bought. When it is low, new jobs count for
PPLNS; that and the return are told to whoever hands in `tell`. At the turn of every interval what shares have earned is
credited, from the operator's money only: when that does not cover it, each account gets its part of what there is, and
the rest stays owed. A part of the accounts at a time, so that nobody waits long for the one thread of the books. Every
call may be interrupted and repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from pool.accounting.books_away import BooksAwayError
from pool.accounting.pps import affordable
from pool.accounting.reserve import Change, ReserveGuard

log = logging.getLogger("parapool.pps")

LOOK_S = 10.0
RETRY_S = 5.0
ACCOUNTS_AT_ONCE = 250

T = TypeVar("T")

Tell = Callable[[str, Change], None]
"""Called with the chain when its reserve fell below the minimum, or is enough again."""


class PpsBooks(Protocol):
    """The books' side, synchronous; each call is one transaction and may be repeated."""

    def reserve(self, chain: str) -> int: ...

    def owed(self, chain: str) -> dict[int, int]:
        """Account id to what may be credited now."""

    def spendable(self, chain: str) -> int:
        """What the operator has for credits now."""

    def credit(self, chain: str, amounts: Mapping[int, int], period: int, now_ms: int) -> dict[int, int]: ...

    def fold(self, chain: str, now_ms: int) -> int:
        """Folds some rates that are over; how many rows went."""


@dataclass(slots=True)
class BuyingChain:
    """A chain whose shares are bought, and how often they are credited. Without a guard they are bought no more; what
    they earned before is credited to the end.
    """

    guard: ReserveGuard | None = None
    interval_s: int = 3600
    credited_period: int = field(default=-1)


class ShareBuying:
    """The service. `chains` by name; `executor` has the single thread that makes every SQL call."""

    def __init__(
        self,
        books: PpsBooks,
        chains: Mapping[str, BuyingChain],
        executor: Executor,
        tell: Tell,
        *,
        now_ms: Callable[[], int],
        look_s: float = LOOK_S,
    ) -> None:
        self._books = books
        self._chains = chains
        self._executor = executor
        self._tell = tell
        self._now_ms = now_ms
        self._look_s = look_s
        self.faults: dict[str, str] = {}

    def adopt(self, chains: Mapping[str, BuyingChain]) -> None:
        """Other terms from now on. What shares of a chain that is gone have earned is credited to the end."""
        gone = {name: BuyingChain(None, old.interval_s) for name, old in self._chains.items() if name not in chains}
        self._chains = {**gone, **chains}

    def learn_reserves(self) -> None:
        """The reserves before the first job; whatever the database says against it is raised."""
        for chain, buying in self._chains.items():
            if buying.guard is not None:
                take_reserve(chain, buying.guard, self._books.reserve(chain), self._tell)

    async def run(self) -> None:
        """Until cancelled. Nothing that goes wrong ends it: it is logged once and tried again."""
        if not self._chains:
            return
        while True:
            wait_s = self._look_s
            for chain in self._chains:
                try:
                    await self.step(chain)
                except Exception as error:
                    self._report(chain, error)
                    wait_s = RETRY_S
                else:
                    if self.faults.pop(chain, None) is not None:
                        log.info("shares are credited again chain=%s", chain)
            await asyncio.sleep(wait_s)

    async def step(self, chain: str) -> None:
        """One look at a chain: its reserve, and the credits when an interval has begun."""
        buying = self._chains[chain]
        period = self._now_ms() // 1000 // buying.interval_s * buying.interval_s
        if period > buying.credited_period:
            await self._credit(chain, period)
            while await self._in_thread(self._books.fold, chain, self._now_ms()):
                pass
            buying.credited_period = period
        if buying.guard is not None:
            take_reserve(chain, buying.guard, await self._in_thread(self._books.reserve, chain), self._tell)

    async def _credit(self, chain: str, period: int) -> None:
        owed = await self._in_thread(self._books.owed, chain)
        spendable = await self._in_thread(self._books.spendable, chain)
        amounts = affordable(owed, spendable)
        short = sum(owed.values()) - sum(amounts.values())
        if short:
            log.warning("the operator's money does not cover what shares have earned chain=%s short=%d", chain, short)
        ids = sorted(account_id for account_id, amount in amounts.items() if amount)
        total = 0
        for start in range(0, len(ids), ACCOUNTS_AT_ONCE):
            part = {account_id: amounts[account_id] for account_id in ids[start : start + ACCOUNTS_AT_ONCE]}
            credited = await self._in_thread(self._books.credit, chain, part, period, self._now_ms())
            total += sum(credited.values())
        if ids:
            log.info("shares credited chain=%s accounts=%d amount=%d period=%d", chain, len(ids), total, period)

    def _report(self, chain: str, error: Exception) -> None:
        """One line per outage; that the database is away is told by the bookkeeping."""
        if isinstance(error, BooksAwayError):
            self.faults.setdefault(chain, "the database is away")
        elif self.faults.get(chain) != str(error):
            self.faults[chain] = str(error)
            log.error("shares cannot be credited, trying again chain=%s: %s", chain, error, exc_info=error)

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(call, *arguments))


def take_reserve(chain: str, guard: ReserveGuard, reserve: int, tell: Tell) -> None:
    """A reserve as it is now, from the books or, at a front end without them, from the accountant."""
    change = guard.update(reserve)
    if change == "low":
        log.warning(
            "reserve is low, new jobs count for PPLNS chain=%s reserve=%d minimum=%d",
            chain, reserve, guard.minimum,
        )  # fmt: skip
    elif change == "restored":
        log.info("reserve is enough, shares are bought chain=%s reserve=%d", chain, reserve)
    if change is not None:
        tell(chain, change)
