"""One chain with books, wallet, payout file and payer, moved by hand. `restart` forgets all that is not on disk.

At each point (a commit, an fsync, a call to the wallet) something can happen: see `Fault`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, func, insert, select, update

from chains.families import network
from chains.node_rpc import NodeUnavailableError
from chains.primitives.address import script_to_address
from chains.wallet import SendAnswer, WalletRefusedError
from pool.accounting.books_away import BooksAwayError
from pool.ledger import income
from pool.ledger.account import ASSET_WALLET, available, reserved
from pool.payouts.batch import Batch
from pool.payouts.standing import Hold
from pool.payouts.terms import ACCOUNT_MAX_INPUTS, DustRule, PayoutTerms
from pool.services.payout_run import PayoutRun
from pool.storage import ledger_store
from pool.storage.database import Database
from pool.storage.payer_lock import PayerLock
from pool.storage.payout_file import PayoutFile
from pool.storage.payout_rows import latest
from pool.storage.payout_spends import AccountSpends
from pool.storage.payout_store import SqlPayouts
from pool.storage.payout_tables import payouts
from pool.storage.scheme_tables import income_events
from pool.storage.tables import accounts, blocks, credits, share_logs
from support.fake_account import FakeAccountWallet
from support.fake_wallet import FakeWallet

FORM = network("bitcoin", "regtest").addresses
CHAIN = "alpha"
WRITES = (
    "plan", "quarantine", "build", "replan", "sign", "replace", "end_bump", "file", "attempt", "seen", "move", "retire",
    "enter", "hold",
)  # fmt: skip


class Crash(BaseException):
    """The process is gone."""


class Fault(StrEnum):
    """What happens at a point."""

    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    LOST_BEFORE = "the request is lost"
    LOST_AFTER = "the answer is lost"
    ERROR = "an error is answered"
    LATE_DUPLICATE = "done again much later"


class Faults:
    """Counts the points and lets one thing happen at one of them, once."""

    def __init__(self, at: int | None = None, fault: Fault | None = None) -> None:
        self.at = at
        self.fault = fault
        self.names: list[str] = []
        self.happened = False
        self.late: list[Callable[[], object]] = []

    def __call__(self, name: str) -> None:
        side, _, what = name.partition(" ")
        if side == "before":
            self.names.append(what)
        if self.happened or len(self.names) - 1 != self.at:
            return
        if side == "before" and self.fault in (Fault.CRASH_BEFORE, Fault.LOST_BEFORE, Fault.ERROR):
            self.happened = True
            self._raise(what)
        if side == "after" and self.fault in (Fault.CRASH_AFTER, Fault.LOST_AFTER, Fault.LATE_DUPLICATE):
            self.happened = True
            if self.fault is not Fault.LATE_DUPLICATE:
                self._raise(what)

    def _raise(self, what: str) -> None:
        if self.fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER):
            raise Crash(what)
        in_sql = what in WRITES
        if what == "file":
            raise OSError(f"{what}: the disk refuses")
        if self.fault is Fault.ERROR and not in_sql:
            raise WalletRefusedError(f"{what}: no")
        raise BooksAwayError(what) if in_sql else NodeUnavailableError(what)


class PointedBooks:
    """The real books with a point before and after every write."""

    def __init__(self, books: SqlPayouts, point: Callable[[str], None]) -> None:
        self._books = books
        self._point = point

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._books, name)
        if name not in WRITES:
            return found

        def pointed(*arguments: Any, **options: Any) -> Any:
            self._point(f"before {name}")
            answer = found(*arguments, **options)
            self._point(f"after {name}")
            return answer

        return pointed


def script_of(number: int) -> bytes:
    return b"\x00\x14" + number.to_bytes(20, "big")


def address_of(number: int) -> str:
    address = script_to_address(script_of(number), FORM)
    assert address is not None
    return address


def make_terms(**options: Any) -> PayoutTerms:
    values: dict[str, Any] = {
        "chain": CHAIN, "addresses": FORM, "minimum_payout": 10_000, "maturity": 10, "confirmations": 2,
        "interval_ms": 3_600_000,
    }  # fmt: skip
    return PayoutTerms(**(values | options))


ACCOUNT_TERMS: dict[str, Any] = {
    "account": True, "dust": DustRule(0, 0), "incremental_rate": None, "max_inputs": ACCOUNT_MAX_INPUTS,
    "consolidate_above": ACCOUNT_MAX_INPUTS,
}  # fmt: skip
"""The terms of a chain that is paid from an account."""


class PayoutWorld:
    """`owe` makes a block of ours that matured and pays accounts; `passes` lets payer and chain go on together. With
    `account` the wallet is an account; `chain_name` as of support/fake_account.py."""

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        faults: Faults | None = None,
        account: bool = False,
        chain_name: str | None = None,
        **terms: Any,
    ) -> None:
        self.folder = folder
        self.url = url
        self.terms = make_terms(**((ACCOUNT_TERMS if account else {}) | terms))
        self.faults = faults or Faults()
        self.wallet: Any = FakeWallet(CHAIN, maturity=self.terms.maturity, point=self.faults)
        if account:
            self.wallet = FakeAccountWallet(
                CHAIN, maturity=self.terms.maturity, point=self.faults, chain_name=chain_name
            )
        self.now_ms = 1_700_000_000_000
        self.crashes = 0
        self._ids = itertools.count(1)
        self.wallet.mine(1)
        self._late = self.faults.fault is Fault.LATE_DUPLICATE
        if self._late:
            self._note_late()
        self.open()
        with self.database.write() as connection:
            log = {"name": "main", "segment": 0, "byte_offset": 0, "sequence": 0, "updated_ms": 0}
            connection.execute(insert(share_logs).values(**log))

    def _note_late(self) -> None:
        """A broadcast under a late duplicate is delivered once more after many blocks."""
        wallet, faults = self.wallet, self.faults
        name = "send" if self.terms.account else "deliver"
        deliver = getattr(wallet, name)

        def delivering(raw: Any) -> SendAnswer | str:
            if len(faults.names) - 1 == faults.at:
                faults.late.append(lambda: deliver(raw))
            found: SendAnswer | str = deliver(raw)
            return found

        setattr(wallet, name, delivering)

    # -- the process --------------------------------------------------------------------------------------------------

    def open(self) -> None:
        self.database = Database(self.url)
        if self.url.startswith("sqlite"):  # a crash is not a loss of power, and waiting for the disk takes long
            event.listen(self.database.engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=OFF").close())
        self.lock = PayerLock(self.database, CHAIN, "test", self.now_ms)
        self.file = PayoutFile(self.folder / "payouts" / f"{CHAIN}.hex")
        self.books = SqlPayouts(self.database, self.lock, self.file)
        if self.terms.account:
            spends = AccountSpends(self.database, CHAIN)
            self.wallet.spends = lambda: _at_once(spends)
        pointed: Any = PointedBooks(self.books, self.faults)
        self.payer = PayoutRun(
            self.wallet, pointed, self.terms, _at_once, now_ms=lambda: self.now_ms, new_id=self._new_id
        )

    def close(self) -> None:
        self.books.close()
        self.database.close()

    def restart(self) -> None:
        self.close()
        self.open()

    def _new_id(self) -> str:
        return f"id{next(self._ids)}"

    async def step(self) -> bool:
        """One pass; False when it could not be finished."""
        try:
            await self.payer.step()
            return True
        except Crash:
            self.crashes += 1
            self.restart()
        except (NodeUnavailableError, WalletRefusedError, BooksAwayError, OSError):
            pass
        return False

    async def passes(self, count: int, *, mining: bool = True) -> None:
        """So many passes, a minute and a block apart."""
        for _ in range(count):
            await self.step()
            self.now_ms += 60_000
            if mining:
                self.wallet.mine(1)

    async def settle(self, limit: int = 40) -> None:
        """Until nothing is open any more; then what is late arrives, and nothing comes of it."""
        for _ in range(limit):
            await self.passes(1)
            batches = self.books.batches()
            if batches and all(batch.state in ("settled", "void") for batch in batches):
                break
        for arrive in self.faults.late:
            arrive()
        await self.passes(3)

    # -- the world ----------------------------------------------------------------------------------------------------

    def owe(self, amounts: dict[int, int], *, fee: int = 100_000, bury: bool = True) -> str:
        """A block of ours pays accounts by number, and the pool its fee; buried until it may be spent."""
        hash_hex = self.wallet.mine(1, reward=sum(amounts.values()) + fee)
        self.book(hash_hex, self.wallet.height, amounts, fee=fee)
        if bury:
            self.wallet.mine(self.terms.maturity + 1)
        return hash_hex

    def book(self, hash_hex: str, height: int, amounts: dict[int, int], *, fee: int = 100_000) -> None:
        """Enters a matured block of ours into the books."""
        total = sum(amounts.values()) + fee
        with self.database.write() as connection:
            ids = {number: _account(connection, number) for number in amounts}
            owed = {ids[number]: amount for number, amount in amounts.items()}
            group = income.credit(CHAIN, hash_hex, income=total, fee=fee, amounts=owed)
            ledger_store.post(connection, group, self.now_ms)
            ledger_store.post(connection, income.mature(CHAIN, hash_hex, income=total, amounts=owed), self.now_ms)
            _add_block(connection, hash_hex, height, total, fee, owed)

    # -- looking ------------------------------------------------------------------------------------------------------

    def account(self, number: int) -> int:
        with self.database.read() as connection:
            return _account(connection, number)

    def balances(self) -> dict[str, int]:
        with self.database.read() as connection:
            assert ledger_store.audit(connection) == []
            return {name: amount for name, amount in ledger_store.chain_balances(connection, CHAIN).items() if amount}

    def owed(self, number: int) -> tuple[int, int]:
        """(available, reserved) of an account."""
        balances, account_id = self.balances(), self.account(number)
        return balances.get(available(account_id), 0), balances.get(reserved(account_id), 0)

    def batches(self) -> list[Batch]:
        """All batches, newest first."""
        with self.database.read() as connection:
            return latest(connection, CHAIN, 1000)

    def holds(self) -> list[Hold]:
        return self.books.holds()

    def check_exact(self, numbers: Iterable[int], amounts: dict[int, int]) -> None:
        """Nobody was paid twice, nobody is owed anything that was paid, and ledger and wallet agree to the unit."""
        balances = self.balances()
        for number in numbers:
            account_id = self.account(number)
            paid = self.wallet.paid(script_of(number))
            assert len(paid) <= 1, f"account {number} was paid {paid}"
            left = balances.get(available(account_id), 0) + balances.get(reserved(account_id), 0)
            borne = self._fees_borne(account_id)
            exact = sum(paid) + left + borne == amounts[number]
            assert exact, f"account {number}: paid {paid}, owed still {left}, fees {borne}"
        assert balances[ASSET_WALLET] == self.wallet.holds()

    def _fees_borne(self, account_id: int) -> int:
        with self.database.read() as connection:
            query = select(func.sum(payouts.c.fee_part)).where(payouts.c.account_id == account_id)
            return connection.execute(query.where(payouts.c.state == "settled")).scalar_one() or 0


async def _at_once(call: Callable[..., Any], *arguments: object) -> Any:
    return call(*arguments)


def _account(connection: Connection, number: int) -> int:
    query = select(accounts.c.id).where(accounts.c.chain == CHAIN, accounts.c.script_hex == script_of(number).hex())
    found = connection.execute(query).scalar_one_or_none()
    if found is not None:
        return int(found)
    row = {"chain": CHAIN, "kind": "miner", "script_hex": script_of(number).hex(), "address": address_of(number)}
    made = connection.execute(insert(accounts).values(**row)).inserted_primary_key
    assert made is not None
    return int(made[0])


def _add_block(
    connection: Connection, hash_hex: str, height: int, reward: int, fee: int, owed: dict[int, int]
) -> None:
    made = connection.execute(
        insert(blocks).values(
            chain=CHAIN, hash_hex=hash_hex, height=height, state="submitted", reward=reward, fee=fee, log_id=1,
            share_sequence=1, target_hex="ff", found_ms=0, confirmations=0, reason="", orphaned_times=0, watched=0,
            updated_ms=0,
        )
    ).inserted_primary_key  # fmt: skip
    assert made is not None
    event = {"operator_amount": 0, "unexplained": 0, "scheme": "pplns", "total_weight": "1"}
    connection.execute(
        insert(income_events).values(block_id=made[0], event_index=0, reward=reward, fee=fee, **event)
    )
    for account_id, amount in owed.items():
        connection.execute(insert(credits).values(block_id=made[0], account_id=account_id, weight="1", amount=amount))
    connection.execute(update(blocks).where(blocks.c.id == made[0]).values(state="mature"))
