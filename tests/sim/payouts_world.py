"""One chain's payer with its books, payout file and wallet; the wallet answers late, wrongly, twice or never.

Payers are processes: each has the lock, the file and what it remembers. Two of them may be at work at once, when the
older one lost its lock and does not know.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import os
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest.mock import patch

from books_world import FaultyDatabase, empty_database, memory_folder
from sim_clock import VirtualLoop
from sim_disk import disk_error
from sim_faults import Crash, Faults, InjectedError
from sqlalchemy import insert, select
from support.fake_account import FakeAccountWallet
from support.fake_wallet import FakeWallet
from support.payout_world import ACCOUNT_TERMS, CHAIN, _account, _add_block, make_terms, script_of

from chains.accounts.coins import Spend
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.wallet import Coin, Outpoint, SendAnswer, Tip, Turn, WalletRefusedError, WalletTransaction
from pool.accounting.books_away import BooksAwayError
from pool.ledger import income
from pool.payouts.batch import BatchEvent, FeePolicy
from pool.payouts.standing import FencedError, OtherPayerError
from pool.services.payout_run import PayoutRun
from pool.storage import block_losses, block_store, ledger_store, payout_file
from pool.storage.database import sqlite_url
from pool.storage.payer_lock import PayerLock
from pool.storage.payout_file import PayoutFile
from pool.storage.payout_spends import AccountSpends
from pool.storage.payout_store import SqlPayouts
from pool.storage.tables import blocks, share_logs

T = TypeVar("T")
EXPECTED = (NodeUnavailableError, WalletRefusedError, BooksAwayError, InjectedError, OSError, FencedError)
"""What may end a pass: the world is like that. Anything else is a defect."""


LOST_SENDS = 0.3
"""So many broadcasts get no answer, half of them although they were taken; in runs that have faults at all."""


class SimWallet:
    """chains/wallet.py over the fake wallet's chain: a point before and after each effect, and time that passes."""

    def __init__(self, inner: FakeWallet | FakeAccountWallet, random: Random, faults: Faults) -> None:
        self.chain = inner.chain
        self.inner = inner
        self.slow_s = 0.0
        self.late: list[bytes] = []
        self._random = random
        self._faults = faults

    async def _call(self, name: str, effect: Callable[[], Awaitable[T]]) -> T:
        no = WalletRefusedError if self._random.random() < 0.3 else NodeUnavailableError
        self._faults.point(f"rpc.{name}.before", no)
        await self._pass_time()
        answer = await effect()
        await self._pass_time()
        self._faults.point(f"rpc.{name}.after", NodeUnavailableError)
        return answer

    async def _pass_time(self) -> None:
        if self.slow_s:
            await asyncio.sleep(self._random.random() * self.slow_s)

    async def tip(self) -> Tip:
        return await self._call("tip", self.inner.tip)

    async def coins(self) -> list[Coin]:
        return await self._call("coins", self.inner.coins)

    async def is_ours(self, script: bytes) -> bool:
        return script[:3] == b"\x00\x14\xee"

    async def has_sent(self) -> bool:
        return await self.inner.has_sent()

    async def is_unspent(self, outpoint: Outpoint) -> bool:
        return await self._call("is_unspent", lambda: self.inner.is_unspent(outpoint))

    async def sign(self, unsigned: bytes, coins: Sequence[Coin]) -> bytes:
        return await self._call("sign", lambda: self.inner.sign(unsigned, coins))

    async def accepts(self, raw: bytes) -> str | None:
        return await self._call("accepts", lambda: self.inner.accepts(raw))

    async def broadcast(self, raw: bytes) -> SendAnswer:
        """Whatever was handed over may arrive once more at any later time, or only then. Requests and answers are lost
        more often here than elsewhere: what follows then is what payouts stand or fall by.
        """
        self.late.append(raw)
        if self._faults.crash_rate + self._faults.error_rate and self._faults.armed:
            lot = self._random.random()
            if lot < LOST_SENDS:
                if lot < LOST_SENDS / 2:
                    self.deliver(raw)
                raise NodeUnavailableError("injected: the answer to a broadcast is lost")
        return await self._call("broadcast", lambda: self.inner.broadcast(raw))

    def deliver(self, raw: bytes) -> None:
        """Bytes that were once sent reach the node, whatever it says of them."""
        with suppress(RpcError):
            self.inner.deliver(raw)

    async def transaction(self, txid: bytes) -> WalletTransaction | None:
        return await self._call("transaction", lambda: self.inner.transaction(txid))

    async def transactions_since(self, height: int) -> list[WalletTransaction]:
        return await self._call("transactions_since", lambda: self.inner.transactions_since(height))

    async def fee_rate(self, target_blocks: int) -> int | None:
        return await self._call("fee_rate", lambda: self.inner.fee_rate(target_blocks))

    async def change_script(self) -> bytes:
        return await self._call("change_script", self.inner.change_script)

    async def turn(self) -> Turn | None:
        return await self._call("turn", self.inner.turn)


