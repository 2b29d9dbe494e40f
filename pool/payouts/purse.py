"""The coins at hand and what they can pay, reckoned from running sums: so cheap that every payout can be tried alone.

Of the coins, which are in order of preference, the fewest are taken: the first ones up to some number. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from chains.primitives.serialize import compact_size
from chains.wallet import Coin
from pool.payouts.batch import FeePolicy, Payout
from pool.payouts.sizes import (
    MAX_WEIGHT,
    dust_limit,
    fee_for,
    output_size,
    running_input_weights,
    transfer_size,
    virtual_size,
    weight_of,
)
from pool.payouts.terms import PayoutTerms


@dataclass(frozen=True, slots=True)
class Load:
    """What a set of payouts asks of the coins: their sum, how many outputs they are and the bytes of those."""

    gross: int = 0
    outputs: int = 0
    output_bytes: int = 0

    def plus(self, payout: Payout) -> Load:
        """The load with one more payout."""
        return Load(self.gross + payout.gross, self.outputs + 1, self.output_bytes + output_size(payout.script))


def load_of(payouts: Iterable[Payout]) -> Load:
    load = Load()
    for payout in payouts:
        load = load.plus(payout)
    return load


@dataclass(frozen=True, slots=True)
class Fit:
    """How the first `inputs` coins pay a load: what comes back, the fee, and the pool's part of it."""

    inputs: int
    change: int
    fee: int
    pool_fee: int


class Payer(Protocol):
    """What pays a load: coins or an account."""

    coins: tuple[Coin, ...]
    pool_budget: int
    fee_policy: FeePolicy
    reach: int

    def fit(self, load: Load) -> Fit | None: ...


class Purse:
    """The coins that one transaction may spend, with the rules it is made by. `reach` is what they hold together."""

    def __init__(
        self,
        usable: Sequence[Coin],
        terms: PayoutTerms,
        *,
        fee_policy: FeePolicy,
        fee_rate: int,
        change_script: bytes,
        pool_budget: int,
    ) -> None:
        self.coins = tuple(usable[: terms.max_inputs])
        self.pool_budget = pool_budget
        self.fee_policy = fee_policy
        self._fee_rate = fee_rate
        self._change_dust = dust_limit(change_script, terms.dust)
        self._change_bytes = output_size(change_script)
        self._totals = list(accumulate((coin.amount for coin in self.coins), initial=0))
        self._weights = running_input_weights(coin.script for coin in self.coins)
        # What coins are worth beyond the fee for spending them, in quarter thousandths: the most of any number of them.
        worths = (4000 * total - fee_rate * weight for total, weight in zip(self._totals, self._weights, strict=True))
        self._most_worth = max(worths)
        self.reach = self._totals[-1]

    def fit(self, load: Load) -> Fit | None:
        """The fewest coins that pay the load with no more of the pool's money than its budget; when only the budget is
        in the way, a fit over it. None when the coins do not suffice.
        """
        if load.gross > self.reach or not self._fee_is_there(load):
            return None
        over_budget: Fit | None = None
        for inputs in range(max(1, bisect_left(self._totals, load.gross)), len(self._totals)):
            weight = self._weight(inputs, load.outputs + 1, load.output_bytes + self._change_bytes)
            if weight > MAX_WEIGHT:
                break
            lone_fee = self._fee(self._weight(inputs, load.outputs, load.output_bytes))
            fit = self._balance(inputs, self._totals[inputs] - load.gross, lone_fee, self._fee(weight))
            if fit is None:
                continue
            if fit.pool_fee <= self.pool_budget:
                return fit
            over_budget = over_budget or fit
            if self.fee_policy is FeePolicy.POOL and lone_fee > self.pool_budget:
                break  # more coins cost more
        return over_budget

    def _fee_is_there(self, load: Load) -> bool:
        """Whether any number of the coins holds the load and the least fee, unrounded; False is certain. Without this,
        a load that lacks nothing but its fee would be tried with each number of them."""
        if self.fee_policy is FeePolicy.MINER:
            return True
        least_weight = 4 * (9 + len(compact_size(load.outputs)) + load.output_bytes)
        return self._most_worth >= 4000 * load.gross + self._fee_rate * least_weight

    def _weight(self, inputs: int, outputs: int, output_bytes: int) -> int:
        return weight_of(inputs, self._weights[inputs], outputs, output_bytes)

    def _fee(self, weight: int) -> int:
        return fee_for(virtual_size(weight), self._fee_rate)

    def _balance(self, inputs: int, over: int, lone_fee: int, fee: int) -> Fit | None:
        """What becomes of `over`, the coins' amount beyond the payouts, when the fee is `lone_fee` without change and
        `fee` with it. Change too small to be an output goes to the fee, and the pool bears it: it is no miner's.
        """
        if self.fee_policy is FeePolicy.MINER:
            if over >= self._change_dust:
                return Fit(inputs, over, fee, 0)
            return Fit(inputs, 0, lone_fee + over, over)
        if over - fee >= self._change_dust:
            return Fit(inputs, over - fee, fee, fee)
        return Fit(inputs, 0, over, over) if over >= lone_fee else None


class AccountPurse:
    """An account, seen as coins. A transfer takes all of them and leaves the rest as one: it is as large, and costs as
    much, whatever it takes, and what is left may be as small as it likes."""

    def __init__(
        self,
        usable: Sequence[Coin],
        terms: PayoutTerms,
        *,
        fee_policy: FeePolicy,
        fee_rate: int,
        change_script: bytes,
        pool_budget: int,
    ) -> None:
        self.coins = tuple(usable[: terms.max_inputs])
        self.pool_budget = pool_budget
        self.fee_policy = fee_policy
        self.reach = sum(coin.amount for coin in self.coins)
        self._fee_rate = fee_rate
        self._script = change_script

    def fit(self, load: Load) -> Fit | None:
        """None when the account does not hold enough."""
        fee = fee_for(transfer_size(self._script, load.outputs, load.output_bytes), self._fee_rate)
        pool_fee = 0 if self.fee_policy is FeePolicy.MINER else fee
        left = self.reach - load.gross - pool_fee
        return Fit(len(self.coins), left, fee, pool_fee) if left >= 0 else None
