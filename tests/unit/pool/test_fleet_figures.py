"""Sums over several processes: counters never fall, gauges go with who told them."""

from __future__ import annotations

from pool.fleet_figures import FleetFigures, added
from pool.services.front_end_messages import Figures, WireBuckets
from stratum.buckets import Buckets


def figures(accepted: int, connections: int, *, fsync: float = 0.0, times: list[int] | None = None) -> Figures:
    return Figures(
        readings={
            "shares_total": [(["accepted", ""], float(accepted)), (["rejected", "stale"], 1.0)],
            "connections": [([], float(connections))],
            "share_fsync_seconds": [([], fsync)],
            "share_answer_seconds": [([], WireBuckets(times or [0, 0], float(sum(times or []))))],
        },
        accepted_work=str(accepted * 2**70),
        cpu_s=1.0,
        memory_bytes=1,
    )


def test_figures_are_added_up_and_the_worst_counts_where_a_sum_says_nothing() -> None:
    fleet = FleetFigures()
    fleet.heard(1, figures(10, 3, fsync=0.1, times=[1, 2]), adopted=False)
    fleet.heard(2, figures(5, 4, fsync=0.3, times=[3, 4]), adopted=False)
    assert fleet.number("shares_total", ("accepted", "")) == 15
    assert fleet.number("connections") == 7
    assert fleet.number("share_fsync_seconds") == 0.3
    assert fleet.accepted_work == 15 * 2**70
    own = Buckets((1.0,))
    own.observe(0.5)
    total = added({(): own}, fleet.total("share_answer_seconds"))[()]
    assert isinstance(total, Buckets) and total.counts == [5, 6] and total.sum == 10.5
    assert own.counts == [1, 0], "what was read stays what it is"


def test_figures_of_one_that_ended_stay_counted_and_its_successor_begins_at_nothing() -> None:
    fleet = FleetFigures()
    fleet.heard(1, figures(10, 3, times=[1, 1]), adopted=False)
    fleet.ended(1)
    assert fleet.number("shares_total", ("accepted", "")) == 10
    assert fleet.number("connections") == 0
    fleet.heard(1, figures(2, 1, times=[1, 0]), adopted=False)
    assert fleet.number("shares_total", ("accepted", "")) == 12
    total = fleet.total("share_answer_seconds")[()]
    assert isinstance(total, Buckets) and total.counts == [2, 1]
    assert fleet.accepted_work == 12 * 2**70
    fleet.ended(7)  # never heard of


def test_figures_of_one_that_was_there_before_count_from_when_it_was_met() -> None:
    fleet = FleetFigures()
    fleet.heard(1, figures(1000, 3, times=[5, 5]), adopted=True)
    assert fleet.number("shares_total", ("accepted", "")) == 0
    assert fleet.number("connections") == 3
    fleet.heard(1, figures(1004, 2, times=[5, 7]), adopted=True)
    assert fleet.number("shares_total", ("accepted", "")) == 4
    fleet.ended(1)
    assert fleet.number("shares_total", ("accepted", "")) == 4
    assert fleet.accepted_work == 4 * 2**70
    total = fleet.total("share_answer_seconds")[()]
    assert isinstance(total, Buckets) and total.counts == [0, 2]
