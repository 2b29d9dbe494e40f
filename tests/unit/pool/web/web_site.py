"""What the web tests ask: a server over real books with two chains, three miners, a mature, an immature and a rejected
block."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry, Counter
from yarl import URL

from chains.families import network
from chains.primitives.address import script_to_address
from pool.accounting.found_block import ChainTerms
from pool.blocks.solution_store import SolutionRecord
from pool.shares.record import LoggedShare, Position, ShareRecord
from pool.shares.route import route_login
from pool.storage import miner_views, views
from pool.storage.books import SqlBooks
from pool.storage.database import Database, sqlite_url, upgrade
from pool.storage.pool_hashrates import PoolHashrates
from pool.storage.recent_shares import RecentShares
from pool.web.api import ChainStatus, wall_ms
from pool.web.server import WebServer
from stratum.words import parse_login

NETWORK = network("devnet", "regtest")
NETWORKS = {"regbtc": NETWORK, "alpha": NETWORK}
TARGET = 2**255 - 1
TERMS = ChainTerms(fee_ppm=10_000, factor=2, window_min_s=3600, maturity=10)


def address_of(name: str) -> str:
    address = script_to_address(b"\x00\x14" + name.encode().ljust(20, b"."), NETWORK.addresses)
    assert address is not None
    return address


ADA, BOB, CLEO, ADA_ALPHA = (address_of(name) for name in ("ada", "bob", "cleo", "ada on alpha"))


UP_S = 180
"""How long the pool has been up: longer ago than the first share, however slow the machine fills the database."""


@dataclass
class Live:
    name: str = "devnet <&>"
    started_ms: int = field(default_factory=lambda: wall_ms() - UP_S * 1000)
    parent: str = "regbtc"
    algorithm: str = "sha256d"
    fee_ppm: int = 10_000
    stratum_urls: tuple[str, ...] = ("stratum+tcp://127.0.0.1:3333",)
    accepting: bool = True
    draining: bool = False
    connections: int = 2
    workers: int = 3
    shares_accepted: int = 40
    accepted_work: int = 2**70
    shares_rejected: dict[str, int] = field(default_factory=lambda: {"stale": 1})
    jobs_sent: int = 9
    books_lag_s: float = 0.5
    states: dict[str, str] = field(default_factory=lambda: {"regbtc": "ok", "alpha": "syncing"})

    def chains(self) -> list[ChainStatus]:
        return [
            ChainStatus("regbtc", "bitcoin", 12, 2**224, self.states["regbtc"], True),
            ChainStatus("alpha", "mm2", None, None, self.states["alpha"], False),
        ]


class BooksInThread:
    """The books as the wiring hands them in: each question in a thread, over a connection of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def _ask(self, question: Callable[..., Any], *words: Any) -> Any:
        def read() -> Any:
            with self.database.read() as connection:
                return question(connection, *words)

        return await asyncio.to_thread(read)

    async def pool_overview(self, now_ms: int, started_ms: int) -> Any:
        return await self._ask(views.pool_overview, now_ms, started_ms)

    async def pool_hashrates(self, now_ms: int) -> Any:
        return await self._ask(PoolHashrates(RecentShares()).series, now_ms)

    async def chain_blocks(self, chain: str | None, cursor: str | None, limit: int, among: Any = None) -> Any:
        return await self._ask(views.chain_blocks, chain, cursor, limit, among)

    async def block_with_credits(self, chain: str, hash_hex: str, cursor: str | None, limit: int) -> Any:
        return await self._ask(views.block_with_credits, chain, hash_hex, cursor, limit)

    async def miner(self, address: str, now_ms: int, started_ms: int) -> Any:
        return await self._ask(views.miner, address, now_ms, started_ms)

    async def seen(self, address: str, now_ms: int) -> Any:
        return await self._ask(miner_views.seen, address, now_ms)

    async def hashrates(self, address: str, now_ms: int) -> Any:
        return await self._ask(miner_views.hashrates, address, now_ms)

    async def payments(self, address: str, cursor: str | None, limit: int) -> Any:
        return await self._ask(miner_views.payments, address, cursor, limit)

    async def payout_facts(self, address: str, now_ms: int) -> Any:
        return await self._ask(miner_views.payout_facts, address, now_ms)


def filled_database(path: Path) -> Database:
    upgrade(sqlite_url(path))
    database = Database(sqlite_url(path))
    books = SqlBooks(database)
    now_ms = wall_ms()
    logins = (f"{ADA}+alpha={ADA_ALPHA}.rig", f"{BOB}.hut", f"{CLEO}+alpha=same.x", f"{ADA}+alpha={ADA_ALPHA}.rig")
    shares = []
    for number, login in enumerate(logins, 1):
        routed = route_login(parse_login(login), {}, NETWORKS, "regbtc")
        record = ShareRecord(
            sequence=number, time_ms=now_ms - 60_000 + number, route=routed.route.digest, worker=routed.worker,
            weight=1000 * number, chains=("regbtc", "alpha"), header_hash=bytes([number]) * 32, stale=False, solved=(),
        )
        shares.append(LoggedShare(Position(1, number), record, routed.route))
    books.store_shares(shares, Position(1, 9), now_ms)
    for chain, digit, state in (("regbtc", "1", "submitted"), ("alpha", "2", "submitted"), ("alpha", "3", "rejected")):
        solution = SolutionRecord(
            chain=chain, block_hash_hex=digit * 64, height=10 + int(digit), payload={}, nodes=["n"], share_sequence=4,
            found_ms=now_ms - 50_000, reward_hint=None, stale=False, target_hex=f"{TARGET:064x}", share_weight=4000,
        )
        books.book_solution(solution, state, "high-hash at http://10.0.0.7:8332" if state == "rejected" else "", now_ms)
    for chain, reward, is_mature in (("regbtc", 5_000_000_007, True), ("alpha", 1_000_000_001, False)):
        block = next(b for b in books.watched_blocks(chain) if b.state == "submitted")
        books.credit(block, block.height, 1, reward, TERMS, now_ms)
        if is_mature:
            books.mature(next(b for b in books.watched_blocks(chain) if b.state == "immature"), 10, now_ms)
    return database


def counted_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("parapool_shares", "Submissions answered.", ["result"], registry=registry).labels("accepted").inc(40)
    return registry


@dataclass
class Site:
    """The server, what it was made of, and a client."""

    server: WebServer
    live: Live
    session: aiohttp.ClientSession

    async def ask(self, path: str, method: str = "GET") -> tuple[int, Any]:
        """Status and JSON (or text) of an answer; the path is sent as it stands."""
        async with self.session.request(method, self.url(path), allow_redirects=False) as answer:
            text = await answer.text()
            return answer.status, await answer.json() if answer.content_type == "application/json" and text else text

    def url(self, path: str) -> URL:
        return URL(f"http://127.0.0.1:{self.server.port}{path}", encoded=True)
