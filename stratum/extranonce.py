"""Extranonce1: four bytes that no two live connections share.

A counter from a random start hands them out, so that after a restart of the pool the bytes of the connections before
it are unlikely to return soon. A session id is the extranonce1 with a keyed hash behind it: whoever shows one
again gets its extranonce1 back if nobody holds it now, and the pool need remember nothing of those who left.

A session id is worth something only in its realm: where ports pay for work differently, a block found on one port must
not be shown on another that pays more for it, so its extranonce1 cannot be had there.

Several processes that send the same jobs have a part of the space each (`ExtranonceSpace`): two connections of one pool
never look for the same hashes, whichever process they came in by. The extranonce1 of another part is not given back, as
only its own process could tell whether somebody holds it. Who shows its session id gets one of this part, and goes on
at the rate that is remembered of him (rate_memory.py).

A miner that is back before its old connection was seen to end shows a session id whose extranonce1 is held. Nobody
else was told it, so the holder is asked to leave it; one that cannot be moved to another keeps it.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import blake2s
from typing import Protocol

from stratum.rate_memory import Pace, RateMemory

EXTRANONCE1_BYTES = 4
_SPACE = 1 << (8 * EXTRANONCE1_BYTES)
_TAG_BYTES = 8


class Holder(Protocol):
    """A connection, as far as its extranonce1 goes."""

    def leave_extranonce(self) -> bool:
        """Take another extranonce1, because the miner shows this one's session id elsewhere; False when that cannot
        be: then it goes on holding this one."""

    def pace(self) -> Pace | None:
        """How fast the miner is, as far as that is known."""


@dataclass(frozen=True, slots=True)
class ExtranonceSpace:
    """The extranonce1 that one process may hand out: `count` of them from `first` on, as numbers (big endian)."""

    first: int = 0
    count: int = _SPACE

    def __post_init__(self) -> None:
        if not (self.first >= 0 and self.count > 0 and self.first + self.count <= _SPACE):
            raise ValueError(f"expected a part of the {_SPACE} values of extranonce1, found {self}")

    def holds(self, extranonce1: bytes) -> bool:
        return self.first <= int.from_bytes(extranonce1, "big") < self.first + self.count

    def after(self, number: int) -> int:
        """The next one, the first again behind the last."""
        return self.first + (number + 1 - self.first) % self.count


WHOLE_SPACE = ExtranonceSpace()


class ExtranonceAllocator:
    """One for all ports of a process. `start` and `secret` come from a random source of the caller."""

    def __init__(self, start: int, secret: bytes, space: ExtranonceSpace = WHOLE_SPACE) -> None:
        self._space = space
        self._next = space.first + start % space.count
        self._secret = secret
        self._live: dict[bytes, Holder | None] = {}
        self.memory = RateMemory()

    def __len__(self) -> int:
        """Extranonces held by live connections."""
        return len(self._live)

    def acquire(self, session_id: str | None = None, holder: Holder | None = None, realm: str = "") -> bytes:
        """An extranonce1 nobody else holds: the one of `session_id` if that is ours, of this realm, and free or left,
        else the next."""
        wanted = self._from_session_id(session_id, realm) if session_id else None
        if wanted is not None:
            present = self._live.get(wanted)
            if wanted not in self._live or (present is not None and present.leave_extranonce()):
                self._live[wanted] = holder
                return wanted
        while True:  # ends: a process has far fewer connections than its part of the space
            extranonce1 = self._next.to_bytes(EXTRANONCE1_BYTES, "big")
            self._next = self._space.after(self._next)
            if extranonce1 not in self._live:
                self._live[extranonce1] = holder
                return extranonce1

    def proven(self, session_id: str, realm: str = "") -> bytes | None:
        """The extranonce1, of whatever part, whose session id of this realm that is: its miner was told it, nobody
        else."""
        if len(session_id) != 2 * (EXTRANONCE1_BYTES + _TAG_BYTES) or not session_id.isascii():
            return None
        try:
            extranonce1 = bytes.fromhex(session_id[: 2 * EXTRANONCE1_BYTES])
        except ValueError:
            return None
        return extranonce1 if hmac.compare_digest(self.session_id(extranonce1, realm), session_id.lower()) else None

    def pace(self, extranonce1: bytes, now: float) -> Pace | None:
        """How fast the miner of an extranonce1 is or was. Ask before acquire(), which changes who holds it."""
        holder = self._live.get(extranonce1)
        return (None if holder is None else holder.pace()) or self.memory.recall(extranonce1, now)

    def release(self, extranonce1: bytes) -> None:
        """Give one back when its connection ends."""
        self._live.pop(extranonce1, None)

    def session_id(self, extranonce1: bytes, realm: str = "") -> str:
        """What the miner may show at its next subscribe in this realm to get this extranonce1 again."""
        return extranonce1.hex() + self._tag(extranonce1, realm)

    def _tag(self, extranonce1: bytes, realm: str) -> str:
        return blake2s(extranonce1 + realm.encode(), key=self._secret, digest_size=_TAG_BYTES).hexdigest()

    def _from_session_id(self, session_id: str, realm: str) -> bytes | None:
        extranonce1 = self.proven(session_id, realm)
        return extranonce1 if extranonce1 is not None and self._space.holds(extranonce1) else None
