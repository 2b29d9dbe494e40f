"""How small an order of the operator's may be: what no transaction could carry is refused before it is taken. Pure."""

from __future__ import annotations

from pool.payouts.sizes import dust_limit, fee_for, output_size, transaction_weight, transfer_size, virtual_size
from pool.payouts.terms import PayoutTerms

_SMALLEST_INPUT = b"\x51\x20" + bytes(32)
"""A taproot coin, which takes the least to spend: what is refused for its fee would be refused with any coin."""

_SMALLEST_SENDER = b"\x00\x14" + bytes(20)


def order_obstacle(script: bytes, amount: int, terms: PayoutTerms) -> str | None:
    """Why an amount cannot be sent to a script however low fees are, in words; None when it can."""
    dust = dust_limit(script, terms.dust)
    if amount < dust:
        return f"expected at least {max(dust, _least_for_fee(script, terms))}, for nodes take no output below {dust}"
    least = _least_for_fee(script, terms)
    if amount < least:
        share = f"{terms.max_fee_ppm / 10_000:g} %"
        return f"expected at least {least}, for of less the network's fee is over {share} at any rate"
    return None


def _least_for_fee(script: bytes, terms: PayoutTerms) -> int:
    """The least amount of which the smallest fee is not too large a share."""
    size = virtual_size(transaction_weight([_SMALLEST_INPUT], [script]))
    if terms.account:
        size = transfer_size(_SMALLEST_SENDER, 1, output_size(script))
    fee = fee_for(size, terms.minimum_fee_rate)
    return -(-fee * 1_000_000 // terms.max_fee_ppm)
