"""A transaction to take the place of one that nobody mines: the same payouts, all of the same coins, a higher fee.

The rules are BIP125's. Every transaction of a batch spends the coins of the ones before it, so that only one of them
can ever be in the chain; further coins are added when the change does not carry the fee. What each payout gets stays
what it was, to the unit, whoever bore the first fee: the pool bears the difference. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from chains.primitives.transaction import parse_transaction
from chains.wallet import Coin
from pool.payouts.batch import Batch
from pool.payouts.compose import PPM, Composition
from pool.payouts.sizes import MAX_WEIGHT, dust_limit, fee_for, transaction_weight, virtual_size
from pool.payouts.terms import PayoutTerms

LAST_REPLACEABLE = 0xFFFFFFFD
"""A transaction may be replaced when one of its inputs has a sequence of no more than this (BIP125)."""


class ReplaceRefusedError(Exception):
    """There is no replacement by these terms: one sentence. The batch goes on with the transactions that it has."""


class CoinsShortError(ReplaceRefusedError):
    """The coins at hand do not carry the fee; further ones may."""


def replacement(
    batch: Batch,
    usable: Sequence[Coin],
    terms: PayoutTerms,
    *,
    fee_rate: int,
    change_script: bytes,
    fee_budget: int,
) -> Composition:
    """The next transaction of a signed batch. `usable` are further coins in order of preference, `change_script` is
    where change goes, `fee_budget` is what the pool may pay for fees beyond what is promised already (`Funds`). Raises
    ReplaceRefusedError.
    """
    check_replaceable(batch, terms)
    if fee_rate > terms.max_fee_rate:
        raise ReplaceRefusedError(f"a fee rate of {fee_rate} is over payouts.max_fee_rate, {terms.max_fee_rate}")
    built = batch.built
    assert built is not None
    by_id = {payout.id: payout for payout in batch.payouts}
    payouts = tuple(by_id[output.payout_id] for output in built.outputs)
    nets = tuple(output.net for output in built.outputs)
    coins, change, fee = _fit(batch, [payout.script for payout in payouts], sum(nets), usable, terms, fee_rate,
                              change_script)  # fmt: skip
    moved = sum(payout.gross for payout in payouts) or sum(coin.amount for coin in coins)
    if fee * PPM > moved * terms.max_fee_ppm:
        raise ReplaceRefusedError(f"a fee of {fee} is too much for a batch of {moved}")
    pool_fee = fee - sum(output.fee_part for output in built.outputs)
    if pool_fee - built.pool_fee > fee_budget:
        raise ReplaceRefusedError(
            f"the pool has to bear {pool_fee - built.pool_fee} more, and the operator's equity covers"
            f" {max(fee_budget, 0)}: fund the pool first"
        )
    return Composition(payouts, nets, coins, change, fee, pool_fee, fee_rate)


def check_replaceable(batch: Batch, terms: PayoutTerms) -> None:
    """Raises ReplaceRefusedError when a batch cannot have another transaction, whatever its fee."""
    if not batch.replaceable:
        raise ReplaceRefusedError(
            f"batch {batch.id} is {batch.state}; only one that is signed or broadcast has a fee to raise"
        )
    if terms.account:
        raise ReplaceRefusedError(f"a transfer of {terms.chain} keeps the fee that it was signed with")
    if terms.incremental_rate is None:
        raise ReplaceRefusedError(f"the nodes of {terms.chain} do not replace a transaction that waits")
    for version in batch.versions:
        assert version.raw is not None
        if all(i.sequence > LAST_REPLACEABLE for i in parse_transaction(version.raw).inputs):
            raise ReplaceRefusedError(f"batch {batch.id} does not say that it may be replaced (BIP125)")


def least_fee(batch: Batch, vsize: int, fee_rate: int, terms: PayoutTerms) -> int:
    """What a replacement of a size (virtual bytes, at most) has to pay: the rate; more than every transaction of the
    batch by the nodes' increment; and a higher rate than each of theirs.
    """
    fee = fee_for(vsize, fee_rate)
    for version in batch.versions:
        assert version.raw is not None and version.built is not None
        old, size = version.built.fee, virtual_size(parse_transaction(version.raw).weight)
        fee = max(fee, old + fee_for(vsize, terms.incremental_rate or 0), old * vsize // size + 1)
    return fee


def _fit(
    batch: Batch,
    scripts: list[bytes],
    wanted: int,
    usable: Sequence[Coin],
    terms: PayoutTerms,
    fee_rate: int,
    change_script: bytes,
) -> tuple[tuple[Coin, ...], int, int]:
    """Coins, change and fee: the coins of the batch's newest transaction, and as few further ones as do."""
    newest = max(batch.versions, key=lambda version: version.version)
    assert newest.built is not None
    own = newest.built.coins
    further = [coin for coin in usable if coin.outpoint not in newest.built.inputs]
    change_dust = dust_limit(change_script, terms.dust)
    least = 0
    for count in range(max(0, min(len(further), terms.max_inputs - len(own))) + 1):
        coins = (*own, *further[:count])
        inputs = [coin.script for coin in coins]
        weight = transaction_weight(inputs, [*scripts, change_script])
        if weight > MAX_WEIGHT:
            break
        size, lone_size = virtual_size(weight), virtual_size(transaction_weight(inputs, scripts))
        over = sum(coin.amount for coin in coins) - wanted
        least, lone = (least_fee(batch, vsize, fee_rate, terms) for vsize in (size, lone_size))
        if least > fee_for(size, terms.max_fee_rate):
            raise ReplaceRefusedError(f"the least fee of a replacement, {least}, is over payouts.max_fee_rate")
        if over - least >= change_dust:
            return coins, over - least, least
        if scripts and lone <= over:
            return coins, 0, over
    held = sum(coin.amount for coin in (*own, *further))
    raise CoinsShortError(f"the coins that may be spent hold {held}, and payouts and a fee of {least} take more")
