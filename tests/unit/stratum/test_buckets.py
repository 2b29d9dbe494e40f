"""The histogram of plain numbers."""

from __future__ import annotations

from stratum.buckets import Buckets


def test_buckets_count_cumulatively_and_a_bound_belongs_to_its_bucket() -> None:
    buckets = Buckets((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        buckets.observe(value)
    assert list(buckets.cumulative()) == [("0.1", 2), ("1.0", 3), ("+Inf", 4)]
    assert buckets.sum == 7.65


def test_buckets_add_up() -> None:
    ours, theirs = Buckets((1.0,)), Buckets((1.0,))
    ours.observe(0.5)
    theirs.observe(2.0)
    ours.add(theirs)
    assert list(ours.cumulative()) == [("1.0", 1), ("+Inf", 2)] and ours.sum == 2.5
