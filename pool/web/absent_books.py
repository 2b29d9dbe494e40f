"""What a front end without a database says when it is asked about the books."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from pool.accounting.books_away import BooksAwayError


class AbsentBooks:
    """Implements pool.web.api.Books and miner_api.MinerBooks: every answer is that the books are elsewhere."""

    async def pool_overview(self, now_ms: int, started_ms: int) -> Mapping[str, Any]:
        _elsewhere()

    async def pool_hashrates(self, now_ms: int) -> Mapping[str, Any]:
        _elsewhere()

    async def chain_blocks(
        self, chain: str | None, cursor: str | None, limit: int, among: Collection[str] | None = None
    ) -> Mapping[str, Any]:
        _elsewhere()

    async def block_with_credits(
        self, chain: str, hash_hex: str, cursor: str | None, limit: int
    ) -> Mapping[str, Any] | None:
        _elsewhere()

    async def miner(self, address: str, now_ms: int, started_ms: int) -> Mapping[str, Any] | None:
        _elsewhere()

    async def seen(self, address: str, now_ms: int) -> Mapping[str, Any]:
        _elsewhere()

    async def hashrates(self, address: str, now_ms: int) -> Mapping[str, Any] | None:
        _elsewhere()

    async def payments(self, address: str, cursor: str | None, limit: int) -> Mapping[str, Any] | None:
        _elsewhere()

    async def payout_facts(self, address: str, now_ms: int) -> Mapping[str, Any]:
        _elsewhere()


def _elsewhere() -> NoReturn:
    raise BooksAwayError("this front end keeps no books, the accountant does")
