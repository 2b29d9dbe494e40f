"""One run of the books: a seed decides what miners, chains, nodes, disks and operators do, and when the process dies.

    share      shares arrive; some are answered, some are still in memory at a crash; some are sent twice
    solve      a share solves a block on one chain or on both; its record is written
    submit     an open block reaches its chain or not, late or not, and the answer says so or not
    chain      blocks of others, reorganisations of depth 1 to maturity + 2, branches that come back, all of it at once
    node       goes away, lags, denies blocks, answers late or with errors
    operator   funds, pays, absorbs or claws back losses

After every few steps the oracle looks at the database; at the end all nodes tell the truth and it looks at everything.
"""

from __future__ import annotations

import gc
import logging
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from books_world import CHAINS, BooksWorld, books_world
from sim_chain import Manners, look
from sim_clock import VirtualLoop
from sim_faults import Crash, Faults, InjectedError
from sim_oracle import Model, Reading, SolveFact, Violation, check, check_quiet

from pool.audit import books_audit
from pool.audit.terms import CreditTerms, TermsBook
from pool.blocks.solution_store import Outcome, SolutionRecord, SolvingShare
from pool.ledger import payment
from pool.ledger.transfer import LedgerError
from pool.storage import block_losses, ledger_links, ledger_store

ACTIONS = {
    "share": 5, "solve": 5, "submit": 3, "grow": 8, "reorganise": 3, "come_back": 4, "node": 3, "look": 2, "sleep": 4,
    "operator": 2, "upheaval": 2, "check_now": 1,
}  # fmt: skip
OPENING = ("share", "solve", "sleep")
"""Every run begins with these, so that the least eventful one has a block to credit."""

FORESEEN = ("I10", "I13")
"""What the audit says of a loss that nobody bears yet, and is right about."""

AUDITED_SEEDS = 4
"""One run in so many is also audited by the product's own audit, which takes longer than the run."""


RATES = ((0.0, 0.0), (0.01, 0.0), (0.03, 0.01), (0.0, 0.05), (0.1, 0.02))
"""Crashes and errors per point."""


@dataclass(slots=True)
class BooksReport:
    """What a run did, for those who want to know that it did anything."""

    seed: int
    points: int = 0
    crashes: int = 0
    blocks: Counter[str] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)


