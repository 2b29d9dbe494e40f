"""The metrics of payouts: names, labels, and what is absent before the first look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest

from pool.metrics.payouts import PayoutCollector
from pool.metrics.table import BATCH_STATES


@dataclass
class Payer:
    chain: str = "alpha"
    on_hold: bool = False
    batches_by_state: Mapping[str, int] = field(default_factory=dict)
    oldest_open_s: float = 0.0
    wallet_difference: int | None = None
    wallet_amount: int | None = None
    ceiling: int | None = None


def lines(*payers: Payer) -> set[str]:
    registry = CollectorRegistry()
    registry.register(PayoutCollector(payers))
    return {line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")}


def test_payout_metrics_tell_nothing_that_nobody_looked_at() -> None:
    assert lines() == set()
    assert lines(Payer()) == {
        'parapool_payout_hold{chain="alpha"} 0.0',
        'parapool_payout_oldest_open_seconds{chain="alpha"} 0.0',
        *(f'parapool_payout_batches{{chain="alpha",state="{state}"}} 0.0' for state in BATCH_STATES),
    }


def test_payout_metrics_tell_batches_holds_and_the_difference() -> None:
    payer = Payer(on_hold=True, batches_by_state={"broadcast": 1, "hold": 2}, oldest_open_s=90.5)
    payer.wallet_difference, payer.wallet_amount, payer.ceiling = -7, 10**5, 10**6
    assert lines(payer, Payer("beta")) >= {
        'parapool_payout_hold{chain="alpha"} 1.0',
        'parapool_payout_hold{chain="beta"} 0.0',
        'parapool_payout_batches{chain="alpha",state="broadcast"} 1.0',
        'parapool_payout_batches{chain="alpha",state="hold"} 2.0',
        'parapool_payout_oldest_open_seconds{chain="alpha"} 90.5',
        'parapool_wallet_diff_sat{chain="alpha"} -7.0',
        'parapool_wallet_sat{chain="alpha"} 100000.0',
        'parapool_wallet_ceiling_sat{chain="alpha"} 1e+06',
    }
