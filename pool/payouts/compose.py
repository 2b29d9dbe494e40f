"""From payouts and coins to inputs, change and fee: what one transaction can carry, to the unit.

Payouts come in order of priority; when the coins or the limits do not suffice for all, the last ones wait. Under
`miner` the fee is taken from the payouts by largest remainder, in proportion to their amounts; whoever would then get
less than his minimum is taken out and the rest fitted again, at most three times. The pool's own part of a fee never
exceeds `pool_budget`, what the operator's equity covers. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from chains.wallet import Coin
from pool.payouts.batch import BatchKind, FeePolicy, Payout
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


@dataclass(frozen=True, slots=True)
class _Fit:
    coins: tuple[Coin, ...]
    change: int
    fee: int
    pool_fee: int


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
    rows = tuple(payouts[: terms.max_outputs])
    if not rows:
        return Postponed(Wait.NOTHING, "nobody is owed enough")
    for _ in range(1 + MAX_REBUILDS):
        rows, fit = _largest_part(rows, usable, terms, fee_policy, fee_rate, change_script, pool_budget)
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
            return Composition(rows, nets, fit.coins, fit.change, fit.fee, fit.pool_fee, fee_rate)
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


def _largest_part(
    rows: tuple[Payout, ...],
    usable: Sequence[Coin],
    terms: PayoutTerms,
    fee_policy: FeePolicy,
    fee_rate: int,
    change_script: bytes,
    pool_budget: int,
) -> tuple[tuple[Payout, ...], _Fit | Postponed]:
    """The longest run of rows from the first on that the coins can pay, and how."""
    reach = sum(coin.amount for coin in usable[: terms.max_inputs])
    wanted = sum(payout.gross for payout in rows)
    refusal = Postponed(Wait.COINS, f"the coins that may be spent hold {reach}")
    if len(usable) > terms.max_inputs and sum(coin.amount for coin in usable) >= wanted > reach:
        refusal = Postponed(Wait.CONSOLIDATION, f"{terms.max_inputs} coins hold no more than {reach}")
    while rows:
        fit: _Fit | Postponed | None = None
        if wanted <= reach:
            fit = _fit(rows, usable, terms, fee_policy, fee_rate, change_script, pool_budget)
        if isinstance(fit, _Fit):
            return rows, fit
        refusal = fit or refusal
        wanted -= rows[-1].gross
        rows = rows[:-1]
    return rows, refusal


def _fit(
    rows: tuple[Payout, ...],
    usable: Sequence[Coin],
    terms: PayoutTerms,
    fee_policy: FeePolicy,
    fee_rate: int,
    change_script: bytes,
    pool_budget: int,
) -> _Fit | Postponed | None:
    """The fewest of the preferred coins that pay all rows. None when they do not suffice."""
    wanted = sum(payout.gross for payout in rows)
    scripts = [payout.script for payout in rows]
    change_dust = dust_limit(change_script, terms.dust)
    over_budget = False
    total = 0
    for count, coin in enumerate(usable[: terms.max_inputs], start=1):
        total += coin.amount
        if total < wanted:
            continue
        coins = tuple(usable[:count])
        lone_weight = transaction_weight([c.script for c in coins], scripts)
        weight = transaction_weight([c.script for c in coins], [*scripts, change_script])
        if weight > MAX_WEIGHT:
            break
        lone_fee, fee = fee_for(virtual_size(lone_weight), fee_rate), fee_for(virtual_size(weight), fee_rate)
        fit = _balance(coins, total - wanted, lone_fee, fee, change_dust, fee_policy)
        if fit is None:
            continue
        if fit.pool_fee <= pool_budget:
            return fit
        over_budget = True
    if over_budget:
        return Postponed(Wait.POOL_EQUITY, f"the operator's equity covers a fee of {max(pool_budget, 0)}, not more")
    return None


def _balance(
    coins: tuple[Coin, ...], over: int, lone_fee: int, fee: int, change_dust: int, fee_policy: FeePolicy
) -> _Fit | None:
    """What becomes of `over`, the coins' amount beyond the payouts. Change too small to be an output goes to the fee,
    and the pool bears it: it is no miner's."""
    if fee_policy is FeePolicy.MINER:
        if over >= change_dust:
            return _Fit(coins, over, fee, 0)
        return _Fit(coins, 0, lone_fee + over, over)
    if over - fee >= change_dust:
        return _Fit(coins, over - fee, fee, fee)
    return _Fit(coins, 0, over, over) if over >= lone_fee else None


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
