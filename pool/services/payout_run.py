"""The payer of one chain: plan, build, sign, send the same bytes until they are final, settle. One pass at a time.

Nothing is remembered between two passes but what makes them polite: each begins with what is durable and goes on from
there, so that a crash anywhere loses nothing and repeats nothing that could pay twice. The order that this rests on:
reserved before built, built and verified before signed, signed bytes in the database and in the payout file before
they are sent, and after that never other bytes. The states: pool/payouts/batch.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from chains.node_rpc import NodeUnavailableError
from chains.wallet import ChainWallet, Coin, SendAnswer, SendResult, Tip, WalletRefusedError
from pool.ledger.solvency import payout_obstacle
from pool.payouts.batch import Batch, BatchEvent, BatchKind, BatchState, BuiltBatch, FeePolicy, Payout
from pool.payouts.build import BatchMismatchError
from pool.payouts.coins import is_crowded, lacks, spendable, to_consolidate
from pool.payouts.compose import Composition, Postponed, Wait, compose
from pool.payouts.follow import Conflict, Look, after_send, follow, resend_due
from pool.payouts.form import form_of
from pool.payouts.plan import Passed, is_due, plan
from pool.payouts.terms import PayoutTerms, fee_rate_obstacle, usable_fee_rate
from pool.services.payout_books import InThread, PayoutBooks
from pool.services.payout_bump import PayoutBump
from pool.services.payout_look import look_at
from pool.services.payout_restore import RESTORE, PayoutRestore
from pool.services.payout_telling import PayoutTelling, displayed_txid
from pool.services.wallet_check import WalletCheck

log = logging.getLogger("parapool.payouts")

CHECK_INTERVAL_MS = 600_000
POSTPONED_MS = 600_000
"""After a batch had to wait for fees or coins, it is looked at again so much later."""

UNSIGNED = (BatchState.PLANNED, BatchState.BUILT)
STANDING_IN_THE_WAY = (
    BatchState.SIGNED, BatchState.BROADCAST, BatchState.CONFLICTED, BatchState.HOLD,
)  # fmt: skip
"""While a batch is in one of these, no further one is planned: something is on its way or wrong."""


class PayoutRun:
    """One chain's payer. `new_id` gives ids of batches and payouts, `now_ms` the time."""

    def __init__(
        self,
        wallet: ChainWallet,
        books: PayoutBooks,
        terms: PayoutTerms,
        in_thread: InThread,
        *,
        now_ms: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self.terms = terms
        self.check = WalletCheck(wallet, books, terms, in_thread)
        self._bumps = PayoutBump(wallet, books, terms, in_thread, now_ms=now_ms)
        self._tell = PayoutTelling(terms.chain)
        self._restore = PayoutRestore(books, in_thread, self._tell, terms.chain, now_ms=now_ms)
        self._form = form_of(terms)
        self._wallet = wallet
        self._books = books
        self._in_thread = in_thread
        self._now_ms = now_ms
        self._new_id = new_id
        self._change_script: bytes | None = None
        self._not_before_ms = 0

    async def step(self) -> None:
        """One pass. Raises NodeUnavailableError, WalletRefusedError and what the books raise; nothing is lost then."""
        known = await self._restore.look()
        tip = await self._wallet.tip()
        for batch in await self._in_thread(self._books.batches):
            if batch.state not in UNSIGNED:
                await self._follow(batch, tip)
        batches = await self._in_thread(self._books.batches)
        self._tell.stuck(batches, self._now_ms())
        if not known:
            return  # until all is taken over the wallet lacks coins that nobody stole
        unsigned = next((batch for batch in batches if batch.state in UNSIGNED), None)
        free = unsigned is None and not any(batch.state in STANDING_IN_THE_WAY for batch in batches)
        holds = await self._in_thread(self._books.holds)
        bump = next((batch for batch in batches if batch.bump_rate is not None and batch.replaceable), None)
        if holds:
            bump = None
        may_pay = not holds and bump is None and (unsigned is not None or free)
        due = bump is not None or (may_pay and (unsigned is not None or await self._is_due()))
        restored = any(hold.cause == RESTORE for hold in holds)
        if not due and not restored and not self._check_due():
            return
        coins = await self.check.look(self._now_ms())
        if coins is not None and restored:
            await self._in_thread(self._books.release, RESTORE, "every transaction is matched", self._now_ms())
            log.warning("every transaction since the restore is matched chain=%s", self.terms.chain)
        if coins is not None and bump is not None:
            bumped = await self._bumps.replace(bump, coins)
            if bumped is not None:
                await self._send(bumped)
        if coins is None or not may_pay:
            return
        if unsigned is None:
            unsigned = await (self._plan(coins) if due else self._tidy(coins))
        if unsigned is not None and unsigned.built is not None:
            words = await self._outdated(unsigned.built, coins)
            unsigned = await self._replan(unsigned, words) if words else unsigned
        if unsigned is not None and unsigned.state is BatchState.PLANNED:
            unsigned = await self._build(unsigned, coins, batches)
        if unsigned is not None and unsigned.state is BatchState.BUILT:
            signed = await self._sign(unsigned)
            if signed is not None:
                await self._send(signed)

    # -- what was signed ----------------------------------------------------------------------------------------------

    async def _follow(self, batch: Batch, tip: Tip) -> None:
        assert batch.txid is not None or batch.state is BatchState.HOLD
        if batch.state is BatchState.HOLD or batch.txid is None:
            return
        look = await look_at(batch, tip, self._wallet, self._books, self.terms, self._in_thread)
        wanted = follow(batch, look, final=self.terms.confirmations, maturity=self.terms.maturity)
        if batch.state is not BatchState.SETTLED or look.version is None:  # else it is reopened before that is noted
            batch = await self._note(batch, look)
        if wanted.event is not None:
            await self._move(batch, wanted.event, wanted.words, look.conflict)
        elif batch.state is BatchState.SETTLED and look.confirmations > 2 * self.terms.maturity:
            await self._in_thread(self._books.retire, batch)
        elif wanted.send and resend_due(batch, self._now_ms()):
            await self._send(batch)

    async def _note(self, batch: Batch, look: Look) -> Batch:
        """Where it was seen, and which of its transactions."""
        same = (look.confirmations, look.block_hash_hex) == (batch.confirmations, batch.block_hash_hex)
        if same and look.version is None:
            return batch
        await self._in_thread(self._books.seen, batch, look, self._now_ms())
        if look.version is None:
            return batch
        log.warning(
            "another transaction of a payout is in the chain chain=%s batch=%s txid=%s", batch.chain, batch.id,
            displayed_txid(next(version.txid for version in batch.versions if version.version == look.version)),
        )  # fmt: skip
        noted = await self._again(batch)
        return noted if noted is not None else batch

    async def _move(self, batch: Batch, event: BatchEvent, words: str, conflict: Conflict | None = None) -> None:
        state = await self._in_thread(
            lambda: self._books.move(
                batch, event, self._now_ms(), reason=words, conflict_txid=conflict.txid if conflict else None
            )
        )
        self._tell.moved(batch, event, state, words)

    async def _send(self, batch: Batch) -> None:
        """Sends the batch's bytes, which are in both durable places before."""
        assert batch.raw is not None and batch.txid is not None
        await self._in_thread(self._books.file, batch, self._now_ms())
        try:
            answer = await self._broadcast(batch)
        except NodeUnavailableError as error:
            # It may have got through or not: the same bytes again, later.
            await self._in_thread(self._books.attempt, batch, "send", "unknown", str(error), self._now_ms())
            raise
        found = False
        for version in batch.versions if answer.result is SendResult.MISSING_INPUTS else ():
            assert version.txid is not None
            known = await self._wallet.transaction(version.txid)
            found = found or (known is not None and known.confirmations >= 0)
        await self._in_thread(self._books.attempt, batch, "send", answer.result, answer.reason, self._now_ms())
        wanted = after_send(batch.state, answer, found=found)
        if wanted.event is not None:
            await self._move(batch, wanted.event, wanted.words)
        elif wanted.words:
            self._tell.once("payout not taken", batch.id, wanted.words)

    async def _broadcast(self, batch: Batch) -> SendAnswer:
        """The present transaction; when a coin of it is gone, the ones before or behind it: one of them may have it."""
        answer = SendAnswer(SendResult.MISSING_INPUTS)
        for version in batch.versions:
            assert version.raw is not None
            answer = await self._wallet.broadcast(version.raw)
            if answer.result is not SendResult.MISSING_INPUTS:
                break
        return answer

    # -- what is to be signed -----------------------------------------------------------------------------------------

    async def _is_due(self) -> bool:
        """Whether the schedule wants a batch and nothing is known that it would have to wait for."""
        if self._now_ms() < self._not_before_ms:
            return False
        funds = await self._in_thread(self._books.funds)
        obstacle = payout_obstacle(funds.cover)
        if obstacle is not None:
            self._tell.once("payouts wait", self.terms.chain, obstacle)
            return False
        return is_due(self._now_ms(), await self._in_thread(self._books.last_planned_ms), self.terms)

    def _postpone(self) -> None:
        """Whatever is missing now may be there soon; a schedule tighter than that is kept."""
        self._not_before_ms = self._now_ms() + min(POSTPONED_MS, self.terms.interval_ms)

    async def _plan(self, coins: list[Coin]) -> Batch | None:
        """A new batch of those who can be paid now, reserved; None when nobody can."""
        payouts, bad = await self.wanted()
        if bad:
            await self._in_thread(self._books.quarantine, bad, self._now_ms())
            for account_id, address, words in bad:
                log.warning(
                    "address quarantined chain=%s account=%d address=%a: %s",
                    self.terms.chain, account_id, address, words,
                )  # fmt: skip
        composed = await self.compose(BatchKind.PAYOUT, payouts, coins)
        if isinstance(composed, Composition):
            left = len(payouts) - len(composed.payouts)
            if left:
                log.info("payouts left for a later batch chain=%s payouts=%d", self.terms.chain, left)
            return await self._reserve(BatchKind.PAYOUT, composed.payouts)
        self._postpone()
        if composed.wait is not Wait.NOTHING:
            self._tell.once("payouts wait", self.terms.chain, f"{composed.wait}: {composed.words}")
        return await self._tidy(coins)

    async def _tidy(self, coins: list[Coin]) -> Batch | None:
        """A batch that makes one coin of many, when there are too many."""
        if not is_crowded(spendable(coins, await self._in_thread(self._books.spendable), (), self.terms), self.terms):
            return None
        composed = await self.compose(BatchKind.CONSOLIDATE, (), coins)
        return await self._reserve(BatchKind.CONSOLIDATE, ()) if isinstance(composed, Composition) else None

    async def _reserve(self, kind: BatchKind, payouts: tuple[Payout, ...]) -> Batch:
        now_ms = self._now_ms()
        policy = self.terms.fee_policy if kind is BatchKind.PAYOUT else FeePolicy.POOL
        batch = Batch(self._new_id(), self.terms.chain, kind, BatchState.PLANNED, policy, payouts, now_ms, now_ms)
        await self._in_thread(self._books.plan, batch, now_ms)
        log.info(
            "payouts planned chain=%s batch=%s kind=%s payouts=%d amount=%d",
            batch.chain, batch.id, kind, len(payouts), sum(payout.gross for payout in payouts),
        )  # fmt: skip
        return batch

    async def wanted(self) -> tuple[tuple[Payout, ...], list[tuple[int, str, str]]]:
        """Who would be paid now, and addresses (account id, address, why) that are none."""
        planned = plan(await self._in_thread(self._books.claims), self.terms, self._new_id)
        bad = [
            (claim.account_id, claim.address, words)
            for claim, reason, words in planned.passed
            if reason is Passed.BAD_ADDRESS
        ]
        return planned.payouts, bad

    async def compose(
        self, kind: BatchKind, payouts: tuple[Payout, ...], coins: list[Coin]
    ) -> Composition | Postponed:
        """What a transaction could pay with the coins there are."""
        usable = spendable(coins, await self._in_thread(self._books.spendable), (), self.terms)
        if kind is BatchKind.CONSOLIDATE:
            usable = to_consolidate(usable, self.terms)
        if not payouts and kind is not BatchKind.CONSOLIDATE:
            return Postponed(Wait.NOTHING, "nobody is owed enough")
        if not usable:
            return Postponed(Wait.COINS, "there is no coin that may be spent")
        estimate = await self._wallet.fee_rate(self.terms.fee_target_blocks)
        rate = usable_fee_rate(estimate, self.terms)
        if rate is None:
            return Postponed(Wait.FEE_RATE, fee_rate_obstacle(estimate, self.terms) or "no fee rate is known")
        policy = self.terms.fee_policy if kind is BatchKind.PAYOUT else FeePolicy.POOL
        funds = await self._in_thread(self._books.funds)
        if self._change_script is None:
            self._change_script = await self._wallet.change_script()
        return compose(
            kind, payouts, usable, self.terms, fee_policy=policy, fee_rate=rate,
            change_script=self._change_script, pool_budget=funds.fee_budget,
        )  # fmt: skip

    async def _build(self, batch: Batch, coins: list[Coin], others: list[Batch]) -> Batch | None:
        """Inputs and outputs of a planned batch, verified and reserved; None when it waits or had to be given up."""
        composed = await self.compose(batch.kind, batch.payouts, coins)
        if isinstance(composed, Postponed):
            self._postpone()
            await self._move(batch, BatchEvent.VOID, f"{composed.wait}: {composed.words}")
            return None
        assert self._change_script is not None
        wanted = tuple(payout.id for payout in batch.payouts)
        built = self._form.build(composed, self._change_script, await self._wallet.turn(), wanted)
        claims = self._form.claims(built)
        if any(other.signed and other.built and claims & self._form.claims(other.built) for other in others):
            # A reorg took the last payout out of its block again: this one comes after it.
            self._tell.once("payouts wait", self.terms.chain, "the payout before is in no block")
            return None
        await self._in_thread(self._books.build, batch, built, composed.fee_rate, self._now_ms())
        self._change_script = None
        return await self._again(batch)

    async def _outdated(self, built: BuiltBatch, coins: list[Coin]) -> str | None:
        """Why a batch that was built some time ago cannot be signed as it is, in words."""
        if lacks(coins, built.inputs, self.terms):
            return "a coin of it may not be spent any more"
        return None if self._form.has_turn(built, await self._wallet.turn()) else "its turn is over or not yet there"

    async def _replan(self, batch: Batch, words: str) -> Batch | None:
        """Built, and unsigned as far as the books go, before a reorg took a coin of it: to be built of others."""
        await self._in_thread(self._books.replan, batch, words, self._now_ms())
        log.warning("payout batch is built anew, %s chain=%s batch=%s", words, batch.chain, batch.id)
        return await self._again(batch)

    async def _sign(self, batch: Batch) -> Batch | None:
        """The signed batch, durable in the books; None when it waits or goes on hold."""
        built = batch.built
        assert built is not None
        try:
            self._form.verify_built(built, {payout.id: (payout.script, payout.gross) for payout in batch.payouts})
            if not await self._in_thread(self._books.holds_lock):
                log.error("payer lost its lock, nothing is signed chain=%s batch=%s", batch.chain, batch.id)
                return None
            raw = await self._wallet.sign(built.raw, built.coins)
            ids = self._form.verify_signed(raw, built)
        except (BatchMismatchError, WalletRefusedError) as error:
            await self._in_thread(self._books.attempt, batch, "sign", "refused", str(error), self._now_ms())
            await self._move(batch, BatchEvent.HOLD, f"signing: {error}")
            return None
        refusal = await self._wallet.accepts(raw)
        if refusal is not None:
            await self._refused(batch, refusal)
            return None
        await self._in_thread(self._books.sign, batch, raw, ids, self._now_ms())
        name = displayed_txid(ids.txid)
        log.info("payouts signed chain=%s batch=%s txid=%s fee=%d", batch.chain, batch.id, name, built.fee)
        return await self._again(batch)

    async def _refused(self, batch: Batch, refusal: str) -> None:
        """The node would not take it, and it is not signed as far as the books go: nothing is lost by giving it up."""
        await self._in_thread(self._books.attempt, batch, "test", "refused", refusal, self._now_ms())
        if "fee" in refusal.lower():
            self._postpone()
            await self._move(batch, BatchEvent.VOID, f"the node wants more fee: {refusal}")
        else:
            await self._move(batch, BatchEvent.HOLD, f"the node would refuse it: {refusal}")

    async def _again(self, batch: Batch) -> Batch | None:
        """The batch as it is in the books now."""
        return next((found for found in await self._in_thread(self._books.batches) if found.id == batch.id), None)

    def _check_due(self) -> bool:
        checked_ms, now_ms = self.check.checked_ms, self._now_ms()
        return checked_ms is None or not checked_ms <= now_ms < checked_ms + CHECK_INTERVAL_MS