class BooksRun:
    """The director of one run."""

    actions = ACTIONS
    settling = 2
    """Passes at the end, from which on the books must be what the chains are."""

    def __init__(self, world: BooksWorld, seed: int, steps: int) -> None:
        self.world = world
        self.seed = seed
        self.steps = steps
        self.random = world.random
        self.faults = world.faults
        self.told: list[str] = []
        self._unwritten: list[SolutionRecord] = []
        self._parents: dict[tuple[str, str], str] = {}
        self._payments = 0

    @property
    def model(self) -> Model:
        return self.world.model

    async def play(self) -> Reading:
        """The whole run. Raises Violation, or what the product raised and should not have."""
        names, weights = list(self.actions), list(self.actions.values())
        self.faults.armed = True
        for name in (*OPENING, *self.random.choices(names, weights, k=self.steps)):
            await self.step(name)
        return await self.settle()

    async def step(self, name: str) -> None:
        """One action, and what follows when the process dies of it."""
        world = self.world
        if world.life is None:
            await world.start()
        try:
            await getattr(self, f"_{name}")()
            await world.sleep(self.random.choice((0.0, 0.0, 1.0, 4.0)))
        except InjectedError:
            self.told.append(f"{name}: error")
        except OSError as error:
            if "injected" not in str(error):
                raise
            self.told.append(f"{name}: {error}")
        except Crash as crash:
            self.told.append(f"{name}: crash at {crash}")
            await self._die()
        if world.unexpected:
            raise world.unexpected[0]

    async def _die(self) -> None:
        await self.world.bury()
        self._unwritten.clear()
        self._check()

    def _check(self) -> Reading:
        return check(self.model, str(self.world.path), self.world.chains)

    async def settle(self) -> Reading:
        """No more faults; everything that is open is told; then the books must be what the chains are."""
        world, faults = self.world, self.faults
        faults.armed = False
        await world.start()
        assert world.life is not None
        for watched in world.watched.values():
            for node in watched.nodes:
                node.manners = Manners()
            look(watched)
        world.commit_shares()
        for record in list(self._unwritten):
            self._put(record)
        for record in world.life.solutions.open_records():
            self._deliver(record)
            self._close(record, "accepted")
        await world.stop_loops()
        for _ in range(self.settling):
            for watched in world.watched.values():
                look(watched)
            world.loop.now_s += 61.0
            await world.life.bookkeeping.step()
        reading = self._check()
        check_quiet(self.model, reading, world.chains)
        self._audit()
        return reading

    def _audit(self) -> None:
        """The product's own audits, which must agree."""
        world = self.world
        assert world.life is not None
        present = {
            name: CreditTerms(terms.fee_ppm, terms.factor, terms.window_min_s) for name, terms in world.terms.items()
        }
        with world.life.database.read() as connection:
            faults = ledger_store.audit(connection)
            for chain in CHAINS:
                broken = ledger_links.broken_link(connection, chain)
                faults += [] if broken is None else [f"{chain}: {broken}"]
            if self.seed % AUDITED_SEEDS == 0:
                findings = books_audit.audit(connection, TermsBook(present)).findings
                faults += [str(finding) for finding in findings if finding.rule not in FORESEEN]
        if faults:
            raise Violation(f"the audit finds {faults[:5]}")

    # -- miners --------------------------------------------------------------------------------------------------------

    async def _share(self) -> None:
        for _ in range(self.random.randint(1, 6)):
            self.world.share()
        if self.random.random() < 0.2:
            self.world.repeat_share()
        if self.random.random() < 0.6:
            self.world.commit_shares()

    async def _solve(self) -> None:
        """A share that solves one chain's block or both. Its record and the log's commit come in any order."""
        world, random = self.world, self.random
        names = random.choice((CHAINS[:1], CHAINS[1:], CHAINS))
        solved = tuple((name, world.chains[name].new_hash()) for name in names)
        found_ms = world.loop.wall_ms()
        stale = random.random() < 0.15
        route, fact = world.share(solved, stale)
        early = random.random() < 0.5
        for name, hash_hex in solved:
            chain = world.chains[name]
            work = random.randint(50, 1500)
            self._parents[name, hash_hex] = chain.main[-1]
            reward = chain.rewards[hash_hex] = random.choice((0, 1, 7, random.randint(2, 10**10), 5 * 10**9))
            self.model.rewards[name, hash_hex] = reward
            # Without its share in the record the log alone has it, as with records of older versions.
            self.model.solves[name, hash_hex] = SolveFact(
                name, hash_hex, fact.sequence, found_ms, work, fact.scheme(name)
            )
            record = SolutionRecord(
                chain=name, block_hash_hex=hash_hex, height=chain.height + 1, payload={"block": "00"}, nodes=["n"],
                share_sequence=fact.sequence, found_ms=found_ms, reward_hint=None, stale=stale,
                target_hex=f"{2**256 // work - 1:064x}", share_weight=fact.weight,
                solving_share=SolvingShare(route, "rig", fact.time_ms, fact.words, fact.header_hash),
                scheme=None if random.random() < 0.1 else fact.scheme(name),
            )  # fmt: skip
            self._unwritten.append(record)
        if early:
            world.commit_shares()
        for record in list(self._unwritten):
            self._put(record)
            if random.random() < 0.7:
                self._deliver(record)
                look(world.watched[record.chain])
        if not early and random.random() < 0.5:
            world.commit_shares()

    def _put(self, record: SolutionRecord) -> None:
        assert self.world.life is not None
        self.world.life.solutions.put(record)
        self._unwritten.remove(record)
        self.model.solves[record.chain, record.block_hash_hex].recorded = True

    async def _submit(self) -> None:
        """Open blocks are sent; what is answered, and whether, is another matter."""
        assert self.world.life is not None
        for record in list(self._unwritten):
            self._put(record)
        records = self.world.life.solutions.open_records()
        if not records:
            return
        record = self.random.choice(records)
        if self.random.random() < 0.85:
            self._deliver(record)
        if self.random.random() < 0.8:
            answers: tuple[Outcome, ...] = ("accepted", "accepted", "unknown", "rejected")
            self._close(record, self.random.choice(answers))

    def _deliver(self, record: SolutionRecord) -> None:
        key = (record.chain, record.block_hash_hex)
        self.world.chains[record.chain].add(record.block_hash_hex, self._parents[key])

    def _close(self, record: SolutionRecord, outcome: Outcome) -> None:
        assert self.world.life is not None
        self.world.life.solutions.outcome(record.chain, record.block_hash_hex, outcome, "a reason")

    # -- chains and nodes ----------------------------------------------------------------------------------------------

    def _some_chain(self) -> str:
        return self.random.choice(CHAINS)

    async def _grow(self) -> None:
        name = self._some_chain()
        self.world.chains[name].grow(self.random.randint(1, self.world.chains[name].maturity))
        look(self.world.watched[name])

    async def _reorganise(self) -> None:
        name = self._some_chain()
        chain = self.world.chains[name]
        deepest = chain.maturity + 2
        chain.reorganise(deepest if self.random.random() < 0.4 else self.random.randint(1, deepest))
        if self.random.random() < 0.8:
            look(self.world.watched[name])

    async def _come_back(self) -> None:
        name = self._some_chain()
        chain = self.world.chains[name]
        chain.return_to_abandoned(chain.maturity + 2)
        look(self.world.watched[name])

    async def _upheaval(self) -> None:
        """A chain grows, loses the end of it, and mostly gets it back, each seen by the books."""
        name = self._some_chain()
        chain, watched = self.world.chains[name], self.world.watched[name]
        for happens in (
            lambda: chain.grow(self.random.randint(0, chain.maturity)),
            lambda: chain.reorganise(self.random.randint(1, chain.maturity + 2)),
            lambda: self.random.random() < 0.7 and chain.return_to_abandoned(chain.maturity + 2),
        ):
            happens()
            look(watched)
            await self.world.sleep(9.0)
            if self.random.random() < 0.3:
                await self._operator()

    async def _look(self) -> None:
        for watched in self.world.watched.values():
            look(watched)

    async def _node(self) -> None:
        """A node changes its manners. One of a chain's nodes at most denies what it has."""
        watched = self.world.watched[self._some_chain()]
        index = self.random.randrange(len(watched.nodes))
        kind = self.random.choice(("good", "good", "away", "lagging", "denies", "errors", "slow", "very slow"))
        if kind == "denies" and len(watched.nodes) == 1:
            kind = "lagging"
        watched.nodes[index].manners = Manners(
            away=kind == "away",
            lagging=kind == "lagging",
            denies=kind == "denies",
            errors=kind == "errors",
            slow_s={"slow": 3.0, "very slow": 40.0}.get(kind, 0.0),
        )
        if self.random.random() < 0.7:
            look(watched, index)

    async def _sleep(self) -> None:
        await self.world.sleep(self.random.choice((10.0, 20.0)))

    async def _check_now(self) -> None:
        self._check()

    # -- operators -----------------------------------------------------------------------------------------------------

    async def _operator(self) -> None:
        """Commands of another process: each is one transaction on the same database."""
        assert self.world.life is not None
        random, chain = self.random, self._some_chain()
        now_ms = self.world.loop.wall_ms()
        with self.world.life.database.write() as connection:
            losses = [loss for loss in block_losses.open_losses(connection) if loss.chain == chain]
            if losses:
                loss = random.choice(losses)
                if random.random() < 0.5:
                    block_losses.absorb(connection, chain, loss.hash_hex, now_ms)
                else:
                    try:
                        block_losses.clawback(connection, chain, loss.hash_hex, now_ms)
                    except LedgerError as error:
                        if "already" not in str(error):
                            raise
                return
            self._payments += 1
            name = f"{self.seed}-{self.world.lives}-{self._payments}"
            balances = ledger_store.chain_balances(connection, chain)
            owed = sorted(name for name, amount in balances.items() if name.endswith(".available") and amount
                          and name.startswith("liab."))  # fmt: skip
            if not owed or random.random() < 0.3:
                ledger_store.post(connection, payment.deposit(chain, name, 0, random.randint(1, 10**6)), now_ms)
                return
            account = random.choice(owed)
            account_id, amount = int(account.split(".")[1]), random.randint(1, balances[account])
            ledger_store.post(connection, payment.reserve(chain, name, account_id, amount), now_ms)
            ending = payment.settle if random.random() < 0.7 else payment.void
            ledger_store.post(connection, ending(chain, name, account_id, amount), now_ms)


