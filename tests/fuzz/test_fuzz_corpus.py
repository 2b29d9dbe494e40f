"""The kept inputs of every target, and two thousand blind changes of them: a short form of `make fuzz`."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fuzz_targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
CHANGES = {"configuration": 100}
BLIND = 2000


def changed(data: bytes, chance: random.Random) -> bytes:
    """One to four changes: bytes set, doubled, cut out, or a piece put elsewhere."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if not found:
            return bytes(found)
        at, size = chance.randrange(len(found)), chance.choice((1, 2, 4, 30))
        match chance.randrange(4):
            case 0:
                found[at : at + size] = chance.randbytes(size)
            case 1:
                found[at:at] = found[at : at + size]
            case 2:
                del found[at : at + size]
            case _:
                found[at:at] = bytes(reversed(found[:size]))
    return bytes(found)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_fuzz_target_keeps_its_promise_over_its_corpus_and_changes_of_it(target: str) -> None:
    inputs = [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]
    assert inputs, f"tests/fuzz/corpus/{target} is empty: python tests/fuzz/make_seeds.py"
    chance = random.Random(20261121)
    judged = sum(TARGETS[target](data) for data in inputs)
    for _ in range(CHANGES.get(target, BLIND)):
        judged += TARGETS[target](changed(chance.choice(inputs), chance))
    assert judged >= len(inputs) + CHANGES.get(target, BLIND)
