from __future__ import annotations

import random

from stratum.extranonce import ExtranonceAllocator


def test_extranonce_counts_from_the_start_and_wraps() -> None:
    allocator = ExtranonceAllocator(0xFFFFFFFF, b"k")
    assert [allocator.acquire().hex() for _ in range(3)] == ["ffffffff", "00000000", "00000001"]


def test_extranonce_never_collides_among_the_living() -> None:
    chance = random.Random(7)
    allocator = ExtranonceAllocator(0xFFFFFFF0, b"k")
    live: dict[bytes, str] = {}
    gone: list[str] = []
    for _ in range(5000):
        if live and chance.random() < 0.45:
            extranonce1, session_id = live.popitem()
            allocator.release(extranonce1)
            gone.append(session_id)
        else:
            resumed = allocator.acquire(chance.choice(gone) if gone and chance.random() < 0.5 else None)
            assert resumed not in live
            live[resumed] = allocator.session_id(resumed)
    assert len(allocator) == len(live)


def test_extranonce_resume_gives_the_same_if_free() -> None:
    allocator = ExtranonceAllocator(5, b"k")
    mine = allocator.acquire()
    session_id = allocator.session_id(mine)
    assert allocator.acquire(session_id) != mine
    allocator.release(mine)
    assert allocator.acquire(session_id) == mine


def test_extranonce_resume_needs_our_session_id() -> None:
    allocator = ExtranonceAllocator(5, b"k")
    mine = allocator.acquire()
    foreign = ExtranonceAllocator(5, b"other").session_id(mine)
    allocator.release(mine)
    for wrong in (foreign, mine.hex(), "", "zz" * 12, "é" * 24, allocator.session_id(mine)[:-1] + "g", "0" * 24):
        taken = allocator.acquire(wrong)
        assert taken != mine
        allocator.release(taken)


class Held:
    """A connection that leaves its extranonce1 when asked, or does not."""

    def __init__(self, allocator: ExtranonceAllocator, leaves: bool) -> None:
        self.allocator, self.leaves = allocator, leaves
        self.extranonce1 = allocator.acquire(holder=self)

    def leave_extranonce(self) -> bool:
        if self.leaves:
            self.extranonce1 = self.allocator.acquire(holder=self)
        return self.leaves

    def pace(self) -> None:
        return None


def test_extranonce_resume_takes_over_from_a_holder_that_leaves() -> None:
    allocator = ExtranonceAllocator(5, b"k")
    staying, leaving = Held(allocator, False), Held(allocator, True)
    stayed, left = staying.extranonce1, leaving.extranonce1
    assert allocator.acquire(allocator.session_id(stayed)) not in (stayed, left)
    assert allocator.acquire(allocator.session_id(left)) == left != leaving.extranonce1
    assert len(allocator) == 4
    allocator.release(leaving.extranonce1)
    assert allocator.acquire(allocator.session_id(left)) != left, "it is still held by who took it over"


def test_extranonce_counter_passes_over_resumed_ones() -> None:
    allocator = ExtranonceAllocator(0, b"k")
    session_id = allocator.session_id(bytes.fromhex("00000001"))
    assert allocator.acquire(session_id).hex() == "00000001"
    assert [allocator.acquire().hex() for _ in range(2)] == ["00000000", "00000002"]


def test_extranonce_cannot_be_taken_to_another_realm() -> None:
    """A block found where shares are bought must not be shown where blocks belong to their solver."""
    allocator = ExtranonceAllocator(0, b"secret")
    mine = allocator.acquire(realm="alpha:pps")
    session_id = allocator.session_id(mine, "alpha:pps")
    allocator.release(mine)
    for realm in ("", "alpha:solo"):
        assert allocator.acquire(session_id, realm=realm) != mine
    assert allocator.acquire(session_id, realm="alpha:pps") == mine
