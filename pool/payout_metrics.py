"""The metrics of payouts, per chain that pays. Names and bounds as in pool/metrics.py, whose registry they join."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pool.metrics import PREFIX


class PayoutReading(Protocol):
    """What the metrics say of one chain's payer (pool/services/payout_service.py)."""

    chain: str
    on_hold: bool

    @property
    def batches_by_state(self) -> Mapping[str, int]: ...
    @property
    def oldest_open_s(self) -> float: ...
    @property
    def wallet_difference(self) -> int | None: ...
    @property
    def wallet_amount(self) -> int | None: ...


class PayoutCollector(Collector):
    """Reads the payers once per scrape, on the loop's thread."""

    def __init__(self, payers: Iterable[PayoutReading]) -> None:
        self._payers = tuple(payers)

    def describe(self) -> list[Metric]:
        return list(self._families().values())

    def collect(self) -> Iterator[Metric]:
        families = self._families()
        for payer in self._payers:
            chain = [payer.chain]
            for state, count in payer.batches_by_state.items():
                families["batches"].add_metric([*chain, state], count)
            families["oldest"].add_metric(chain, payer.oldest_open_s)
            families["hold"].add_metric(chain, payer.on_hold)
            if payer.wallet_difference is not None:
                families["difference"].add_metric(chain, payer.wallet_difference)
            if payer.wallet_amount is not None:
                families["amount"].add_metric(chain, payer.wallet_amount)
        yield from families.values()

    def _families(self) -> dict[str, GaugeMetricFamily]:
        def gauge(name: str, meaning: str, *labels: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"{PREFIX}{name}", meaning, labels=["chain", *labels])

        return {
            "batches": gauge(
                "payout_batches", "Payout batches that something may still move, by state; absent without any.", "state"
            ),
            "oldest": gauge("payout_oldest_open_seconds", "Age of the oldest batch that is not final; 0 without any."),
            "hold": gauge("payout_hold", "1 while nothing new is paid on the chain. Alarm."),
            "difference": gauge(
                "wallet_diff_sat", "What the wallet holds over what the books say, smallest units. Alarm unless 0."
            ),
            "amount": gauge("wallet_sat", "What the hot wallet held, confirmed, at the last look, smallest units."),
        }
