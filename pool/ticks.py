"""When things that are done again and again are done: all at the same moments, so that one wake-up serves many of them.

A process that has little to do pays more for waking, with its caches cold, than for most of what it is woken for.
"""

from __future__ import annotations

import asyncio


async def next_tick(period_s: float) -> None:
    """Until the next whole multiple of a period on the loop's clock that is at least half a period away. Of two periods
    one of which is a multiple of the other the longer one's ticks are the shorter one's too."""
    now_s = asyncio.get_running_loop().time()
    await asyncio.sleep(tick_in(period_s, now_s))


def tick_in(period_s: float, now_s: float) -> float:
    """Seconds from `now_s` to that moment: between half a period and one and a half."""
    if period_s <= 0:
        return 0.0
    left_s = period_s - now_s % period_s
    return left_s if left_s >= period_s / 2 else left_s + period_s
