"""Mining on jobs that another process makes: what a front end of several does instead of asking nodes."""

from __future__ import annotations

from collections.abc import Callable

from pool.accounting.reserve import Change
from pool.wiring.mining import Mining


class FollowingMining(Mining):
    """Mining on another process's jobs."""

    ask: Callable[[str], None]
    """Tells the mother that a chain's template is used up."""

    def _ask_for_work(self, chain: str) -> None:
        self.ask(chain)

    def scheme_changed(self, chain: str, change: Change) -> None:
        """The mother tells it to miners, and makes the jobs that say so."""


class ToldBooks:
    """What the mother says of this front end's shares in the books; for the metrics."""

    consumed_through = -1
    lag_ms = 0
