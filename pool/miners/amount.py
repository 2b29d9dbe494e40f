"""Amounts as people write them in a settings message: coins with a decimal point, exact to the smallest unit."""

from __future__ import annotations

import re

COIN_DIGITS = 8
"""Every family in chains/families.py has 10^8 smallest units in a coin (Bitcoin Core: COIN in amount.h)."""

COIN = 10**COIN_DIGITS
MAX_AMOUNT = 2**63 - 1
"""What the books can hold."""

_COINS = re.compile(r"(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,8}))?", re.ASCII)


def parse_coins(text: str) -> int:
    """Smallest units of an amount in coins: `0.5`, `12`, `0.00000001`. Raises ValueError, in words for people."""
    found = _COINS.fullmatch(text)
    if found is None:
        raise ValueError(f"expected an amount in coins, such as 0.5, with at most {COIN_DIGITS} digits after the point")
    amount = int(found[1]) * COIN + int((found[2] or "").ljust(COIN_DIGITS, "0"))
    if amount > MAX_AMOUNT:
        raise ValueError("the amount is larger than the books can hold")
    return amount


def coins_text(amount: int) -> str:
    """The shortest text that `parse_coins` reads as this amount (not negative)."""
    whole, part = divmod(amount, COIN)
    digits = f"{part:0{COIN_DIGITS}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
