"""PPS: what shares are worth, what is credited of it, and what a thin purse pays; the sums exact whatever the order."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pool.accounting.pps import FOLDED_BITS, affordable, fold, owed, worth
from pool.shares.scheme import Rate

rates = st.builds(Rate, st.integers(0, 10**15), st.integers(1, 2**90), st.integers(0, 1_000_000))
accrued = st.lists(st.tuples(rates, st.integers(0, 2**80)), max_size=8)


def test_pps_credits_a_share_worth_less_than_a_unit_when_enough_of_them_are_there() -> None:
    rate = Rate(2, 1000, 0)  # 0.002 units a hash
    credited = 0
    for sent in range(1, 2001):
        now = owed(worth([(rate, sent)]), credited)
        assert now == (1 if sent % 500 == 0 else 0)
        credited += now
    assert credited == 4


@given(accrued, st.data())
def test_pps_credits_add_up_to_the_whole_worth_however_often_they_are_made(
    shares: list[tuple[Rate, int]], data: st.DataObject
) -> None:
    credited = 0
    for count in sorted(data.draw(st.lists(st.integers(0, len(shares)), max_size=5))):
        credited += owed(worth(shares[:count]), credited)
    credited += owed(worth(shares), credited)
    total = sum((Fraction(w * r.reward * (1_000_000 - r.fee_ppm), r.work * 1_000_000) for r, w in shares), Fraction(0))
    assert credited == total.numerator // total.denominator


@given(accrued, st.randoms())
def test_pps_worth_does_not_depend_on_the_order(shares: list[tuple[Rate, int]], random: object) -> None:
    shuffled = list(shares)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert worth(shuffled) == worth(shares)


@given(rates, st.integers(0, 2**60), st.integers(0, 2**60))
def test_pps_pays_more_weight_never_less_and_halves_like_the_whole(rate: Rate, weight: int, more: int) -> None:
    assert worth([(rate, weight)]) <= worth([(rate, weight + more)])
    assert worth([(rate, weight), (rate, weight)]) == worth([(rate, 2 * weight)])


@given(accrued, accrued)
def test_pps_folding_loses_next_to_nothing_and_never_gives(
    over: list[tuple[Rate, int]], live: list[tuple[Rate, int]]
) -> None:
    exact, folded = worth(over + live), worth(live, fold(over))
    assert 0 <= exact - folded <= Fraction(len(over), 1 << FOLDED_BITS)


def test_pps_owes_nothing_when_more_was_credited_than_is_there() -> None:
    assert owed(Fraction(5), 7) == 0


@given(st.dictionaries(st.integers(1, 50), st.integers(0, 10**15), max_size=20), st.integers(-5, 10**15))
def test_pps_pays_from_a_thin_purse_in_proportion_and_no_unit_more(amounts: dict[int, int], available: int) -> None:
    paid = affordable(amounts, available)
    assert paid.keys() == amounts.keys()
    assert all(0 <= paid[account] <= amounts[account] for account in amounts)
    assert sum(paid.values()) == min(sum(amounts.values()), max(0, available))
