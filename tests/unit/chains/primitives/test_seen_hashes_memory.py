"""What the set of hashes takes of memory; apart from its other tests, as sanitizers keep what is freed."""

from __future__ import annotations

import resource
from pathlib import Path

from chains.primitives import _share_kernel


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_seen_hashes_take_little_for_few_and_no_more_while_there_is_room():
    """A million hashes and a second one: what the set will need is there soon after the first, and goes with it."""
    before = rss_bytes()
    seen = _share_kernel.SeenHashes()
    sizes = []
    for start in range(0, 2_000_000, 100_000):
        for number in range(start, start + 100_000):
            seen.add(number.to_bytes(8, "little") * 4)
        sizes.append(rss_bytes())
    assert sizes[0] - before < 2 * 2**20
    assert max(sizes) - sizes[3] < 2**20
    assert max(sizes) - before < 22 * 2**20
    assert len(seen) == 2_000_000
    del seen
    assert rss_bytes() - before < 2 * 2**20
