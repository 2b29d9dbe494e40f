"""From payouts and coins to inputs, change and fee: what one transaction can carry, to the unit.

Payouts come in order of priority. One that the coins cannot cover beside those before it waits, and keeps nobody else
waiting; of more than a transaction may have, the last ones wait. Under `miner` the fee is taken from the payouts by
largest remainder, in proportion to their amounts; whoever would then get less than his minimum is taken out and the
rest fitted again, at most three times. The pool's own part of a fee never exceeds `pool_budget`, what the operator's
equity covers. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from chains.wallet import Coin
from pool.payouts.batch import BatchKind, FeePolicy, Payout
from pool.payouts.purse import AccountPurse, Fit, Load, Payer, Purse, load_of
from pool.payouts.sizes import MAX_WEIGHT, dust_limit, fee_for, transaction_weight, virtual_size
from pool.payouts.terms import MAX_REBUILDS, PayoutTerms

PPM = 1_000_000


class Wait(StrEnum):
    """Why a batch has to wait."""

    NOTHING = "nothing_to_pay"
    COINS = "short_of_coins"
    CONSOLIDATION = "too_many_small_coins"
    POOL_EQUITY = "fee_over_equity"
    FEE_SHARE = "fee_over_share"
    FEE_RATE = "no_fee_rate"
    MINIMUM = "below_minimum_after_fee"


@dataclass(frozen=True, slots=True)
class Postponed:
    """No batch now; `words` are for the log."""

    wait: Wait
    words: str


@dataclass(frozen=True, slots=True)
class Composition:
    """What a transaction will be made of. `nets` belongs to `payouts`, in order; sum(coins) = sum(nets) + change + fee,
    and fee = pool_fee + sum(gross - net). `change` is 0 when none comes back, `fee_rate` what the fee was reckoned by.
    """

    payouts: tuple[Payout, ...]
    nets: tuple[int, ...]
    coins: tuple[Coin, ...]
    change: int
    fee: int
    pool_fee: int
    fee_rate: int


def compose(
    kind: BatchKind,
    payouts: Sequence[Payout],
    usable: Sequence[Coin],
    terms: PayoutTerms,
    *,
    fee_policy: FeePolicy,
    fee_rate: int,
    change_script: bytes,
    pool_budget: int,
) -> Composition | Postponed:
    """The transaction for as many of the payouts as can be paid now. `usable` is in order of preference; a
    consolidation has no payouts and takes all of it.
    """
    if kind is BatchKind.CONSOLIDATE:
        return _consolidation(usable, terms, fee_rate, change_script, pool_budget)
    rows = tuple(payouts)
    if not rows or terms.max_outputs < 1:
        return Postponed(Wait.NOTHING, "nobody is owed enough")
    purse = (AccountPurse if terms.account else Purse)(
        usable, terms, fee_policy=fee_policy, fee_rate=fee_rate, change_script=change_script, pool_budget=pool_budget
    )
    for _ in range(1 + MAX_REBUILDS):
        rows, fit = _payable(rows, usable, purse, terms)
        if isinstance(fit, Postponed):
            return fit
        moved = sum(payout.gross for payout in rows)
        if fit.fee * PPM > moved * terms.max_fee_ppm:
            return Postponed(Wait.FEE_SHARE, f"a fee of {fit.fee} is too much for a batch of {moved}")
        parts = fee_parts(fit.fee - fit.pool_fee, [payout.gross for payout in rows])
        nets = tuple(payout.gross - part for payout, part in zip(rows, parts, strict=True))
        good = tuple(
            payout for payout, net in zip(rows, nets, strict=True)
            if net >= max(payout.minimum, dust_limit(payout.script, terms.dust))
        )  # fmt: skip
        if good == rows:
            return Composition(rows, nets, purse.coins[: fit.inputs], fit.change, fit.fee, fit.pool_fee, fee_rate)
        if not good:
            break
        rows = good
    return Postponed(Wait.MINIMUM, f"payouts stay below their minimum after the fee at a rate of {fee_rate}")


def fee_parts(fee: int, amounts: Sequence[int]) -> list[int]:
    """The fee divided in proportion to amounts by largest remainder; the earlier row wins a tie. Sums to `fee`."""
    total = sum(amounts)
    if fee == 0 or total == 0:
        return [0] * len(amounts)
    parts = [fee * amount // total for amount in amounts]
    order = sorted(range(len(amounts)), key=lambda place: (-(fee * amounts[place] % total), place))
    for place in order[: fee - sum(parts)]:
        parts[place] += 1
    return parts


def _payable(
    payouts: tuple[Payout, ...], usable: Sequence[Coin], purse: Payer, terms: PayoutTerms
) -> tuple[tuple[Payout, ...], Fit | Postponed]:
    """As many payouts as can be paid, in their order: one that the coins at hand cannot cover beside those before it
    is passed over, so that it keeps nobody waiting. It cannot starve: what is owed is in the wallet, and each payment
    to somebody else leaves its share in it.

    One that only the operator's equity is too small for ends the list under `pool`: fees for those behind it would be
    paid from what it waits for.
    """
    first = payouts[: terms.max_outputs]
    fit = purse.fit(load_of(first))
    if fit is not None and fit.pool_fee <= purse.pool_budget:
        return first, fit
    refusal = _short_of_coins(payouts, usable, purse)
    taken: list[Payout] = []
    load, best = Load(), None
    for payout in payouts:
        if len(taken) == terms.max_outputs:
            break
        more = load.plus(payout)
        fit = purse.fit(more)
        if fit is None:
            continue
        if fit.pool_fee <= purse.pool_budget:
            taken.append(payout)
            load, best = more, fit
            continue
        budget = max(purse.pool_budget, 0)
        refusal = Postponed(Wait.POOL_EQUITY, f"the operator's equity covers a fee of {budget}, not more")
        if purse.fee_policy is FeePolicy.POOL:
            break
    return tuple(taken), best or refusal


def _short_of_coins(payouts: tuple[Payout, ...], usable: Sequence[Coin], purse: Payer) -> Postponed:
    """Why no payout can be paid when it is for coins: there are too few, or too small ones, of which the first hold
    less than the smallest payout and all together enough for it.
    """
    least = min(payout.gross for payout in payouts)
    if sum(coin.amount for coin in usable) >= least > purse.reach:
        return Postponed(Wait.CONSOLIDATION, f"{len(purse.coins)} coins hold no more than {purse.reach}")
    return Postponed(Wait.COINS, f"the coins that may be spent hold {purse.reach}")


def _consolidation(
    coins: Sequence[Coin], terms: PayoutTerms, fee_rate: int, change_script: bytes, pool_budget: int
) -> Composition | Postponed:
    chosen = list(coins[: terms.max_inputs])
    while len(chosen) >= 2 and transaction_weight([coin.script for coin in chosen], [change_script]) > MAX_WEIGHT:
        chosen.pop()
    if len(chosen) < 2:
        return Postponed(Wait.NOTHING, "there are no two coins to make one of")
    total = sum(coin.amount for coin in chosen)
    fee = fee_for(virtual_size(transaction_weight([coin.script for coin in chosen], [change_script])), fee_rate)
    if fee * PPM > total * terms.max_fee_ppm or total - fee < dust_limit(change_script, terms.dust):
        return Postponed(Wait.FEE_SHARE, f"a fee of {fee} is too much for coins of {total}")
    if fee > pool_budget:
        return Postponed(Wait.POOL_EQUITY, f"the operator's equity covers a fee of {max(pool_budget, 0)}, not {fee}")
    return Composition((), (), tuple(chosen), total - fee, fee, fee, fee_rate)
