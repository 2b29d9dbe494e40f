"""Which bodies are asked of whom: hints first, then others, ever more rarely, within bounds."""

from __future__ import annotations

import itertools
import random

from chains.parallel.fetching import OUTSTANDING, PER_TICK, Fetching
from chains.peers.core import PeerId

ONE, TWO = PeerId(1), PeerId(2)
ROOT = b"\x01" * 32


def asked(fetching: Fetching, wanted: list[bytes], peers: list[PeerId], now_ms: int) -> list[PeerId]:
    return [peer for peer, roots in fetching.choose(wanted, peers, now_ms) for _ in roots]


def test_fetching_asks_who_named_it_first_and_then_somebody_else() -> None:
    fetching = Fetching(random.Random(1))
    fetching.hint(ROOT, TWO)
    assert asked(fetching, [ROOT], [ONE, TWO], 0) == [TWO]
    assert asked(fetching, [ROOT], [ONE, TWO], 2999) == [], "one answer is waited for"
    assert asked(fetching, [ROOT], [ONE, TWO], 3000) == [ONE]
    fetching.arrived(ROOT)
    assert asked(fetching, [], [ONE, TWO], 9000) == []


def test_fetching_asks_another_at_once_when_the_first_has_not_got_it() -> None:
    fetching = Fetching(random.Random(1))
    (first,) = asked(fetching, [ROOT], [ONE, TWO], 0)
    fetching.refused(ROOT, first, 10)
    (second,) = asked(fetching, [ROOT], [ONE, TWO], 10)
    assert second != first
    fetching.refused(ROOT, second, 20)
    assert asked(fetching, [ROOT], [ONE, TWO], 20) == [], "nobody has it: later"
    fetching.lost(ONE)
    assert asked(fetching, [ROOT], [TWO], 5000) == [TWO]


def test_fetching_asks_for_a_hidden_body_rarely_but_for_ever() -> None:
    fetching = Fetching(random.Random(1))
    times = [now_ms for now_ms in range(0, 3_600_000, 1000) if asked(fetching, [ROOT], [ONE], now_ms)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[0] == 3000
    assert max(gaps) == gaps[-1] == 60_000


def test_fetching_keeps_within_its_bounds() -> None:
    fetching = Fetching(random.Random(1))
    roots = [number.to_bytes(32, "big") for number in range(2000)]
    assert len(asked(fetching, roots, [ONE, TWO], 0)) == 2 * OUTSTANDING
    many = [PeerId(number) for number in range(1, 60)]
    assert len(asked(fetching, roots, many, 0)) == PER_TICK - 2 * OUTSTANDING
    fetching.tick()
    assert len(asked(fetching, roots, many, 0)) == PER_TICK
