"""The effects of one event, in order. Records that are written one after another become one batch, for each batch is
synced to the disk: a path of two thousand proofs would take a minute otherwise."""

from __future__ import annotations

from chains.peers.core import Effect, Write


class Outbox:
    def __init__(self) -> None:
        self._effects: list[Effect] = []
        self._puts: list[tuple[str, bytes, bytes]] = []

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Write a record down before any later effect."""
        self._puts.append((table, key, value))

    def add(self, effect: Effect) -> None:
        self._flush()
        self._effects.append(effect)

    def take(self) -> list[Effect]:
        """All there are; none are left."""
        self._flush()
        effects, self._effects = self._effects, []
        return effects

    def _flush(self) -> None:
        if self._puts:
            self._effects.append(Write(tuple(self._puts)))
            self._puts = []
