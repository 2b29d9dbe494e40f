"""A toy core: a set of texts that spreads. It asks again after losses, so that it converges whatever a link does."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from typing import Any

from chains.peers.core import (
    Answer,
    Asked,
    Broadcast,
    Connected,
    Disconnected,
    Effect,
    Event,
    Fired,
    MessageType,
    PeerId,
    Received,
    Refuse,
    Score,
    Send,
    SetTimer,
    Started,
    Tell,
    Write,
)

NETWORK = hashlib.sha256(b"gossip").digest()
GENESIS = hashlib.sha256(b"gossip genesis").digest()
ASK_AGAIN_MS = 500
LIMIT_BYTES = 400_000


class GossipCore:
    """Items are bytes; their ids are SHA-256. `have` lists ids, `want` asks for them, `item` brings one."""

    network = NETWORK
    genesis = GENESIS
    messages = (
        MessageType("have", "ids that the sender has, 32 bytes each", 64_000, 50, 100),
        MessageType("want", "ids that the sender lacks", 64_000, 50, 100),
        MessageType("item", "one item", LIMIT_BYTES, 200, 400),
        MessageType("joke", "ignored by those who do not know it", 100, 1, 5, required=False),
    )

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.items: dict[bytes, bytes] = {}
        self.peers: list[PeerId] = []

    def on(self, now_ms: int, event: Event) -> Iterable[Effect]:
        match event:
            case Started(records):
                self.items = dict(records.get("items", ()))
                yield SetTimer("again", now_ms + ASK_AGAIN_MS)
            case Fired("again"):
                if self.peers and self.items:
                    yield Send(self.chance.choice(self.peers), "have", b"".join(self.items))
                yield SetTimer("again", now_ms + ASK_AGAIN_MS)
            case Connected(peer, _):
                self.peers.append(peer)
                yield Send(peer, "have", b"".join(self.items))
            case Disconnected(peer):
                if peer in self.peers:
                    self.peers.remove(peer)
            case Received(peer, "have", payload):
                ids = [payload[at : at + 32] for at in range(0, len(payload), 32)]
                missing = b"".join(item for item in ids if item not in self.items)
                if missing:
                    yield Send(peer, "want", missing)
            case Received(peer, "want", payload):
                for at in range(0, len(payload), 32):
                    if payload[at : at + 32] in self.items:
                        yield Send(peer, "item", self.items[payload[at : at + 32]])
            case Received(peer, "item", payload):
                if payload.startswith(b"evil"):
                    yield Score(peer, 100, "evil item")
                else:
                    yield from self._add(payload, (peer,))
            case Asked("add", token, (text,)):
                if text:
                    yield from self._add(text.encode(), ())
                    yield Answer(token, len(self.items))
                else:
                    yield Refuse(token, -8, "an empty item")

    def _add(self, item: bytes, besides: tuple[PeerId, ...]) -> Iterable[Effect]:
        name = hashlib.sha256(item).digest()
        if name not in self.items:
            self.items[name] = item
            yield Write(puts=(("items", name, item),))
            yield Broadcast("have", name, besides)
            yield Tell("items")

    def digest(self) -> str:
        return hashlib.sha256(b"".join(sorted(self.items))).hexdigest()


def count(core: Any) -> int:
    return len(core.items)
