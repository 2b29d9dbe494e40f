"""What FPPS promises for fees, and when a low reserve takes PPS back."""

from __future__ import annotations

import pytest

from pool.accounting.mean_fees import CHANGE_S, SAMPLES, MeanFees
from pool.accounting.reserve import ReserveGuard


def test_mean_fees_take_the_last_template_of_each_height() -> None:
    fees = MeanFees()
    for height, amount in ((1, 10), (1, 30), (2, 5), (2, 50), (3, 0)):
        fees.offered(height, amount)
    assert fees.mean() == (30 + 50) // 2


def test_mean_fees_begin_with_what_the_first_template_offers() -> None:
    fees = MeanFees()
    assert fees.promised(0.0) == 0
    fees.offered(7, 12)
    assert fees.promised(1.0) == 12


def test_mean_fees_forget_heights_beyond_the_last_144() -> None:
    fees = MeanFees()
    for height in range(SAMPLES + 3):
        fees.offered(height, 1000 if height < 2 else 6)
    assert fees.mean() == 6


def test_mean_fees_change_what_is_promised_at_most_every_ten_minutes() -> None:
    fees = MeanFees()
    fees.offered(1, 100)
    assert fees.promised(0.0) == 100
    fees.offered(2, 700)
    fees.offered(3, 0)
    assert fees.mean() == 400
    assert fees.promised(CHANGE_S - 0.1) == 100
    assert fees.promised(CHANGE_S) == 400


def test_mean_fees_of_a_value_below_the_subsidy_are_none() -> None:
    fees = MeanFees()
    fees.offered(1, -50)
    assert fees.promised(0.0) == 0


def test_reserve_falls_back_below_the_minimum_and_returns_only_at_the_higher_mark() -> None:
    guard = ReserveGuard(100, 200)
    assert guard.suspended
    assert [guard.update(reserve) for reserve in (150, 100, 99, 50, 100, 199, 200, 150)] == [
        "restored", None, "low", None, None, None, "restored", None,
    ]  # fmt: skip
    assert not guard.suspended


def test_reserve_that_begins_too_low_is_told() -> None:
    guard = ReserveGuard(100, 200)
    assert guard.update(99) == "low"
    assert guard.update(150) is None
    assert guard.suspended


@pytest.mark.parametrize(("minimum", "resume"), [(0, 5), (5, 4), (-1, 1)])
def test_reserve_marks_that_make_no_sense_are_refused(minimum: int, resume: int) -> None:
    with pytest.raises(ValueError, match="expected 0 <"):
        ReserveGuard(minimum, resume)
