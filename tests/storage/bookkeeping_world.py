"""A pool without miners or nodes: chains one can move by hand, and the real books over them."""

from __future__ import annotations

import bisect
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import select
from storage_samples import block_hash_hex, logged, solution

from chains.kind import BlockStatus
from pool.accounting.found_block import ChainTerms
from pool.blocks.solution_store import SolutionStore
from pool.services.bookkeeping import Bookkeeping
from pool.services.log_ingest import LogIngest
from pool.shares.record import LoggedShare, Position, Route, ShareRun, run_of
from pool.storage import ledger_store
from pool.storage.books import SqlBooks
from pool.storage.database import Database
from pool.storage.tables import accounts, balances, blocks, credits, shares, transfer_groups

CHAINS = ("regbtc", "alpha", "beta")
TERMS = {chain: ChainTerms(fee_ppm=10_000, factor=2, window_min_s=0, maturity=3) for chain in CHAINS}


class FakeChain:
    """A chain as a synced node shows it: block hash by height, and what is known beside it."""

    votes = False

    def __init__(self) -> None:
        self.main: dict[int, str] = {}
        self.beside: dict[str, int] = {}
        self.rewards: dict[str, int] = {}
        self.tip_height: int | None = 0
        self.synced = True
        self.away = False

    def mine(self, number: int, height: int, reward: int = 1000) -> None:
        """A block enters the main chain at a height, in place of the one that was there."""
        if height in self.main:
            self.beside[self.main[height]] = height
        self.main[height] = block_hash_hex(number)
        self.beside.pop(block_hash_hex(number), None)
        self.rewards[block_hash_hex(number)] = reward
        self.tip_height = max(self.tip_height or 0, height)

    def forget(self, number: int) -> None:
        """The node never heard of the block; somebody else's is at its height."""
        height = next(height for height, name in self.main.items() if name == block_hash_hex(number))
        self.main[height] = "other"

    def advance(self, count: int) -> None:
        assert self.tip_height is not None
        self.tip_height += count

    async def block_status(self, hash_hex: str) -> BlockStatus:
        if self.away:
            raise ConnectionError("node is away")
        assert self.tip_height is not None
        for height, name in self.main.items():
            if name == hash_hex:
                return BlockStatus(True, self.tip_height - height + 1, height)
        if hash_hex in self.beside:
            return BlockStatus(True, -1, self.beside[hash_hex])
        return BlockStatus(False)

    async def block_reward(self, hash_hex: str) -> int:
        if self.away:
            raise ConnectionError("node is away")
        return self.rewards[hash_hex]


class FakeLog:
    """A share log in memory; what was appended is durable at once."""

    def __init__(self) -> None:
        self.items: list[LoggedShare] = []
        self.durable_sequence = 0
        self.trimmed: list[Position] = []

    def append(self, sequence: int, route: Route, **options: Any) -> None:
        self.items.append(logged(sequence, route, **options))
        self.durable_sequence = sequence

    @property
    def appended_sequence(self) -> int:
        return self.durable_sequence

    def read_run(self, position: Position, limit: int) -> ShareRun | None:
        start = bisect.bisect_right([item.position for item in self.items], position)
        found = self.items[start : start + limit]
        return run_of(found) if found else None

    def trim(self, position: Position) -> int:
        self.trimmed.append(position)
        return 0


class World:
    """Log, solutions and chains in a folder, books in a database. `restart` forgets everything that is not on disk."""

    def __init__(self, folder: Path, url: str, database_type: type[Database] = Database, **options: Any) -> None:
        self.folder = folder
        self.url = url
        self.log = FakeLog()
        self.chains = {chain: FakeChain() for chain in CHAINS}
        self.now_ms = 10_000
        self._database_type = database_type
        self._options = options
        self.executor = ThreadPoolExecutor(1)
        self.open()

    def open(self) -> None:
        self.database = self._database_type(self.url, **self._options)
        self.solutions = SolutionStore(self.folder / "solutions")
        self.books = SqlBooks(self.database)
        self.ingest = LogIngest(self.log, self.solutions, self.books, lambda: self.now_ms)
        self.bookkeeping = Bookkeeping(
            self.ingest, self.books, self.chains, TERMS, self.executor, now_ms=lambda: self.now_ms
        )

    def restart(self) -> None:
        self.database.close()
        self.open()

    def close(self) -> None:
        self.executor.shutdown()
        self.database.close()

    def solve(self, chain: str, number: int, sequence: int, route: Route, state: str | None, **options: Any) -> None:
        """A share solves a block of height `number`; its submission is answered at once unless `state` is None."""
        solved = ((chain, bytes.fromhex(block_hash_hex(number))[::-1]),)
        self.log.append(sequence, route, solved=solved, stale=options.get("stale", False))
        self.solutions.put(solution(chain, number, sequence, **options))
        if state is not None:
            self.solutions.outcome(chain, block_hash_hex(number), state, "a reason")  # type: ignore[arg-type]

    async def settle(self) -> None:
        """Passes until nothing is left to do for what the chains show now."""
        for _ in range(3):
            await self.bookkeeping.step()

    def dump(self) -> dict[str, Any]:
        """Everything the books hold that does not depend on when it was written or which row number it got."""
        with self.database.read() as connection:
            names = {row.id: (row.chain, row.kind, row.address) for row in connection.execute(select(accounts))}
            hashes = {row.id: row.hash_hex for row in connection.execute(select(blocks.c.id, blocks.c.hash_hex))}
            columns = [c for c in blocks.c if c.name not in ("id", "updated_ms", "log_id")]

            def account(text: str) -> Any:
                parts = text.split(".")
                return (*names[int(parts[1])], parts[2]) if parts[0] == "liab" else text

            return {
                "shares": sorted(connection.execute(select(shares.c.sequence)).scalars()),
                "blocks": sorted((tuple(row) for row in connection.execute(select(*columns))), key=repr),
                "credits": sorted(
                    (hashes[row.block_id], *names[row.account_id], row.weight, row.amount)
                    for row in connection.execute(select(credits))
                ),
                "balances": sorted(
                    (
                        (row.chain, account(row.account), row.amount)
                        for row in connection.execute(select(balances))
                        if row.amount
                    ),
                    key=repr,
                ),
                "groups": sorted(connection.execute(select(transfer_groups.c.id)).scalars()),
                "audit": ledger_store.audit(connection),
                "position": self.books.position(),
            }

    def state(self, number: int) -> tuple[str, int | None, int | None]:
        """State, reward and fee of a block."""
        with self.database.read() as connection:
            query = select(blocks.c.state, blocks.c.reward, blocks.c.fee)
            return tuple(connection.execute(query.where(blocks.c.hash_hex == block_hash_hex(number))).one())  # type: ignore[return-value]

    def credits(self, number: int) -> dict[tuple[str, str], int]:
        """(kind, address) to amount of a block's credits."""
        with self.database.read() as connection:
            query = select(accounts.c.kind, accounts.c.address, credits.c.amount)
            query = query.join(accounts, accounts.c.id == credits.c.account_id)
            query = query.join(blocks, blocks.c.id == credits.c.block_id)
            rows = connection.execute(query.where(blocks.c.hash_hex == block_hash_hex(number)))
            return {(row.kind, row.address): row.amount for row in rows}

    def balances(self, chain: str) -> dict[str, int]:
        with self.database.read() as connection:
            return {name: amount for name, amount in ledger_store.chain_balances(connection, chain).items() if amount}
