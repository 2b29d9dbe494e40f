"""The newest final block speaks for all below it: so nothing may become the newest before the present one was asked."""

from __future__ import annotations

from pathlib import Path

from bookkeeping_world import World
from storage_samples import make_route

ANNA = make_route("anna", alpha="anna-alpha")


async def test_bookkeeping_loses_the_other_branch_before_a_lost_block_is_found_again(tmp_path: Path, url: str) -> None:
    """7 is final, its branch loses to one with 6, which becomes final; when 7's branch is back, 6 is lost first, also
    when it was looked at a moment ago."""
    world = World(tmp_path, url)
    chain = world.chains["alpha"]
    world.now_ms = 200_000
    for number, found_ms in ((6, 0), (7, 190_000)):  # the older one is looked at less often
        world.log.append(number, ANNA)
        world.solve("alpha", number, 10 + number, ANNA, "accepted", found_ms=found_ms)
    chain.mine(7, height=7)
    chain.advance(3)
    await world.settle()
    chain.forget(7)
    chain.mine(6, height=6)
    await world.settle()
    assert (world.state(6)[0], world.state(7)[0]) == ("mature", "lost")
    chain.forget(6)
    chain.mine(7, height=7)
    world.now_ms += 2000
    for _ in range(2):
        await world.bookkeeping._following["alpha"].follow()
    assert (world.state(6)[0], world.state(7)[0]) == ("lost", "mature")
    world.close()
