"""Mining on jobs that another process makes: what front ends of several do instead of asking nodes for work."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from chains.kind import ParentTemplate
from pool.accounting.reserve import Change
from pool.services.block_relay import BlockRelay
from pool.wiring.mining import Mining


class FollowingMining(Mining):
    """Mining on another process's jobs. With a `relay` there are no nodes here: others submit the blocks."""

    ask: Callable[[str], None]
    """Tells the mother that a chain's template is used up."""

    followed_parent: ParentTemplate | None = None

    def relay_through(self, relay: BlockRelay) -> BlockRelay:
        self.relay = self.blocks.elsewhere = relay
        return relay

    @property
    def newest_parent(self) -> ParentTemplate | None:
        return self.followed_parent

    def work(self) -> Iterator[Coroutine[Any, Any, Any]]:
        yield self.job_checks.run()

    async def watch(self, name: str) -> None:
        """The maker of jobs does."""

    async def watch_left(self, name: str) -> None:
        """The maker of jobs does."""

    def _ask_for_work(self, chain: str) -> None:
        self.ask(chain)

    def scheme_changed(self, chain: str, change: Change) -> None:
        """The mother tells it to miners, and makes the jobs that say so."""
