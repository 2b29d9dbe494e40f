"""What an operator sees of a connection's hashrate: the shares that count, or the estimate, or nothing yet."""

from __future__ import annotations

import pytest

from stratum.vardiff import FIRST_SHARES, Vardiff


def test_measured_needs_shares_before_it_says_anything() -> None:
    vardiff = Vardiff(8.0, 1.0, 1024.0, 4.0, now=100.0)
    assert vardiff.measured(100.0) is None
    for number in range(1, FIRST_SHARES):
        vardiff.share(8.0, 100.0 + 4.0 * number)
        assert vardiff.measured(100.0 + 4.0 * number) is None
    vardiff.share(8.0, 132.0)
    assert vardiff.measured(132.0) == pytest.approx(2.0)
    assert vardiff.measured(164.0) == pytest.approx(1.0), "who falls silent counts for less and less"


def test_measured_goes_on_from_the_estimate_after_a_retarget() -> None:
    vardiff = Vardiff(1.0, 1.0, 1024.0, 4.0, now=0.0)
    now = 0.0
    while not vardiff.retargets:
        now += 0.1
        vardiff.share(1.0, now)
    assert vardiff.measured(now) == vardiff.rate > 1.0
