"""The simulator replays by the pool's own rules: what comes out is what the books would credit."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from pool.simulation.replay import replay
from pool.simulation.variance import compare, draw, recorded
from pool.simulation.world import SimulatedChain, SimulatedShare, miners_of

CHAIN = SimulatedChain(reward=1000, work=100, fee_ppm=10_000, factor=Fraction(1))


def shares(*miners: str, weight: int = 10) -> list[SimulatedShare]:
    return [SimulatedShare(1000 * place, miner, weight) for place, miner in enumerate(miners)]


def income(found: list) -> dict[str, int]:  # type: ignore[type-arg]
    sums: dict[str, int] = {}
    for item in found:
        sums[item.miner] = sums.get(item.miner, 0) + item.amount
    return sums


def test_simulation_divides_a_block_among_the_window_under_pplns() -> None:
    """20 shares are more than the window of 10: the eldest are in none."""
    sent = shares(*["old"] * 10, *["anna", "anna", "anna", "bert"] * 5)
    assert income(replay(sent, [29], CHAIN, "pplns")) == {"anna": 693, "bert": 297}


def test_simulation_gives_each_block_to_its_solver_under_solo() -> None:
    sent = shares("anna", "bert", "anna")
    assert income(replay(sent, [1, 2], CHAIN, "solo")) == {"bert": 990, "anna": 990}


def test_simulation_buys_every_share_under_pps_whatever_is_solved() -> None:
    sent = shares("anna", "bert", "anna")
    without_fee = SimulatedChain(reward=1000, work=100, fees=100)
    assert income(replay(sent, [], without_fee, "pps")) == {"anna": 180, "bert": 90}
    assert income(replay(sent, [0, 1, 2], without_fee, "fpps")) == {"anna": 200, "bert": 100}


def test_simulation_credits_whole_units_of_what_shares_are_worth_together() -> None:
    sent = shares(*["anna"] * 5000, weight=1)
    tiny = SimulatedChain(reward=2, work=1000)
    assert income(replay(sent, [], tiny, "pps")) == {"anna": 10}


def test_simulation_draws_a_solve_with_the_odds_of_a_shares_weight() -> None:
    sent = shares("anna", "bert", weight=25)
    assert draw(sent, 100, iter([0.24, 0.26]).__next__) == [0]
    chance = random.Random(7)
    many = shares(*["anna"] * 20_000, weight=1)
    assert 150 < len(draw(many, 100, chance.random)) < 250


def test_simulation_takes_the_recorded_solves_for_the_first_run() -> None:
    sent = [SimulatedShare(0, "anna", 10), SimulatedShare(1, "bert", 10, True)]
    (outcome,) = compare(sent, CHAIN, ["solo"], 1, lambda: 0.999, recorded(sent))
    assert (outcome.spreads["bert"].mean, outcome.spreads["anna"].mean) == (990, 0)
    assert outcome.curves["bert"][-1] == 990


def test_simulation_shows_that_pps_spreads_nothing_pplns_little_and_solo_most() -> None:
    sent = shares(*["anna", "anna", "bert"] * 200)
    outcomes = compare(sent, CHAIN, ["pps", "pplns", "solo"], 60, random.Random(3).random)
    pps, pplns, solo = (outcome.spreads["bert"] for outcome in outcomes)
    assert pps.variance == 0.0
    assert 0 < pplns.relative < solo.relative
    means = [outcome.spreads["bert"].mean for outcome in outcomes]
    assert max(means) < 1.25 * min(means), "each scheme pays the same in the long run"


def test_simulation_gives_the_same_numbers_for_the_same_seed() -> None:
    sent = shares(*["anna", "bert"] * 100)
    runs = [compare(sent, CHAIN, ["pplns"], 10, random.Random(5).random) for _ in range(2)]
    assert runs[0] == runs[1]


def test_simulation_orders_miners_by_weight() -> None:
    assert list(miners_of(shares("b", "a", "c", "c"))) == ["c", "a", "b"]


@pytest.mark.parametrize(("work", "fees"), [(0, 0), (10, 1001), (10, -1)])
def test_simulation_refuses_a_chain_that_makes_no_sense(work: int, fees: int) -> None:
    with pytest.raises(ValueError, match="expected work"):
        SimulatedChain(reward=1000, work=work, fees=fees)
