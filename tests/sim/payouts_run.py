"""One run of the payouts: a seed decides what is earned, what chain and wallet do, and when the payer dies.

    owe        a block of ours matures, and a few accounts are owed something
    pay        a pass of the payer; wallets may take their time, and a second payer may take over meanwhile
    mine       blocks; reorganisations down to below final payments, with and without their transactions
    arrive     bytes that were once sent arrive again, or only now
    stranger   a deposit, which the operator may claim; a reorg may take it for good
    wallet     not synced, fees too low, no rate, slow
    operator   releases what is on hold, takes fees out, sweeps; takes a backup, and goes back to it
    bump       the operator wants a higher fee for what waits; either transaction may arrive and be mined
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from payouts_oracle import PayoutReading, check_paid, check_payouts
from payouts_world import CHAIN, PayoutsWorld, is_injected, payouts_world, script_of
from sim_clock import VirtualLoop
from sim_faults import Crash, Faults
from sim_oracle import Violation
from sqlalchemy.exc import IntegrityError

from chains.wallet import Outpoint
from pool.ledger.transfer import LedgerError
from pool.payouts.batch import Batch, BatchEvent, BatchKind, BatchState, FeePolicy, Payout
from pool.storage import ledger_links, payout_coins, payout_holds, payout_rows, payout_steps, payout_versions

ACTIONS = {
    "owe": 4, "pay": 10, "pay_slowly": 2, "mine": 6, "reorganise": 2, "evict": 1, "arrive": 2, "stranger": 1,
    "wallet": 2, "operator": 1, "order": 1, "check": 1, "bump": 2,
}  # fmt: skip
OPENING = ("owe", "pay", "mine")
RATES = ((0.0, 0.0), (0.01, 0.0), (0.03, 0.02), (0.0, 0.08), (0.1, 0.03))
ACCOUNTS = 4
PAYABLE = 20_000
"""Who is owed so much can be paid at the lowest rate, whatever his part of the fee is."""

LEAST_CHANGE = 1000
"""Less than this left over is dust, which the pool would have to bear and may have no money for."""

AMPLE = 100_000
"""With so much of the operator's money the pool can bear the fee of any batch."""

HOT = ("income", "change", "fund")
OPERATORS_SCRIPT = b"\x00\x14\xcc" + bytes(19)


@dataclass(slots=True)
class PayoutsReport:
    """What a run did."""

    seed: int
    points: int = 0
    crashes: int = 0
    batches: Counter[str] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)


