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


@BOTH
@pytest.mark.parametrize("room", [0, -1, 2**30 + 1])
def test_seen_hashes_refuses_a_room_that_cannot_be(kind, room):
    with pytest.raises(ValueError):
        kind(room)


@pytest.mark.parametrize("room", [1, 7, 1000, 2_000_000])
def test_seen_hashes_forget_nothing_beyond_their_room(room):
    seen = _share_kernel.SeenHashes(room)
    count = min(1_500_000, 3 * room + 5)
    for number in range(count):
        assert seen.add(digest(number)) and not seen.add(digest(number))
    assert len(seen) == count
    for number in range(0, count, 3):
        seen.discard(digest(number))
    assert all((digest(number) in seen) is (number % 3 != 0) for number in range(count))
    assert not any(digest(number) in seen for number in range(count, count + 1000))


def test_seen_hashes_do_not_fill_up_with_what_was_taken_out():
    seen = _share_kernel.SeenHashes(50)
    for number in range(20_000):
        assert seen.add(digest(number)) and digest(number) in seen
        seen.discard(digest(number))
        assert digest(number) not in seen and not seen


def test_seen_hashes_forget_nothing():
    seen = _share_kernel.SeenHashes()
    count = 1_500_000
    for number in range(2, count + 2):
        seen.add(number.to_bytes(8, "little") * 4)
    assert len(seen) == count
    assert all(number.to_bytes(8, "little") * 4 in seen for number in range(2, count, 101))
    assert (count + 5).to_bytes(8, "little") * 4 not in seen


# Few different ones, so that what is added is there already, or was taken out.
crowded = st.sampled_from([(high << 32 | low).to_bytes(8, "little") + bytes(24)
                           for high in range(3) for low in (0, 1, 2, 0x1FFFFE, 0x1FFFFF)])  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), crowded | st.binary(min_size=32, max_size=32)), max_size=60), st.integers(1, 40)
)
def test_seen_hashes_twins_agree(steps, room):
    ours, twin = _share_kernel.SeenHashes(room), PythonSeenHashes(room)
    for adds, value in steps:
        assert (ours.add(value) == twin.add(value)) if adds else ours.discard(value) is twin.discard(value)
        assert len(ours) == len(twin)
    assert all((value in ours) == (value in twin) for _, value in steps)
