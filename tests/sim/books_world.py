"""A pool's books in a folder: the real services, stores and database, over chains, a clock and a disk that are not.

`start` is what a process does when it begins; a crash ends it, and all that goes on is what was durable.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from sim_chain import SimChain, SimNode, watched
from sim_clock import InlineExecutor, VirtualLoop, virtual_time
from sim_disk import FaultyDisk
from sim_faults import Crash, Faults, InjectedError
from sim_oracle import AccountName, Model, Rules, ShareFact
from sim_votes import SimVoteChain, SimVoteNode
from sqlalchemy import Engine

from pool.accounting.found_block import ChainTerms
from pool.blocks.solution_store import SolutionStore
from pool.services import bookkeeping as bookkeeping_module
from pool.services import log_ingest as log_ingest_module
from pool.services.bookkeeping import Bookkeeping
from pool.services.chain_view import ChainNodesView
from pool.services.followed_chain import ChainAwayError
from pool.services.log_ingest import LogIngest
from pool.shares import disk_thread as disk_thread_module
from pool.shares.record import AccountKey, Route
from pool.shares.share_log import ShareLog
from pool.storage.books import SqlBooks
from pool.storage.database import Database, open_engine, sqlite_url, upgrade

CHAINS = ("parent", "aux")
MEMORY = Path("/dev/shm")
SHARED = "PARAPOOL_SIM_FOLDER"


@contextmanager
def shared_folder() -> Iterator[str]:
    """A folder for the processes of many runs, on a file system in memory where there is one; removed afterwards."""
    with TemporaryDirectory(prefix="parapool-sim-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield folder


def work_in(folder: str) -> None:
    """What a process of many does first: its own folder is in the one they share."""
    os.environ[SHARED] = folder


@cache
def memory_folder() -> Path:
    """This process's folder; removed with the shared one, or when the process ends."""
    shared = os.environ.get(SHARED) or (str(MEMORY) if MEMORY.is_dir() else None)
    folder = mkdtemp(prefix="parapool-sim-", dir=shared)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@cache
def engine_of(url: str) -> Engine:
    """The product's engine. Runs of one process share it, for what it has compiled; no connection outlives a run."""
    return open_engine(url)


