"""What cannot be judged yet because its predecessor is unknown: kept for a while, within bounds, oldest out first."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Waiting(Generic[Item]):
    """Items by id, each waiting for one block; at most `limit`, and at most `per_source` of one source (a peer)."""

    def __init__(self, limit: int, per_source: int) -> None:
        self._limit = limit
        self._per_source = per_source
        self._items: OrderedDict[bytes, tuple[bytes, int, Item]] = OrderedDict()
        self._by_block: dict[bytes, list[bytes]] = {}
        self._of_source: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item_id: bytes) -> bool:
        return item_id in self._items

    def add(self, item_id: bytes, block: bytes, source: int, item: Item) -> bool:
        """Keep an item until `block` is known. Whether its source is within its bound; beyond, nothing is kept."""
        if item_id in self._items:
            return True
        if self._of_source[source] >= self._per_source:
            return False
        if len(self._items) >= self._limit:
            self._remove(next(iter(self._items)))
        self._items[item_id] = (block, source, item)
        self._by_block.setdefault(block, []).append(item_id)
        self._of_source[source] += 1
        return True

    def take(self, block: bytes) -> list[tuple[int, Item]]:
        """(source, item) of all that waited for a block, oldest first; they no longer wait."""
        return [self._remove(item_id) for item_id in list(self._by_block.get(block, ()))]

    def forget_source(self, source: int) -> None:
        """Drop what one source brought."""
        for item_id in [item_id for item_id, (_, of, _) in self._items.items() if of == source]:
            self._remove(item_id)

    def blocks(self) -> list[bytes]:
        """The blocks that something waits for."""
        return list(self._by_block)

    def _remove(self, item_id: bytes) -> tuple[int, Item]:
        block, source, item = self._items.pop(item_id)
        others = self._by_block[block]
        others.remove(item_id)
        if not others:
            del self._by_block[block]
        self._of_source[source] -= 1
        if not self._of_source[source]:
            del self._of_source[source]
        return source, item
