"""What the following of found blocks needs: a chain that can be asked about them, and books in which they move."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Protocol, TypeVar

from chains.kind import BlockIncome, BlockStatus
from pool.accounting.found_block import ChainTerms, FoundBlock, Place
from pool.accounting.split import Split

NODE_TIMEOUT_S = 15.0

T = TypeVar("T")


class ChainAwayError(Exception):
    """A chain's node did not answer. Its books wait; nobody else's do."""


async def ask(chain: str, call: Awaitable[T]) -> T:
    """A question to a node. Whatever goes wrong there is an outage of the chain and changes nothing: ChainAwayError."""
    try:
        async with asyncio.timeout(NODE_TIMEOUT_S):
            return await call
    except Exception as error:
        raise ChainAwayError(f"{chain}: {error or type(error).__name__}") from error


class ChainView(Protocol):
    """What the books need to know of a chain. The calls raise when the node is away."""

    @property
    def synced(self) -> bool:
        """Whether a node is usable and at the tip; while it is not, nothing it says moves a block."""

    @property
    def tip_height(self) -> int | None:
        """The best height, None while unknown."""

    @property
    def votes(self) -> bool:
        """Whether what is found on this chain are votes, and hashes those of votes."""

    async def block_status(self, hash_hex: str) -> BlockStatus: ...

    async def block_reward(self, hash_hex: str) -> int:
        """What the block's actual coinbase pays to us, in the chain's smallest unit. Not asked for votes, whose status
        tells it."""

    async def income_at(self, height: int) -> BlockIncome | None:
        """Of a chain of votes: what the main chain's block at a height pays us, None beyond its tip."""


class BlockBooks(Protocol):
    """The books in SQL, synchronous; each call is one transaction and may be repeated."""

    def window_drained(self, block: FoundBlock) -> bool:
        """Whether every share that can be in the block's window is stored, of all the pool's front ends."""

    def watched_blocks(self, chain: str) -> list[FoundBlock]: ...

    def newest_mature(self, chain: str) -> FoundBlock | None: ...

    def credit(
        self,
        block: FoundBlock,
        height: int,
        confirmations: int,
        reward: int,
        terms: ChainTerms,
        now_ms: int,
        place: Place | None = None,
    ) -> Split | None: ...

    def confirm(self, confirmations: Mapping[int, int], now_ms: int) -> None: ...

    def mature(self, block: FoundBlock, confirmations: int, now_ms: int) -> None: ...

    def orphan(self, block: FoundBlock, now_ms: int) -> None: ...

    def reinstate(self, block: FoundBlock, confirmations: int, now_ms: int) -> bool: ...

    def lose(self, block: FoundBlock, now_ms: int) -> None: ...

    def find(self, block: FoundBlock, confirmations: int, now_ms: int) -> bool: ...

    def retire(self, block: FoundBlock, now_ms: int) -> None: ...