class PayoutsRun:
    """The director of one run. `restores` says whether the books may come from a backup."""

    def __init__(self, world: PayoutsWorld, seed: int, steps: int) -> None:
        self.world = world
        self.seed = seed
        self.steps = steps
        self.random = world.random
        self.faults = world.faults
        self.told: list[str] = []
        self.restores = seed % 5 == 4
        self._backup: bytes | None = None
        self._orders = 0
        self._claimed: list[bytes] = []

    async def play(self) -> PayoutReading:
        names, weights = list(ACTIONS), list(ACTIONS.values())
        self.faults.armed = True
        for name in (*OPENING, *self.random.choices(names, weights, k=self.steps)):
            await self._step(name)
        return await self._settle()

    async def _step(self, name: str) -> None:
        try:
            await getattr(self, f"_{name}")()
        except Crash as crash:
            self.told.append(f"{name}: crash at {crash}")
            self.world.bury()
            self._check_now()
        except Exception as error:
            if not is_injected(error):
                raise
            self.told.append(f"{name}: {type(error).__name__} {error}")

    def _check_now(self) -> PayoutReading:
        return check_payouts(str(self.world.path), self.world.chain, self._credited())

    def _credited(self) -> Counter[str]:
        credited: Counter[str] = Counter()
        for one in self.world.incomes:
            for number, amount in one.owed.items():
                credited[script_of(number).hex()] += amount
        return credited

    # -- what happens --------------------------------------------------------------------------------------------------

    async def _owe(self) -> None:
        random = self.random
        numbers = random.sample(range(1, ACCOUNTS + 1), random.randint(1, ACCOUNTS))
        ranges = ((1, 30_000), (10**5, 10**8))
        amounts = {number: random.randint(*random.choice(ranges)) for number in numbers}
        self.world.owe(amounts, random.choice((0, 20_000, 10**6)))

    async def _pay(self) -> None:
        """A pass, to its end or to its fault."""
        self.world.loop.now_s += self.random.choice((30.0, 60.0, 4000.0))
        await self.world.start().run.step()

    async def _pay_slowly(self) -> None:
        """A pass over a slow wallet, during which blocks come, and perhaps another payer."""
        world, random = self.world, self.random
        world.wallet.slow_s = random.choice((1.0, 20.0))
        payer = world.start()
        payer.pass_ = world.loop.create_task(payer.run.step())
        ghost = None
        for _ in range(random.randint(1, 4)):
            await asyncio.sleep(random.random() * 20.0)
            what = random.random()
            if what < 0.3:
                world.chain.mine(1)
            elif what < 0.6 and ghost is None and not payer.pass_.done():
                world.usurp()
                ghost = payer
                await self._step("pay")
                if not world.ghosts:  # the machine died meanwhile
                    world.wallet.slow_s = 0.0
                    return
        outcomes = await asyncio.gather(payer.pass_, return_exceptions=True)
        world.wallet.slow_s = 0.0
        if ghost is not None and ghost in world.ghosts:
            world.ghosts.remove(ghost)
            world.end(ghost)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _mine(self) -> None:
        self.world.chain.mine(self.random.randint(1, 4), empty=self.random.random() < 0.2)

    async def _reorganise(self) -> None:
        """Down to the newest block of ours at most: its loss is another part's."""
        world = self.world
        deepest = world.chain.height - max((one.height for one in world.incomes), default=0)
        depth = self.random.randint(1, world.terms.maturity + 2)
        if depth <= deepest:
            world.chain.reorganise(depth, forget=self.random.random() < 0.3)

    async def _evict(self) -> None:
        self.world.chain.forget_mempool()

    async def _arrive(self) -> None:
        if self.world.wallet.late:
            self.world.wallet.deliver(self.random.choice(self.world.wallet.late))

    async def _stranger(self) -> None:
        self.world.chain.deposit(self.random.choice((1, 5_000, 10**7)))

    async def _wallet(self) -> None:
        random, chain = self.random, self.world.chain
        chain.synced = random.random() < 0.7
        chain.fee_too_low = random.random() < 0.2
        chain.rate = random.choice((1000, 1000, 3000, 500_000, None))
        chain.refuses = random.choice((None, None, None, "min relay fee not met", "scriptpubkey"))

    async def _operator(self) -> None:
        """Another process of the operator's."""
        world, random = self.world, self.random
        payer = world.start()
        now_ms = world.loop.wall_ms()
        what = random.choice(("claim", "hold", "release", "resolve", "backup", "restore"))
        if what == "restore" and self.restores and self._backup is not None:
            world.restore(self._backup)
        elif what == "backup":
            self._backup = world.copy()
        elif what == "claim":
            with payer.database.write() as connection:
                for coin in payout_coins.deposits(connection, CHAIN):
                    self._claimed.append(coin.outpoint.txid)
                    payout_coins.claim_deposit(connection, CHAIN, Outpoint(*coin.outpoint), now_ms)
        elif what == "hold":
            with payer.database.write() as connection:
                payout_holds.place(connection, CHAIN, "operator", "wanted", now_ms)
        elif what == "release":
            self._release("wanted")
        else:
            self._resolve()

    def _release(self, reason: str) -> None:
        """The operator's own hold, if there is one."""
        with self.world.start().database.write() as connection:
            payout_holds.release(connection, CHAIN, "operator", reason, self.world.loop.wall_ms())

    def _send_claimed(self) -> None:
        """What an operator claims is his own: his wallet sends it until it is mined, and he explains a hold for it."""
        for txid in self._claimed:
            self.world.chain.send_again(txid)
        # What of an account is missing is off its change, and the hold names that.
        account = self.world.terms.account and bool(self._claimed)
        with self.world.start().database.write() as connection:
            for hold in payout_holds.in_force(connection, CHAIN):
                named = any(f"coin {txid[::-1].hex()}:" in hold.reason for txid in self._claimed)
                if named or (account and "in the wallet and" in hold.reason):
                    payout_holds.release(connection, CHAIN, hold.cause, "sent again", self.world.loop.wall_ms())

    def _resolve(self) -> None:
        """Batches on hold go back to where they were."""
        payer = self.world.start()
        for batch in payer.books.batches():
            if batch.state is BatchState.HOLD:
                payer.books.move(batch, BatchEvent.RELEASE, self.world.loop.wall_ms(), reason="looked at")

    async def _order(self) -> None:
        """The operator takes something out or sweeps; refused when it is not his or another batch is in the way."""
        world = self.world
        payer = world.start()
        self._orders += 1
        now_ms = world.loop.wall_ms()
        kind = self.random.choice((BatchKind.WITHDRAW, BatchKind.SWEEP))
        if world.terms.account:
            kind = BatchKind.WITHDRAW  # nothing is swept from an account
        name = f"order{self._orders}"
        payout = Payout(f"{name}p", None, "operator", OPERATORS_SCRIPT, self.random.choice((20_000, 300_000)))
        batch = Batch(name, CHAIN, kind, BatchState.PLANNED, FeePolicy.POOL, (payout,), now_ms, now_ms)
        try:
            with payer.database.write() as connection:
                payout_steps.plan(connection, batch, payer.lock.epoch, now_ms)
        except (LedgerError, IntegrityError) as error:
            self.told.append(f"order: {type(error).__name__}")

    async def _bump(self) -> None:
        """What waits is to pay more, at rates that may be or not. Either is mined, and reorgs may swap them."""
        world, random = self.world, self.random
        if not any(batch.replaceable for batch in world.start().books.batches()):
            await self._owe()
            world.loop.now_s += world.terms.interval_ms / 1000
            await self._pay()
        payer = world.start()
        waiting = [batch.id for batch in payer.books.batches() if batch.replaceable]
        if not waiting:
            return
        try:
            with payer.database.write() as connection:
                payout_versions.order_bump(connection, random.choice(waiting), random.choice((1, 2000, 3000, 60_000)))
        except payout_versions.BumpRefusedError as error:
            self.told.append(f"bump: {error}")
        await self._pay()
        for _ in range(random.choice((0, 1, 1, 2, 3))):
            deepest = world.chain.height - max((one.height for one in world.incomes), default=0)
            world.chain.reorganise(max(1, min(deepest, random.randint(1, world.terms.maturity + 2))), forget=True)
            world.chain.forget_mempool()
            for raw in random.sample(world.wallet.late[-3:], k=min(2, len(world.wallet.late))):
                world.wallet.deliver(raw)
                world.chain.mine(1)
            world.chain.mine(random.randint(1, 3))
            await self._pay()
            await self._pay()

    async def _check(self) -> None:
        self._check_now()

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _settle(self) -> PayoutReading:
        """No more faults; a wallet that works; an operator who looks. Everything that is owed is paid, once."""
        world = self.world
        self.faults.armed = False
        chain = world.chain
        chain.synced, chain.fee_too_low, chain.rate, chain.refuses = True, False, 1000, None
        payer = world.start()
        self._send_claimed()
        self._release("the end")
        self._resolve()
        await self._finish()
        for raw in world.wallet.late:
            world.wallet.deliver(raw)
        await self._finish()
        if any(batch.others for batch in payer.books.batches()):
            # What comes back from a payout with two transactions waits until no reorg can swap them.
            chain.mine(2 * world.terms.maturity + 1)
            await self._finish()
        reading = self._check_now()
        if reading.holds:
            raise Violation(f"on hold, and nobody did anything wrong: {reading.holds}")
        check_paid(reading, chain, self._credited(), 0)
        self._check_everybody(reading)
        with payer.database.read() as connection:
            broken = ledger_links.broken_link(connection, CHAIN)
            assert payout_rows.watched(connection, CHAIN) is not None
        if broken is not None:
            raise Violation(broken)
        return reading

    async def _finish(self) -> None:
        """Passes and blocks until nothing is under way and a pass begins nothing new."""
        payer = self.world.start()
        before: list[str] | None = None
        for _ in range(60):
            self.world.loop.now_s += 4000.0
            await payer.run.step()
            batches = payer.books.batches()
            final = all(batch.state in (BatchState.SETTLED, BatchState.VOID) for batch in batches)
            known = [row[0] for row in PayoutReading(str(self.world.path)).batches]
            if final and known == before:
                return
            before = known if final else None
            self.world.chain.mine(self.world.terms.confirmations)
        raise Violation("payouts come to no end")

    def _check_everybody(self, reading: PayoutReading) -> None:
        """No payout is lost: whoever can be paid was paid, whatever others are owed; where the pool bears the fees, if
        it has the money for any."""
        stuck = [row for row in reading.batches if row[2] not in ("settled", "void")]
        if stuck:
            raise Violation(f"batches are stuck: {[row[:3] for row in stuck]}")
        # What was swept to the operator's other wallet is his to bring back before more can be paid.
        hot = [amount for _, _, amount, source, spent in reading.coins if spent is None and source in HOT]
        within = sum(sorted(hot)[-self.world.terms.max_inputs :])
        balances, miners_pay = reading.balances, self.world.terms.fee_policy is FeePolicy.MINER
        owed = {name: amount for name, amount in balances.items() if name.startswith("liab.")}
        surplus = balances.get("asset.wallet", 0) - balances.get("suspense.deposit", 0) - sum(owed.values())
        if not miners_pay and surplus < AMPLE:
            return
        beside = LEAST_CHANGE if miners_pay else AMPLE
        payable = [
            f"{name} {amount}"
            for name, amount in owed.items()
            if name.endswith(".available") and amount >= PAYABLE
            if (miners_pay and amount == within) or amount + beside <= within
        ]
        if payable:
            raise Violation(f"owed and not paid: {payable}, and the coins hold {within}")


