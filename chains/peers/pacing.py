"""How fast a node sends to one peer: within the rates that the peer holds it to. Pure.

What a node relays is what others send it, so without pacing an attacker could make honest nodes flood each other and be
banned for it. The sender keeps to SHARE of each type's rate and to half of its burst: the other half is for messages
that a line holds up and then delivers at once. What is too much waits, a queue for each type; beyond MAX_WAITING_BYTES
it is dropped, as a line may drop it: cores ask again for what they miss.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from chains.peers.core import MessageType
from chains.peers.rates import TokenBucket

SHARE = 0.8
MAX_WAITING_BYTES = 4 * 2**20
MESSAGE_BYTES = 64  # what an empty one counts


class Pacing:
    """One peer's queues."""

    __slots__ = ("_buckets", "_queues", "_waiting_bytes", "dropped")

    def __init__(self, messages: Iterable[MessageType], now_ms: int) -> None:
        self._buckets = {m.name: TokenBucket(m.rate_per_s * SHARE, max(1.0, m.burst / 2), now_ms) for m in messages}
        self._queues: dict[str, deque[bytes]] = {}
        self._waiting_bytes = 0
        self.dropped = 0

    @property
    def waits(self) -> bool:
        return bool(self._queues)

    def may_send(self, name: str, payload: bytes, now_ms: int) -> bool:
        """Whether to send now; otherwise it waits, or is dropped. What waits of its type goes first."""
        if name not in self._queues and self._buckets[name].take(now_ms):
            return True
        size = len(payload) + MESSAGE_BYTES
        if self._waiting_bytes + size > MAX_WAITING_BYTES:
            self.dropped += 1
        else:
            self._queues.setdefault(name, deque()).append(payload)
            self._waiting_bytes += size
        return False

    def due(self, now_ms: int) -> list[tuple[str, bytes]]:
        """What may be sent now."""
        found = []
        for name, queue in list(self._queues.items()):
            while queue and self._buckets[name].take(now_ms):
                payload = queue.popleft()
                self._waiting_bytes -= len(payload) + MESSAGE_BYTES
                found.append((name, payload))
            if not queue:
                del self._queues[name]
        return found
