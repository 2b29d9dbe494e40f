"""What the share log stores: shares, the routes they were mined under, and the sets of chains they count for.

A login is not authenticated, so all it says is a *route*: per chain, the account that a share's credit goes to. The
route is stored with each share and nothing a later login does can change it. Routes and chain sets repeat in almost
every share, so the log writes each of them once per segment and shares refer to them.

The records of a segment are msgpack arrays whose first element is the type (0 segment start, 1 route, 2 chain set, 3
share). Hashes are 32 bytes in natural order, times are wall-clock milliseconds of receipt, a weight is the expected
number of hashes of the target the share was assigned, 2**256 // (T + 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

AccountKind = Literal["miner", "held"]

FORMAT_VERSION = 1


class AccountKey(msgspec.Struct, array_like=True, frozen=True):
    """Who a chain's credit belongs to: the canonical payout script, or `held` under the parent address when none was
    given.

    For `held`, `script_hex` and `address` are those of the parent address that the credit waits for.
    """

    kind: AccountKind
    script_hex: str
    address: str


class SegmentStart(msgspec.Struct, array_like=True, frozen=True, tag=0):
    """First record of every segment. All sequences before `first_sequence` belong to earlier segments, or were never
    durable.
    """

    version: int
    segment: int
    first_sequence: int
    time_ms: int


class Route(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Per chain, the account that earns. `digest` (16 bytes) names the route's content; `login_parent` is
    the canonical parent address of the login.
    """

    digest: bytes
    login_parent: str
    accounts: dict[str, AccountKey]

    def account(self, chain: str) -> AccountKey:
        """The account that earns on `chain`; a chain the route does not know is held for the parent address."""
        known = self.accounts.get(chain)
        if known is not None:
            return known
        for key in self.accounts.values():
            if key.address == self.login_parent:
                return AccountKey("held", key.script_hex, key.address)
        # Never a script in hex, so that no two parent addresses can share this account.
        return AccountKey("held", f"address:{self.login_parent}", self.login_parent)


class ChainSet(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """The chains a share counts for, under a number that is valid within one segment."""

    number: int
    chains: tuple[str, ...]


class ShareLine(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=3):
    """A share as it is written: the route by its digest, the chains by the number of their set."""

    sequence: int
    time_ms: int
    route: bytes
    worker: str
    weight: int
    chain_set: int
    header_hash: bytes
    stale: bool
    solved: tuple[tuple[str, bytes], ...]


class ShareRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A share as it is read back.

    `stale` marks a solve that came after its parent tip was over: it counts only for the blocks in `solved`.
    `solved` lists (chain, block hash in natural order).
    """

    sequence: int
    time_ms: int
    route: bytes
    worker: str
    weight: int
    chains: tuple[str, ...]
    header_hash: bytes
    stale: bool
    solved: tuple[tuple[str, bytes], ...]


class Position(NamedTuple):
    """A place in the log: the number of a segment and a byte offset in it. Positions compare in log order."""

    segment: int
    offset: int


class LoggedShare(NamedTuple):
    """A share read from the log, with the position just after it and the route it was mined under."""

    position: Position
    share: ShareRecord
    route: Route


@dataclass(frozen=True, slots=True)
class ShareRun:
    """Shares that follow each other in a log, as they were written, with what they refer to. A run lies in one segment
    and has at least one share; `end` is the position just after it.
    """

    lines: Sequence[ShareLine]
    routes: Mapping[bytes, Route]
    chain_sets: Mapping[int, tuple[str, ...]]
    end: Position

    def record(self, line: ShareLine) -> ShareRecord:
        """A share of the run with its chains. Raises KeyError when the run does not define them."""
        chains = self.chain_sets[line.chain_set]
        return ShareRecord(
            line.sequence, line.time_ms, line.route, line.worker, line.weight, chains, line.header_hash, line.stale,
            line.solved,
        )  # fmt: skip


def run_of(batch: Sequence[LoggedShare]) -> ShareRun:
    """One run of shares that were read one by one, of which there is at least one."""
    chain_sets: dict[tuple[str, ...], int] = {}
    lines = [
        ShareLine(
            share.sequence, share.time_ms, share.route, share.worker, share.weight,
            chain_sets.setdefault(share.chains, len(chain_sets)), share.header_hash, share.stale, share.solved,
        )
        for _, share, _ in batch
    ]  # fmt: skip
    routes = {share.route: route for _, share, route in batch}
    return ShareRun(lines, routes, {number: chains for chains, number in chain_sets.items()}, batch[-1].position)


BEGINNING = Position(0, 0)
