"""The metrics of payouts, per chain that pays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Protocol

from pool.metrics.collector import Reading, TableCollector
from pool.metrics.table import BATCH_STATES


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
    @property
    def ceiling(self) -> int | None: ...


class PayoutCollector(TableCollector):
    """Reads the payers once per scrape, on the loop's thread."""

    def __init__(self, payers: Collection[PayoutReading]) -> None:
        self._payers = payers
        super().__init__(
            {
                "payout_batches": self._batches,
                "payout_oldest_open_seconds": self._of_each(lambda payer: payer.oldest_open_s),
                "payout_hold": self._of_each(lambda payer: payer.on_hold),
                "wallet_diff_sat": self._of_each(lambda payer: payer.wallet_difference),
                "wallet_sat": self._of_each(lambda payer: payer.wallet_amount),
                "wallet_ceiling_sat": self._of_each(lambda payer: payer.ceiling),
            }
        )

    def _batches(self) -> Iterator[Reading]:
        for payer in self._payers:
            for state, count in {**dict.fromkeys(BATCH_STATES, 0), **payer.batches_by_state}.items():
                yield (payer.chain, state), count

    def _of_each(self, value: Callable[[PayoutReading], float | None]) -> Callable[[], Iterator[Reading]]:
        def read() -> Iterator[Reading]:
            for payer in self._payers:
                found = value(payer)
                if found is not None:
                    yield (payer.chain,), found

        return read
