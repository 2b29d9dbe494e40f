from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.miners.amount import COIN, MAX_AMOUNT, coins_text, parse_coins


@pytest.mark.parametrize(
    ("text", "amount"),
    [("0", 0), ("1", COIN), ("0.5", COIN // 2), ("0.00000001", 1), ("21000000", 21_000_000 * COIN),
     ("1.10", 11 * COIN // 10)],
)
def test_miners_amount_is_read_to_the_unit(text: str, amount: int) -> None:
    assert parse_coins(text) == amount


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "-0.5", ".5", "1.", "01", "1,5", "1e3", "0.000000001", "1 000", " 1", "nan", "٣", "1/2", "1_0"],
)
def test_miners_amount_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected an amount in coins"):
        parse_coins(text)


def test_miners_amount_beyond_the_books_is_refused() -> None:
    assert parse_coins("92233720368.54775807") == MAX_AMOUNT
    for text in ("92233720368.54775808", "999999999999"):
        with pytest.raises(ValueError, match="larger than"):
            parse_coins(text)


@given(st.integers(0, MAX_AMOUNT))
def test_miners_amount_reads_what_it_writes(amount: int) -> None:
    assert parse_coins(coins_text(amount)) == amount
