"""The rules a chain pays by: the operator's settings with the chain's own numbers. Pure values."""

from __future__ import annotations

from dataclasses import dataclass

from chains.primitives.address import AddressFormat
from pool.payouts.batch import FeePolicy

MAX_OUTPUTS = 1000
MAX_INPUTS = 600
"""Per transaction; both stay far below 100,000 virtual bytes, the largest that nodes relay."""

ACCOUNT_MAX_INPUTS = 20_000
"""A transfer names none of the coins that it takes, so only the books carry them: months of blocks."""

MAX_FEE_PPM = 10_000
"""A batch whose fee is over 1 % of what it moves waits for better times."""

MAX_REBUILDS = 3
"""How often rows that fell below their minimum are taken out and the rest built again."""


@dataclass(frozen=True, slots=True)
class DustRule:
    """What a chain's nodes call dust: an output worth less than spending it costs at `rate` (per 1000 virtual bytes;
    Bitcoin Core's -dustrelayfee), or less than `floor` where a chain has a fixed one.
    """

    rate: int = 3000
    floor: int = 0


DUST_OF_FAMILY = {
    "litecoin": DustRule(rate=30_000),  # Litecoin Core 0.21, policy.h: DUST_RELAY_TX_FEE 30000
    "dogecoin": DustRule(rate=0, floor=1_000_000),  # Dogecoin Core 1.14, policy.h: DEFAULT_DUST_LIMIT 0.01
}
"""Families that are not here keep Bitcoin Core's rule (policy.h: DUST_RELAY_TX_FEE 3000)."""

INCREMENTAL_RATE = 1000
INCREMENTAL_OF_FAMILY: dict[str, int | None] = {"dogecoin": None}
"""What a replacement must pay on top of the old fee, per 1000 virtual bytes (BIP125, rule 4; Bitcoin and Litecoin Core,
policy.h: DEFAULT_INCREMENTAL_RELAY_FEE 1000). None: nodes of the family keep the first transaction that they saw, and
cannot be asked beforehand (Dogecoin Core 1.14, validation.h: DEFAULT_ENABLE_REPLACEMENT false)."""


@dataclass(frozen=True, slots=True)
class PayoutTerms:
    """Amounts in smallest units, fee rates per 1000 virtual bytes, times in milliseconds. `reward_address` is what the
    chain's blocks pay; None where no wallet is asked whether it has its key.

    `confirmations` make a payout final, `coin_confirmations` a coin spendable; `maturity` is what the chain asks of a
    coinbase, to which one is added. `hot_ceiling` is the most that should lie in the wallet, None for no limit.
    `incremental_rate` is what a replacement adds to the old fee, None where nodes replace nothing. `account` says that
    the wallet is an account, whose transfers have a nonce, and not a set of coins (docs/adr/0021).
    """

    chain: str
    addresses: AddressFormat
    minimum_payout: int
    maturity: int
    confirmations: int = 6
    coin_confirmations: int = 1
    interval_ms: int = 86_400_000
    fee_policy: FeePolicy = FeePolicy.POOL
    max_fee_rate: int = 100_000
    default_fee_rate: int | None = None
    minimum_fee_rate: int = 1000
    fee_target_blocks: int = 6
    dust: DustRule = DustRule()
    reward_address: str | None = None
    max_outputs: int = MAX_OUTPUTS
    max_inputs: int = MAX_INPUTS
    max_fee_ppm: int = MAX_FEE_PPM
    consolidate_above: int = 500
    hot_ceiling: int | None = None
    incremental_rate: int | None = INCREMENTAL_RATE
    account: bool = False


def fee_rate_obstacle(estimate: int | None, terms: PayoutTerms) -> str | None:
    """Why there is no rate to pay by the node's estimate, in words; None when there is one."""
    if usable_fee_rate(estimate, terms) is not None:
        return None
    if estimate is None and terms.default_fee_rate is None:
        return "the node has no fee estimate, and payouts.default_fee_rate is not set"
    wanted = max(terms.default_fee_rate or 0 if estimate is None else estimate, terms.minimum_fee_rate)
    whose = "payouts.default_fee_rate" if estimate is None else "the network's fee rate"
    return f"{whose} is {wanted}, over payouts.max_fee_rate of {terms.max_fee_rate}"


def usable_fee_rate(estimate: int | None, terms: PayoutTerms) -> int | None:
    """The rate to pay: the node's estimate or the default, at least the minimum. None, and so no batch, when there is
    neither, or when it is over the cap: fees are never cut to a rate that nobody would mine.
    """
    rate = terms.default_fee_rate if estimate is None else estimate
    if rate is None:
        return None
    rate = max(rate, terms.minimum_fee_rate)
    return rate if rate <= terms.max_fee_rate else None
