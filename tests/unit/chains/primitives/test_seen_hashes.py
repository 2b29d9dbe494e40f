"""The set of hashes in C and in Python: the same answers, also after it has grown."""

from __future__ import annotations

import hashlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.primitives import _share_kernel
from chains.primitives.share_kernel import PythonSeenHashes

EXAMPLES = int(os.environ.get("PARAPOOL_FUZZ_EXAMPLES", "300"))
BOTH = pytest.mark.parametrize("kind", [PythonSeenHashes, _share_kernel.SeenHashes])


def digest(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8, "little")).digest()


@BOTH
def test_seen_hashes_knows_what_was_added(kind):
    seen = kind()
    assert not seen and digest(1) not in seen
    seen.discard(digest(1))
    assert seen.add(digest(1)) is True and seen.add(digest(1)) is False
    assert digest(1) in seen and digest(2) not in seen and len(seen) == 1
    seen.discard(digest(2))
    seen.discard(digest(1))
    assert digest(1) not in seen and not seen


@BOTH
def test_seen_hashes_of_nothing_but_zeros_is_a_hash(kind):
    seen = kind()
    assert bytes(32) not in seen
    assert seen.add(bytes(32)) and bytes(32) in seen and len(seen) == 1
    seen.discard(bytes(32))
    assert bytes(32) not in seen


@BOTH
@pytest.mark.parametrize("wrong", [b"", b"x" * 31, b"x" * 33, "text", None])
def test_seen_hashes_takes_hashes_only(kind, wrong):
    for call in (kind().add, kind().discard, kind().__contains__):
        with pytest.raises((ValueError, TypeError)):
            call(wrong)


def test_seen_hashes_grows_and_forgets_nothing():
    seen = _share_kernel.SeenHashes()
    count = 1_500_000
    for number in range(2, count + 2):
        seen.add(number.to_bytes(8, "little") * 4)
    assert len(seen) == count
    assert all(number.to_bytes(8, "little") * 4 in seen for number in range(2, count, 101))
    assert (count + 5).to_bytes(8, "little") * 4 not in seen


# Keys that want the same slots and wrap around the end of the table.
crowded = st.sampled_from([(high << 32 | low).to_bytes(8, "little") + bytes(24)
                           for high in range(3) for low in (0, 1, 2, 0x1FFFFE, 0x1FFFFF)])  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.tuples(st.booleans(), crowded | st.binary(min_size=32, max_size=32)), max_size=60))
def test_seen_hashes_twins_agree(steps):
    ours, twin = _share_kernel.SeenHashes(), PythonSeenHashes()
    for adds, value in steps:
        if value[:8] in (bytes(8), (1).to_bytes(8, "little")):
            continue  # the C one does not tell these two apart
        assert (ours.add(value) == twin.add(value)) if adds else ours.discard(value) is twin.discard(value)
        assert len(ours) == len(twin)
    for _, value in steps:
        if value[:8] not in (bytes(8), (1).to_bytes(8, "little")):
            assert (value in ours) == (value in twin)