def run_payouts(
    seed: int,
    *,
    steps: int | None = None,
    crash_at: int | None = None,
    error_at: int | None = None,
    quiet: bool = False,
    rates: tuple[float, float] | None = None,
    account: bool = False,
) -> PayoutsReport:
    """Plays a seed; the options are those of `run_books`, and whether an account pays. Raises Violation, or any error
    of the product."""
    random = Random(seed)
    steps = random.randint(5, 22) if steps is None else steps
    faults = Faults(Random(random.getrandbits(32)), crash_at=crash_at, error_at=error_at)
    chosen = random.choice(RATES)
    if crash_at is None and error_at is None and not quiet:
        faults.crash_rate, faults.error_rate = rates or chosen
    loop = VirtualLoop()
    logging.disable(logging.CRITICAL)
    collecting = gc.isenabled()
    gc.disable()
    try:
        with payouts_world(loop, random, faults, account=account) as world:
            run = PayoutsRun(world, seed, steps)
            reading = loop.run_until_complete(run.play())
            return PayoutsReport(
                seed, faults.count, faults.crashes, Counter(f"{row[1]} {row[2]}" for row in reading.batches),
                Counter(group.partition(":")[0] for group in reading.groups), faults.seen, run.told,
            )  # fmt: skip
    finally:
        if collecting:
            gc.enable()
        logging.disable(logging.NOTSET)
        loop.close()
