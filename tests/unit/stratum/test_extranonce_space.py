"""Parts of the extranonce1 space: processes that send the same jobs never hand out the same one."""

from __future__ import annotations

import pytest

from stratum.extranonce import ExtranonceAllocator, ExtranonceSpace


def test_extranonce_processes_with_a_part_each_never_hand_out_the_same() -> None:
    spaces = [ExtranonceSpace(first << 24, 1 << 24) for first in (1, 2)]
    ours, theirs = (ExtranonceAllocator(2**32 - 1 - index, b"s" * 32, space) for index, space in enumerate(spaces))
    for allocator, space in zip((ours, theirs), spaces, strict=True):
        given = [allocator.acquire() for _ in range(100)]
        assert len(set(given)) == 100
        assert all(space.holds(extranonce1) for extranonce1 in given)


def test_extranonce_a_part_is_gone_round_without_leaving_it() -> None:
    allocator = ExtranonceAllocator(3, b"s" * 32, ExtranonceSpace(0x05000000, 4))
    assert [allocator.acquire().hex() for _ in range(4)] == ["05000003", "05000000", "05000001", "05000002"]


def test_extranonce_another_parts_session_is_not_resumed() -> None:
    one, other = (ExtranonceAllocator(0, b"s" * 32, ExtranonceSpace(first << 24, 1 << 24)) for first in (1, 2))
    session_id = one.session_id(one.acquire())
    assert other.acquire(session_id)[0] == 2


@pytest.mark.parametrize(("first", "count"), [(-1, 4), (0, 0), (2**32 - 1, 2), (0, 2**32 + 1)])
def test_extranonce_a_part_outside_the_space_is_refused(first: int, count: int) -> None:
    with pytest.raises(ValueError, match="part of"):
        ExtranonceSpace(first, count)
