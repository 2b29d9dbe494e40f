"""Who has a claim on a found block: read from the solving share and, under PPLNS, from the window before it.

The scheme that the solve was made under on the block's chain decides (docs/adr/0012): PPLNS divides among the PPLNS
shares of the window, SOLO gives to the solver, PPS and FPPS to the operator, who has bought the share. A solve without
a share of its own (nobody had logged in, or an old record) that no scheme claims goes to the window; when that is
empty, to the operator of a chain that buys shares. The bookkeeping credits by this; the audit computes it
once more, from each share of the window. Read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from sqlalchemy import Connection, select

from pool.accounting.window import target_work
from pool.shares.scheme import PER_SHARE, Scheme, counted_for
from pool.storage.income_store import ShareRef, ref_of
from pool.storage.share_store import ShareStore
from pool.storage.tables import chain_sets, share_solves, shares
from pool.storage.window_reading import ReadWindow, WindowRule, by_sums


class ClaimedBlock(Protocol):
    """What a claim depends on of a block. `solve_hex` is the hash that its share solved; that and the target are
    displayed hex; `scheme` is what its solve counted under,
    None for one of before there were schemes.
    """

    @property
    def chain(self) -> str: ...
    @property
    def solve_hex(self) -> str: ...
    @property
    def share_sequence(self) -> int: ...
    @property
    def target_hex(self) -> str: ...
    @property
    def found_ms(self) -> int: ...
    @property
    def scheme(self) -> Scheme | None: ...


@dataclass(frozen=True, slots=True)
class SolvingShare:
    """The stored share that solved a block, and the scheme it was mined under on the block's chain."""

    ref: ShareRef
    route_id: int
    weight: int
    scheme: Scheme


@dataclass(frozen=True, slots=True)
class Claim:
    """`weights` by route: the window's, the solver's alone under SOLO, none where the block is the operator's.

    `ended_early` tells that the window ended before the stored shares did.
    """

    scheme: Scheme
    weights: Mapping[int, int]
    total: int
    share_count: int
    oldest: ShareRef | None
    newest: ShareRef | None
    ended_early: bool = True


def read_claim(
    connection: Connection,
    store: ShareStore,
    block: ClaimedBlock,
    *,
    factor: Fraction | int,
    window_min_ms: int,
    chain_scheme: Scheme = "pplns",
    read_window: ReadWindow = by_sums,
) -> Claim:
    """The claim on a block, whose share log `store` is. `chain_scheme` is what the chain is configured with. Both ways
    to read a window find the same one.
    """
    solving = solving_share(connection, store, block)
    scheme = block.scheme or ("pplns" if solving is None else solving.scheme)
    if scheme in PER_SHARE:
        ref = None if solving is None else solving.ref
        return Claim(scheme, {}, 0, int(ref is not None), ref, ref)
    if scheme == "solo" and solving is not None:
        return Claim(scheme, {solving.route_id: solving.weight}, solving.weight, 1, solving.ref, solving.ref)
    claim = _window(connection, store, block, factor, window_min_ms, read_window)
    if not claim.total and solving is None and chain_scheme in PER_SHARE:
        return Claim(chain_scheme, {}, 0, 0, None, None)
    return claim


def solving_share(connection: Connection, store: ShareStore, block: ClaimedBlock) -> SolvingShare | None:
    """The share that solved a block; None when none is stored."""
    columns = [shares.c[name] for name in ("log_id", "sequence", "time_ms", "route_id", "weight")]
    query = (
        select(*columns, chain_sets.c.names)
        .join(chain_sets, chain_sets.c.id == shares.c.chain_set_id)
        .join(share_solves, (share_solves.c.log_id == shares.c.log_id) & (share_solves.c.sequence == shares.c.sequence))
        .where(shares.c.log_id == store.log_id(connection), shares.c.sequence == block.share_sequence)
        .where(share_solves.c.chain == block.chain, share_solves.c.block_hash_hex == block.solve_hex)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    counted = counted_for(row.names.split(","), block.chain)
    scheme: Scheme = "pplns" if counted is None else counted.scheme
    return SolvingShare(ShareRef(row.log_id, row.sequence, row.time_ms), row.route_id, row.weight, scheme)


def _window(
    connection: Connection,
    store: ShareStore,
    block: ClaimedBlock,
    factor: Fraction | int,
    window_min_ms: int,
    read_window: ReadWindow,
) -> Claim:
    # A solve that could not be logged has no sequence; its window ends with the last share before it.
    last = block.share_sequence or store.last_sequence(connection, block.found_ms)
    solve_ms = store.time_ms(connection, last)
    found = read_window(
        connection,
        store.window_place(connection, block.chain, block.solve_hex, last, block.found_ms),
        WindowRule(
            work=target_work(int(block.target_hex, 16)),
            factor=factor,
            end_ms=block.found_ms if solve_ms is None else solve_ms,
            window_min_s=Fraction(window_min_ms, 1000),
        ),
    )
    return Claim(
        scheme="pplns",
        weights=found.window.weights,
        total=found.window.total,
        share_count=found.share_count,
        oldest=ref_of(found.window.oldest),
        newest=ref_of(found.window.newest),
        ended_early=found.ended_early,
    )