def run_books(
    seed: int,
    *,
    steps: int | None = None,
    crash_at: int | None = None,
    error_at: int | None = None,
    quiet: bool = False,
    rates: tuple[float, float] | None = None,
    voting: frozenset[str] = frozenset(),
    director: type[BooksRun] = BooksRun,
) -> BooksReport:
    """Plays a seed; the chains of `voting` are made of votes. `crash_at` and `error_at` put the only fault at a
    numbered point; `quiet` has none at all; `rates` are those of crashes and errors per point, which otherwise the seed
    chooses. Raises Violation, or any error of the product, when a promise is broken.
    """
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
        with books_world(loop, random, faults, voting) as world:
            run = director(world, seed, steps)
            try:
                reading = loop.run_until_complete(run.play())
            finally:
                if world.life is not None:
                    loop.run_until_complete(world.stop_loops())
                    world.life.database.close()
            moved = Counter("moved" for row in reading.blocks if "." in row[2])
            return BooksReport(
                seed, faults.count, faults.crashes, moved + Counter(row[4] for row in reading.blocks),
                Counter(group.partition(":")[0] for group in reading.groups), faults.seen, run.told,
            )  # fmt: skip
    finally:
        if collecting:
            gc.enable()
        logging.disable(logging.NOTSET)
        loop.close()
