"""Payouts under everything that can go wrong: some seeds here, ten thousand in `make nightly`."""

from __future__ import annotations

from payouts_run import run_payouts
from sim_seeds import SHORT_STEPS, Job, play_all
from support.points import some

SEEDS = (*range(20), 40)  # in the last one the operator withdraws
ACCOUNT_SEEDS = range(12)
EVERY_POINT_SEED = 5


def test_sim_payouts_hold_for_every_seed() -> None:
    tally = play_all([Job("payouts", seed) for seed in SEEDS])
    assert not tally.failures, str(tally)
    settled = [f"{kind} settled" for kind in ("payout", "withdraw", "sweep", "consolidate")]
    for happened in ("crashes", "deposit", *settled):
        assert tally.counts[happened] > 0, f"no run had {happened}"


def test_sim_payouts_from_an_account_hold_for_every_seed() -> None:
    tally = play_all([Job("account-payouts", seed) for seed in ACCOUNT_SEEDS])
    assert not tally.failures, str(tally)
    for happened in ("crashes", "deposit", "payout settled", "withdraw settled"):
        assert tally.counts[happened] > 0, f"no run had {happened}"


def test_sim_payouts_hold_with_a_crash_or_an_error_at_every_point() -> None:
    """One run, again and again, each time dying or failing at a later commit, fsync or call to the wallet."""
    points = run_payouts(EVERY_POINT_SEED, quiet=True, steps=SHORT_STEPS).points
    tried = some(range(1, points + 1), 3)
    jobs = [Job("short-payouts", EVERY_POINT_SEED, crash_at=at) for at in tried]
    jobs += [Job("short-payouts", EVERY_POINT_SEED, error_at=at) for at in tried]
    tally = play_all(jobs)
    assert points > 50
    assert not tally.failures, str(tally)
    assert tally.counts["crashes"] == len(tried)


def test_sim_payouts_do_the_same_for_the_same_seed() -> None:
    assert run_payouts(12) == run_payouts(12)
    assert run_payouts(12, account=True) == run_payouts(12, account=True)
