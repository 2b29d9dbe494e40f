"""Asking a node to tell when its chain's tip moves, where it can: the watch of the chain's templates hears of it at
once instead of with its next question.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from chains.node_rpc import NodeUnavailableError
from pool.services.chain_watch import WatchedChain

WAIT_S = 30
PAUSE_S = 1.0
"""After a failure, and at most after a hint, for the watch to fetch what there is."""

LOOK_S = 0.05


async def tip_hints(chain: WatchedChain, previous_hash: Callable[[], bytes | None], moved: Callable[[], None]) -> None:
    """For ever. The chain's nodes have `wait_for_tip` (chains/bk/node.py); `previous_hash` is that of the template we
    have, None without one."""
    while True:
        known = previous_hash()
        usable = chain.usable(time.monotonic())
        if known is None or not usable:
            await asyncio.sleep(PAUSE_S)
            continue
        try:
            await chain.nodes[usable[0]].wait_for_tip(known, WAIT_S)
        except NodeUnavailableError:
            await asyncio.sleep(PAUSE_S)  # the watch tells
            continue
        moved()
        until = time.monotonic() + PAUSE_S
        while previous_hash() == known and time.monotonic() < until:
            await asyncio.sleep(LOOK_S)
