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
    fetching.refused(ROOT, first)
    (second,) = asked(fetching, [ROOT], [ONE, TWO], 10)
    assert second != first
    fetching.refused(ROOT, second)
    assert asked(fetching, [ROOT], [ONE, TWO], 20) == [], "nobody has it: later"
    fetching.lost(ONE)
    assert asked(fetching, [ROOT], [TWO], 5000) == [TWO]


def test_fetching_asks_somebody_else_when_the_one_asked_is_gone() -> None:
    fetching = Fetching(random.Random(1))
    (first,) = asked(fetching, [ROOT], [ONE, TWO], 0)
    (other,) = {ONE, TWO} - {first}
    fetching.refused(ROOT, first)
    assert asked(fetching, [ROOT], [ONE, TWO], 0) == [other]
    fetching.lost(other)
    assert asked(fetching, [ROOT], [first], 1) == [first], "who had not got it may have it now"


def test_fetching_asks_for_a_hidden_body_rarely_but_for_ever() -> None:
    fetching = Fetching(random.Random(1))
    times = [now_ms for now_ms in range(0, 3_600_000, 1000) if asked(fetching, [ROOT], [ONE], now_ms)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[0] == 3000
    assert max(gaps) == gaps[-1] == 30_000


def test_fetching_asks_everybody_in_each_round_whatever_gets_lost() -> None:
    fetching = Fetching(random.Random(1))
    four = [PeerId(number) for number in range(1, 5)]
    asks = [(now_ms, peer) for now_ms in range(0, 600_000, 1000) for peer in asked(fetching, [ROOT], four, now_ms)]
    for at in range(0, len(asks) - 3, 4):
        times = [now_ms for now_ms, _ in asks[at : at + 4]]
        assert {peer for _, peer in asks[at : at + 4]} == set(four), "a silent one is passed over"
        assert times[-1] - times[0] == 9000
    assert asks[-1][0] > 560_000


def test_fetching_asks_a_newcomer_at_once_for_what_nobody_had() -> None:
    fetching = Fetching(random.Random(1))
    for now_ms in range(0, 300_000, 1000):
        for peer in asked(fetching, [ROOT], [ONE], now_ms):
            fetching.refused(ROOT, peer)
    while peers := asked(fetching, [ROOT], [ONE], now_ms):
        fetching.refused(ROOT, peers[0])
        now_ms += 1000
    assert asked(fetching, [ROOT], [ONE, TWO], now_ms + 10) == [TWO]


def test_fetching_keeps_within_its_bounds() -> None:
    fetching = Fetching(random.Random(1))
    roots = [number.to_bytes(32, "big") for number in range(2000)]
    assert len(asked(fetching, roots, [ONE, TWO], 0)) == 2 * OUTSTANDING
    many = [PeerId(number) for number in range(1, 60)]
    assert len(asked(fetching, roots, many, 0)) == PER_TICK - 2 * OUTSTANDING
    fetching.tick()
    assert len(asked(fetching, roots, many, 0)) == PER_TICK