@cache
def empty_database() -> bytes:
    """A database of the newest schema, made once per process."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "pool.db"
        upgrade(sqlite_url(path))
        return path.read_bytes()


class FaultyDatabase(Database):
    """Commits that fail, and commits that happen without anybody being told."""

    def __init__(self, url: str, faults: Faults) -> None:
        self.engine = engine_of(url)
        self._read_only = self._is_postgresql = False
        self._faults = faults

    @contextmanager
    def read(self) -> Iterator[Any]:
        self._faults.point("sql.read")
        with super().read() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Any]:
        self._faults.point("sql.begin")
        with super().write() as connection:
            yield connection
            self._faults.point("sql.commit.before")
        self._faults.point("sql.commit.after")


class WatchedBookkeeping(Bookkeeping):
    """Remembers what its loops would only log: whatever was not injected is a defect."""

    unexpected: list[Exception]

    def _report(self, name: str, error: Exception) -> None:
        if not isinstance(error, ChainAwayError) and "injected" not in str(error):
            self.unexpected.append(error)
        super()._report(name, error)


@dataclass(slots=True)
class Life:
    """What a process has in memory."""

    database: FaultyDatabase
    solutions: SolutionStore
    log: ShareLog
    books: SqlBooks
    bookkeeping: WatchedBookkeeping
    task: asyncio.Task[None]


class BooksWorld:
    """One run. Everything is decided by `random`."""

    def __init__(
        self, loop: VirtualLoop, random: Random, faults: Faults, folder: Path, voting: frozenset[str] = frozenset()
    ) -> None:
        """`voting` are the chains whose blocks are made of votes."""
        self.voting = voting
        self.loop = loop
        self.random = random
        self.faults = faults
        self.folder = folder
        self.disk = FaultyDisk(Random(random.getrandbits(32)), faults)
        self.path = folder / "pool.db"
        self.path.write_bytes(empty_database())
        self.unexpected: list[Exception] = []
        self.lives = 0
        self.life: Life | None = None
        self._headers = 0
        self._unanswered: list[ShareFact] = []

        self.chains: dict[str, SimChain] = {}
        self.watched: dict[str, Any] = {}
        self.terms: dict[str, ChainTerms] = {}
        rules: dict[str, Rules] = {}
        for name in CHAINS:
            maturity = random.randint(3, 5)
            votes = name in voting
            made = SimVoteChain if votes else SimChain
            chain = self.chains[name] = made(name, Random(random.getrandbits(32)), maturity)
            number, node = random.randint(1, 2), SimVoteNode if votes else SimNode
            nodes = [node(f"{name}{i}", chain, Random(random.getrandbits(32)), faults) for i in range(number)]
            self.watched[name] = watched(chain, nodes, "bk" if votes else "sim")
            fee_ppm = random.choice((0, 10_000, 33_333, 999_999))
            factor = random.choice((Fraction(1), Fraction(2), Fraction(1, 2), Fraction(7, 3)))
            window_min_s = random.choice((0, 0, 5, 60))
            self.terms[name] = ChainTerms(fee_ppm, factor, window_min_s, maturity)
            rules[name] = Rules(fee_ppm, factor, window_min_s * 1000, maturity)
        self.routes = [self._route(number) for number in range(random.randint(1, 5))]
        self.model = Model(rules, {route.digest: self._earners(route) for route in self.routes})

    # -- the process ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts until it stays up: a process may die while it starts as well."""
        while self.life is None:
            self.lives += 1
            self.faults.dead = False
            try:
                self.life = self._open()
            except Crash:
                self._after_crash()
            except InjectedError:
                self.disk.crash()  # said what is wrong and ended; somebody starts it again
            except OSError as error:
                if "injected" not in str(error):
                    raise
                self.disk.crash()

    def _open(self) -> Life:
        database = FaultyDatabase(sqlite_url(self.path), self.faults)
        database.close()
        solutions = SolutionStore(self.folder / "solutions")
        books = SqlBooks(database, "main")
        log = ShareLog(
            self.folder / "shares",
            loop=self.loop,
            on_durable=lambda sequence: None,
            on_error=lambda error: None,
            interval_s=0.0,
            segment_bytes=self.random.choice((300, 2000, 1 << 20)),
            consumed=books.position(),
            open_file=self.disk.open_segment,
            wall_s=lambda: self.loop.wall_ms() / 1000,
        )
        views = {name: ChainNodesView(chain) for name, chain in self.watched.items()}
        bookkeeping = WatchedBookkeeping(
            LogIngest(log, solutions, books, self.loop.wall_ms), books, views, self.terms, InlineExecutor(),
            now_ms=self.loop.wall_ms, interval_s=self.random.choice((3.0, 8.0)),
        )  # fmt: skip
        bookkeeping.unexpected = self.unexpected
        return Life(database, solutions, log, books, bookkeeping, self.loop.create_task(bookkeeping.run()))

    async def sleep(self, seconds: float) -> None:
        """Lets the process work; raises Crash if it died meanwhile."""
        assert self.life is not None
        done, _ = await asyncio.wait({self.life.task}, timeout=seconds)
        if self.faults.dead:
            raise Crash(self.faults.last_crash)
        if done:
            raise AssertionError("the books ended by themselves") from self.life.task.exception()

    async def bury(self) -> None:
        """The process is dead: whatever of it still runs here ends, and the disk forgets."""
        life, self.life = self.life, None
        self.faults.dead = True
        if life is not None:
            life.task.cancel()
            await asyncio.gather(life.task, return_exceptions=True)
            life.database.close()
        self._after_crash()

    def _after_crash(self) -> None:
        self.disk.crash()
        self._unanswered.clear()
        self.faults.dead = False

    async def stop_loops(self) -> None:
        """Ends the loops without a crash, so that `step` can be called."""
        assert self.life is not None
        self.life.task.cancel()
        await asyncio.gather(self.life.task, return_exceptions=True)

    # -- mining --------------------------------------------------------------------------------------------------------

    def share(self, solved: tuple[tuple[str, str], ...] = (), stale: bool = False) -> tuple[Route, ShareFact]:
        """A miner's share goes into the log; it is answered when it is durable."""
        random = self.random
        route = random.choice(self.routes)
        aux = random.random() < 0.8 or any(chain == "aux" for chain, _ in solved)
        self._headers += 1
        header_hash = self._headers.to_bytes(32, "little")
        words = tuple(self._word(chain) for chain in (CHAINS if aux else CHAINS[:1]))
        return route, self._append(route, random.randint(1, 100), words, header_hash, stale, solved)

    def _word(self, chain: str) -> str:
        """How a share counts for a chain: mostly for its windows, sometimes for its miner alone, or it is bought."""
        return chain + self.random.choices(("", ":solo", ":pps:5000000000:700:10000"), (16, 3, 2))[0]

    def repeat_share(self) -> None:
        """The log gets a share that it had before: the miner sent it again, and nobody remembered."""
        facts = list(self.model.shares.values())
        if facts:
            fact = self.random.choice(facts)
            route = next(route for route in self.routes if route.digest == fact.route)
            self._append(route, fact.weight, fact.words, fact.header_hash, False, ())

    def _append(
        self,
        route: Route,
        weight: int,
        words: tuple[str, ...],
        header_hash: bytes,
        stale: bool,
        solved: tuple[tuple[str, str], ...],
    ) -> ShareFact:
        assert self.life is not None
        time_ms = self.loop.wall_ms()
        raw = tuple((chain, bytes.fromhex(name)[::-1]) for chain, name in solved)
        sequence = self.life.log.append(route, "rig", time_ms, weight, words, header_hash, stale, raw)
        fact = ShareFact(sequence, time_ms, route.digest, weight, words, header_hash, stale, solved)
        self.model.shares[sequence] = fact
        self._unanswered.append(fact)
        return fact

    def commit_shares(self) -> None:
        """The log's writer does its work, and what became durable is answered. A disk that fails ends the process."""
        assert self.life is not None
        log = self.life.log
        try:
            log._hand_over()  # the loop would, at the end of its turn
            while log.pending:
                log._disk._commit()
                log._look()  # as the thread would have it
        except InjectedError:
            self.faults.die("log failed")
        for fact in self._unanswered:
            fact.answered = True
        self._unanswered.clear()

    # -- logins --------------------------------------------------------------------------------------------------------

    def _route(self, number: int) -> Route:
        """Some give an address for every chain, some leave the child to be held, some logged in before it was there."""
        parent = AccountKey("miner", f"00{number:02x}", f"P{number}")
        accounts = {"parent": parent}
        kind = self.random.randrange(3)
        if kind == 0:
            accounts["aux"] = AccountKey("miner", f"aa{number % 2:02x}", f"A{number % 2}")
        elif kind == 1:
            accounts["aux"] = AccountKey("held", parent.script_hex, parent.address)
        return Route(bytes([number]) * 16, parent.address, accounts)

    def _earners(self, route: Route) -> dict[str, AccountName]:
        parent = route.accounts["parent"]
        held = AccountName("held", parent.script_hex)
        aux = route.accounts.get("aux")
        return {
            "parent": AccountName(parent.kind, parent.script_hex),
            "aux": held if aux is None else AccountName(aux.kind, aux.script_hex),
        }


@contextmanager
def books_world(
    loop: VirtualLoop, random: Random, faults: Faults, voting: frozenset[str] = frozenset()
) -> Iterator[BooksWorld]:
    """A world in a folder of its own, with the product's clocks and files replaced."""
    folder = memory_folder()
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    world = BooksWorld(loop, random, faults, folder, voting)
    with ExitStack() as stack:
        stack.enter_context(virtual_time(loop, bookkeeping_module, log_ingest_module, disk_thread_module))
        stack.enter_context(world.disk.installed())
        yield world

