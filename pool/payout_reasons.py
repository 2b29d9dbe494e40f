"""Why a chain pays nothing now, in plain words, out of a snapshot of the books and a look at the node's fee."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from pool.ledger.solvency import payout_obstacle
from pool.payouts.batch import BatchState, FeePolicy
from pool.payouts.plan import Passed, Plan, is_due, plan
from pool.payouts.terms import PayoutTerms
from pool.storage import payout_coins, payout_holds, payout_rows
from pool.storage.payout_store import claims, funds
from pool.storage.payout_tables import payout_batches

_PASSED = {
    Passed.BELOW_MINIMUM: "are below their minimum",
    Passed.FROZEN: "are frozen",
    Passed.HELD: "have given no address of this chain",
    Passed.QUARANTINED: "have an address that cannot be paid to",
    Passed.BAD_ADDRESS: "have an address that is none",
}
_IN_THE_WAY = {
    BatchState.PLANNED: "is to be signed",
    BatchState.BUILT: "is to be signed",
    BatchState.SIGNED: "is signed and not sent yet",
    BatchState.BROADCAST: "is sent and in no block yet",
    BatchState.CONFLICTED: "is conflicted",
    BatchState.HOLD: "is on hold",
}


@dataclass(frozen=True, slots=True)
class Reasons:
    """Lines for people, and whether all that is left to ask is the network's fee."""

    lines: tuple[str, ...]
    wants_fee: bool = False


def reasons(connection: Connection, terms: PayoutTerms, now_ms: int) -> Reasons:
    """What the accounts of a chain wait for. The first thing in the way is told, as the payer would meet it."""
    planned = plan(claims(connection, terms.chain), terms, lambda: "")
    lines = [_wanted(planned), *_passed(planned)]
    obstacle = _obstacle(connection, terms, planned, now_ms)
    if obstacle is not None:
        return Reasons((*lines, f"nothing is paid now: {obstacle}"))
    return Reasons(tuple(lines), wants_fee=True)


def fee_line(obstacle: str | None) -> str:
    """The last line, when the fee is known or known to be none."""
    return "they are paid with the next pass of the payer" if obstacle is None else f"nothing is paid now: {obstacle}"


def _wanted(planned: Plan) -> str:
    if not planned.payouts:
        return "nobody is to be paid"
    return f"{_accounts(len(planned.payouts))} to be paid {planned.total}"


def _passed(planned: Plan) -> Sequence[str]:
    count: Counter[Passed] = Counter()
    total: Counter[Passed] = Counter()
    for claim, reason, _ in planned.passed:
        count[reason] += 1
        total[reason] += claim.available
    return [f"{_accounts(count[r])} with {total[r]} {words}" for r, words in _PASSED.items() if count[r]]


def _accounts(count: int) -> str:
    return f"{count} account" if count == 1 else f"{count} accounts"


def _obstacle(connection: Connection, terms: PayoutTerms, planned: Plan, now_ms: int) -> str | None:
    causes = [hold.cause for hold in payout_holds.in_force(connection, terms.chain)]
    if causes:
        return f"the chain is on hold ({', '.join(causes)})"
    for batch in payout_rows.watched(connection, terms.chain):
        if batch.state in _IN_THE_WAY:
            return f"batch {batch.id} {_IN_THE_WAY[batch.state]}, and the next one waits for it"
    money = funds(connection, terms.chain)
    obstacle = payout_obstacle(money.cover)
    if obstacle is not None:
        return obstacle
    last_ms = _last_planned_ms(connection, terms.chain)
    if last_ms is not None and not is_due(now_ms, last_ms, terms):
        return f"the next batch is due at {_time(last_ms + terms.interval_ms)}"
    if not planned.payouts:
        return "nobody is owed enough"
    if terms.fee_policy is FeePolicy.POOL and money.fee_budget <= 0:
        return "the pool bears the fees, and nothing lies above what is owed: `pool payouts fund` puts money in"
    return _coins(connection, terms, planned)


def _coins(connection: Connection, terms: PayoutTerms, planned: Plan) -> str | None:
    """Only when the coins of the books suffice for nobody: which of them are deep enough the wallet knows."""
    coins = payout_coins.free_amount(connection, terms.chain)
    least = min(payout.gross for payout in planned.payouts)
    if coins >= least:
        return None
    cold = sum(coin.amount for coin in payout_coins.cold_coins(connection, terms.chain))
    swept = f", and {cold} are swept" if cold else ""
    return f"the coins that may be spent hold {coins}, the smallest payout is {least}{swept}"


def _last_planned_ms(connection: Connection, chain: str) -> int | None:
    column = payout_batches.c
    query = select(func.max(column.created_ms)).where(
        column.chain == chain, column.kind == "payout", column.state != "void"
    )
    return connection.execute(query).scalar_one_or_none()


def _time(time_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ms / 1000))