class PayoutDisk:
    """The payout file's `os`: a crash takes back what was not synced, down to any byte of it."""

    def __init__(self, random: Random, faults: Faults) -> None:
        self._random = random
        self._faults = faults
        self._synced: dict[str, int] = {}

    def write(self, descriptor: int, data: bytes) -> int:
        self._faults.point("file.write.before", disk_error)
        path = _path_of(descriptor)
        self._synced.setdefault(path, os.fstat(descriptor).st_size)
        return os.write(descriptor, data)

    def fdatasync(self, descriptor: int) -> None:
        self._faults.point("file.sync.before", disk_error)
        self._synced[_path_of(descriptor)] = os.fstat(descriptor).st_size
        self._faults.point("file.sync.after", disk_error)

    def crash(self) -> None:
        for path, synced in self._synced.items():
            size = os.path.getsize(path)
            if size > synced:
                os.truncate(path, self._random.randint(synced, size))
        self._synced.clear()

    @contextmanager
    def installed(self) -> Iterator[None]:
        names = ("open", "close", "fstat", "ftruncate", "fsync", "O_RDWR", "O_RDONLY", "O_CREAT", "O_APPEND")
        names = (*names, "O_DIRECTORY")
        shim = SimpleNamespace(**{n: getattr(os, n) for n in names}, write=self.write, fdatasync=self.fdatasync)
        with patch.object(payout_file, "os", shim):
            yield


def _path_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


@dataclass(slots=True)
class Income:
    """A block of ours as it was credited: so the books get it again after a restore."""

    hash_hex: str
    height: int
    owed: dict[int, int]
    fee: int

    @property
    def total(self) -> int:
        return sum(self.owed.values()) + self.fee


@dataclass(slots=True)
class Payer:
    """A process that pays. `pass_` is the pass that is under way."""

    database: FaultyDatabase
    lock: PayerLock
    books: SqlPayouts
    run: PayoutRun
    pass_: asyncio.Task[None] | None = None


