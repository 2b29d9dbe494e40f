"""Which solves go out: one header is submitted once per chain, and one auxiliary block is not flooded with proofs.

All in memory, before any I/O: a replayed solve must cost neither an fsync nor a 4 MB submission.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

# Headers remembered per process; with a solve a second this is more than an hour of them.
MAX_REMEMBERED = 8192
# Proofs of one auxiliary block under way at a time: the first one accepted closes the block, the others are spares.
MAX_IN_FLIGHT = 3
# A node that refused so many proofs of one block will refuse the next: a broken child must not cost a call per share.
MAX_REFUSED = 10

T = TypeVar("T")


class SolveGate:
    def __init__(self) -> None:
        self._submitted: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        self._in_flight: dict[tuple[str, bytes], int] = {}
        self._refused: OrderedDict[tuple[str, bytes], int] = OrderedDict()
        self._closed: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def enter(self, chain: str, header_hash: bytes, aux_hash: bytes | None) -> bool:
        """Whether this solve goes out; `aux_hash` is None where every header counts: for the parent, for votes. A solve
        let in must `leave` when answered."""
        key = (chain, header_hash)
        if key in self._submitted:
            return False
        if aux_hash is not None:
            block = (chain, aux_hash)
            if block in self._closed or self._in_flight.get(block, 0) >= MAX_IN_FLIGHT:
                return False
            self._in_flight[block] = self._in_flight.get(block, 0) + 1
        self._remember(self._submitted, key, None)
        return True

    def leave(self, chain: str, aux_hash: bytes | None, *, closes: bool) -> None:
        """The solve has its final answer; `closes` tells that no other proof of its auxiliary block is wanted."""
        if aux_hash is None:
            return
        block = (chain, aux_hash)
        left = self._in_flight.get(block, 1) - 1
        if left > 0:
            self._in_flight[block] = left
        else:
            self._in_flight.pop(block, None)
        refused = self._refused.pop(block, 0) + 1
        if closes or refused >= MAX_REFUSED:
            self._remember(self._closed, block, None)
        else:
            self._remember(self._refused, block, refused)

    @staticmethod
    def _remember(known: OrderedDict[tuple[str, bytes], T], key: tuple[str, bytes], value: T) -> None:
        known[key] = value
        while len(known) > MAX_REMEMBERED:
            known.popitem(last=False)
