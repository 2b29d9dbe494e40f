"""Which coins a batch spends: confirmed and mature ones that the books know and nobody has reserved, always named.

The choice depends on nothing but the coins, so that a batch that is built again after a crash is the same one. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from chains.wallet import Coin, Outpoint
from pool.payouts.sizes import can_be_sized
from pool.payouts.terms import PayoutTerms


def spendable(
    coins: Sequence[Coin], booked: Collection[Outpoint], reserved: Collection[Outpoint], terms: PayoutTerms
) -> list[Coin]:
    """The coins that may be spent, largest first, ties in outpoint order.

    Only coins in `booked` (known to the books and not a stranger's) count, without those `reserved` by a batch. A
    coinbase waits for one block more than the chain asks (P15): the block that spends it is the next one, and some
    wallets count from there. Change waits like any other coin, so that no chain of unconfirmed transactions grows.
    """
    usable = [
        coin
        for coin in coins
        if coin.outpoint in booked
        and coin.outpoint not in reserved
        and coin.confirmations >= max(1, terms.coin_confirmations)
        and (not coin.coinbase or coin.confirmations > terms.maturity)
        and coin.amount > 0
        and can_be_sized(coin.script)
    ]
    return sorted(usable, key=lambda coin: (-coin.amount, coin.outpoint))


def lacks(coins: Sequence[Coin], wanted: Collection[Outpoint], terms: PayoutTerms) -> bool:
    """Whether a coin that was chosen once may not be spent any more: a reorganisation can take it meanwhile."""
    return len(spendable(coins, wanted, (), terms)) < len(wanted)


def is_crowded(usable: Sequence[Coin], terms: PayoutTerms) -> bool:
    """Whether there are so many coins that some are to be made one without anybody asking for it."""
    return len(usable) > terms.consolidate_above


def to_consolidate(usable: Sequence[Coin], terms: PayoutTerms) -> list[Coin]:
    """The smallest coins, at most as many as a transaction may have inputs; none when there are no two."""
    chosen = sorted(usable, key=lambda coin: (coin.amount, coin.outpoint))[: terms.max_inputs]
    return chosen if len(chosen) >= 2 else []