class PayoutsWorld:
    """One run's world. `payer` is the present process; `ghosts` are older ones that lost their lock. With `account` the
    wallet is an account of a chain whose node speaks as one of the two kinds."""

    def __init__(
        self, loop: VirtualLoop, random: Random, faults: Faults, folder: Path, *, account: bool = False
    ) -> None:
        self.loop = loop
        self.random = random
        self.faults = faults
        self.folder = folder
        self.disk = PayoutDisk(Random(random.getrandbits(32)), faults)
        self.payer: Payer | None = None
        self.ghosts: list[Payer] = []
        self.incomes: list[Income] = []
        self.lives = 0
        self.terms = make_terms(
            maturity=6,
            confirmations=random.choice((1, 2, 3)),
            interval_ms=random.choice((60_000, 3_600_000)),
            fee_policy=random.choice((FeePolicy.POOL, FeePolicy.MINER)),
            consolidate_above=random.choice((2, 5, 500)),
            max_fee_ppm=100_000,
            max_outputs=random.choice((2, 1000)),
            max_inputs=random.choice((3, 600)),
            coin_confirmations=random.choice((1, 2)),
        )
        self.chain: Any = FakeWallet(CHAIN, maturity=self.terms.maturity)
        if account:
            self.terms = dataclasses.replace(self.terms, **ACCOUNT_TERMS)
            name = random.choice((None, "beta"))
            self.chain = FakeAccountWallet(CHAIN, maturity=self.terms.maturity, chain_name=name)
            self.chain.node_point = lambda at: faults.point(f"node.{at}", NodeUnavailableError)
            self.chain.spends = self._ask_spends
        self.wallet = SimWallet(self.chain, Random(random.getrandbits(32)), faults)
        self.path = folder / "pool.db"
        self.path.write_bytes(empty_database())
        self._ids = itertools.count(1)
        self.chain.mine(1)
        engine_closed = self._database()
        engine_closed.close()
        log = {"name": "main", "segment": 0, "byte_offset": 0, "sequence": 0, "updated_ms": 0}
        with self._database().write() as connection:
            connection.execute(insert(share_logs).values(**log))

    def _database(self) -> FaultyDatabase:
        return FaultyDatabase(sqlite_url(self.path), self.faults)

    # -- processes -----------------------------------------------------------------------------------------------------

    def start(self) -> Payer:
        """The present payer; a process may die while it starts as well."""
        while self.payer is None:
            self.lives += 1
            try:
                self.payer = self._open()
            except Crash:
                self.bury()
            except EXPECTED as error:
                if not is_injected(error):
                    raise
        return self.payer

    def _open(self) -> Payer:
        database = self._database()
        lock = PayerLock(database, CHAIN, f"life {self.lives}", self.loop.wall_ms())
        try:
            file = PayoutFile(self.folder / "payouts" / f"{CHAIN}.hex")
        except BaseException:
            lock.close()
            raise
        books = SqlPayouts(database, lock, file)
        run = PayoutRun(
            self.wallet, books, self.terms, self._in_thread, now_ms=self.loop.wall_ms, new_id=self.new_id
        )
        return Payer(database, lock, books, run)

    async def _ask_spends(self) -> Mapping[bytes, Spend]:
        assert self.payer is not None
        return AccountSpends(self.payer.database, CHAIN)()

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return call(*arguments)

    def new_id(self) -> str:
        return f"id{next(self._ids)}"

    def end(self, payer: Payer) -> None:
        """This process is no more."""
        if payer.pass_ is not None:
            payer.pass_.cancel()
        payer.books.close()

    def bury(self) -> None:
        """The machine went down, and every process with it."""
        for payer in (self.payer, *self.ghosts):
            if payer is not None:
                self.end(payer)
        self.payer, self.ghosts = None, []
        self._database().close()
        self.disk.crash()
        self.faults.dead = False

    def usurp(self) -> None:
        """The present payer's lock is lost without its noticing, and another process takes over."""
        if self.payer is not None and self.payer.lock._file is not None:
            self.payer.lock._file.close()
            self.payer.lock._file = (self.folder / "nobody's").open("w")  # it still looks held from inside
            self.ghosts.append(self.payer)
            self.payer = None

    def restore(self, backup: bytes) -> None:
        """The books come from a backup; blocks and shares, which other parts keep, are credited again."""
        self.bury()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        self.path.write_bytes(backup)
        armed, self.faults.armed = self.faults.armed, False
        for one in self.incomes:
            self._credit(one)
        self.faults.armed = armed

    def copy(self) -> bytes:
        """A backup of the books as they are."""
        connection = sqlite3.connect(self.path)
        try:
            return connection.serialize()
        finally:
            connection.close()

    # -- income --------------------------------------------------------------------------------------------------------

    def owe(self, amounts: dict[int, int], fee: int) -> None:
        """A block of ours matures: the wallet spends its coins from now on, and its credits are available."""
        hash_hex = self.chain.mine(1, reward=sum(amounts.values()) + fee)
        one = Income(hash_hex, self.chain.height, amounts, fee)
        self.chain.mine(self.terms.maturity)
        self.incomes.append(one)
        armed, self.faults.armed = self.faults.armed, False
        self._credit(one)
        self.faults.armed = armed

    def _credit(self, one: Income) -> None:
        """What the books of blocks do, at once and only if it is not done."""
        now_ms = self.loop.wall_ms()
        with self._database().write() as connection:
            query = select(blocks.c.id).where(blocks.c.hash_hex == one.hash_hex)
            if connection.execute(query).first() is not None:
                return
            owed = {_account(connection, number): amount for number, amount in one.owed.items()}
            credit = income.credit(CHAIN, one.hash_hex, income=one.total, fee=one.fee, amounts=owed)
            ledger_store.post(connection, credit, now_ms)
            mature = income.mature(CHAIN, one.hash_hex, income=one.total, amounts=owed)
            ledger_store.post(connection, mature, now_ms)
            _add_block(connection, one.hash_hex, one.height, one.total, one.fee, owed)

    def book_losses(self, absorb: bool) -> None:
        """What the books of blocks do when a reorg took a final block: it is lost, and perhaps the operator bears it.
        """
        there = {self.chain.hash_at(height) for height in range(self.chain.height + 1)}
        now_ms = self.loop.wall_ms()
        armed, self.faults.armed = self.faults.armed, False
        with self._database().write() as connection:
            for one in self.incomes:
                if one.hash_hex in there:
                    continue
                block_id = connection.execute(select(blocks.c.id).where(blocks.c.hash_hex == one.hash_hex)).scalar_one()
                block_losses.lose(connection, block_store.find(connection, block_id), now_ms)
                if absorb:
                    block_losses.absorb(connection, CHAIN, one.hash_hex, now_ms)
        self.faults.armed = armed


def is_injected(error: BaseException) -> bool:
    """Whether the simulator made this error, or it is one that a healthy world has."""
    if isinstance(error, FencedError | OtherPayerError):
        return True
    return isinstance(error, EXPECTED) and ("injected" in str(error) or "not synced" in str(error))


@contextmanager
def payouts_world(
    loop: VirtualLoop, random: Random, faults: Faults, *, account: bool = False
) -> Iterator[PayoutsWorld]:
    """A world in this process's folder, emptied first."""
    folder = memory_folder()
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    world = PayoutsWorld(loop, random, faults, folder, account=account)
    with world.disk.installed():
        try:
            yield world
        finally:
            world.bury()


__all__ = ["CHAIN", "BatchEvent", "PayoutsWorld", "payouts_world", "script_of"]
