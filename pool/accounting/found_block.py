"""A found block in the books, its states, and every transition between them.

    submitted ─► immature ─► mature ◄─► lost
       │           │  ▲         lose / find
       │    orphan ▼  │ reinstate
       ├────────► orphan
    rejected ─► immature (when the chain has it after all)

A node's answer to the submission is never the truth: a rejected block is watched for a while, an orphan may return.
Even a mature block may leave, by a reorg deeper than the maturity; its coins may be paid out by then, so that is a loss
which somebody has to bear, and until then nothing more is paid. The newest mature block speaks for all older ones.
Only the chain as a synced node shows it moves a block, and a node that is away or not synced moves nothing (notes
sections 1.4, P7).

On a chain whose blocks pay votes (docs/adr/0020) what was found is a vote, and a row tells of it in one place: an index
of one block. In another place it may earn another amount, so it never moves there: its row is void where it is, and the
vote goes on in a row of its own (`Step.MOVE`), which is an orphan in turn when the first place is back. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Literal, NamedTuple

from chains.kind import BlockStatus, Inclusion
from pool.shares.scheme import Scheme

BlockState = Literal["submitted", "immature", "mature", "orphan", "rejected", "lost"]

REJECTED_WATCH_MS = 24 * 3600 * 1000
"""How long a rejected block is looked for; an answer lost on its way is long settled by then."""

ORPHAN_WATCH_MS = 7 * 24 * 3600 * 1000
"""How long an orphan is watched when the node does not say how deep the competing chain is."""

LOST_WATCH_MS = 30 * 24 * 3600 * 1000
"""How long a lost block's return is waited for, from the time it was found."""

COMPETING_DEPTH = 1
"""Blocks on top of a block's height before a node that does not know the block proves it orphaned."""


@dataclass(frozen=True, slots=True)
class ChainTerms:
    """What a chain's credits are made by: fee in millionths, PPLNS factor and minimum time, confirmations until
    mature. `scheme` is the chain's own, for blocks of which nothing else tells one.
    """

    fee_ppm: int
    factor: Fraction | int
    window_min_s: float
    maturity: int
    scheme: Scheme = "pplns"


class Place(NamedTuple):
    """Where a vote is: at an index of a block (displayed hash)."""

    container_hex: str
    event_index: int


def place_of(inclusion: Inclusion) -> Place:
    return Place(inclusion.container_hex, inclusion.event_index)


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """A block row. Amounts in smallest units, None until read from the actual coinbase. Hashes and target displayed
    hex.

    `orphaned_times` counts how often its credits were voided, `lost_times` how often it was lost when it was final.
    `watched` is false once nothing is expected to move it any more. `scheme` is the one its solve counted under.
    `vote_hash_hex` and `place` are of a vote that a block has, or had.
    """

    id: int
    chain: str
    hash_hex: str
    height: int
    state: BlockState
    reward: int | None
    fee: int | None
    share_sequence: int
    target_hex: str
    found_ms: int
    confirmations: int
    orphaned_times: int
    watched: bool
    lost_times: int = 0
    scheme: Scheme | None = None
    vote_hash_hex: str | None = None
    place: Place | None = None

    @property
    def solve_hex(self) -> str:
        """What the chain's nodes and the share log know the solve by: the hash, but for a vote's later places."""
        return self.vote_hash_hex or self.hash_hex

    @property
    def credited(self) -> bool:
        """Whether credits were ever computed; they are computed once, then only voided and reinstated."""
        return self.reward is not None


class Step(Enum):
    """What the books do about a block now."""

    NOTHING = "nothing"
    CREDIT = "credit"
    CONFIRM = "confirm"
    MATURE = "mature"
    ORPHAN = "orphan"
    REINSTATE = "reinstate"
    LOSE = "lose"
    FIND = "find"
    MOVE = "move"
    DISPUTE = "dispute"
    RETIRE = "retire"


def next_step(block: FoundBlock, status: BlockStatus, *, tip_height: int | None, maturity: int, now_ms: int) -> Step:
    """The one step that a synced node's status of a block asks for.

    `tip_height` is the chain's best height; without it, a block that the node does not know is never taken for an
    orphan.
    """
    if block.state != "mature" and not block.watched:
        return Step.NOTHING
    if status.found and status.confirmations > 0:
        return _on_chain(block, status, maturity) if _in_place(block, status) else _elsewhere(block)
    depth = None if tip_height is None else tip_height - block.height
    # A vote that a block had and none has now left its chain, whether another can have it or not.
    beside = status.confirmations < 0 or block.place is not None if status.found else _passed(depth)
    if not beside:
        return _retire_by_age(block, now_ms)
    if block.state in ("submitted", "immature"):
        return Step.ORPHAN
    if block.state == "mature":
        return Step.LOSE
    if block.state != "lost" and depth is not None and depth > 2 * maturity:
        return Step.RETIRE
    return _retire_by_age(block, now_ms)


def _in_place(block: FoundBlock, status: BlockStatus) -> bool:
    return block.place is None or status.inclusion is None or place_of(status.inclusion) == block.place


def _on_chain(block: FoundBlock, status: BlockStatus, maturity: int) -> Step:
    if block.state == "mature":
        return Step.NOTHING
    if block.state == "immature":
        if status.confirmations >= maturity:
            return Step.MATURE
        return Step.CONFIRM if status.confirmations != block.confirmations else Step.NOTHING
    if not block.credited:
        return Step.CREDIT
    if status.inclusion is not None and status.inclusion.amount != block.reward:
        return Step.DISPUTE
    return Step.FIND if block.state == "lost" else Step.REINSTATE


def _elsewhere(block: FoundBlock) -> Step:
    """A vote that is on the chain, but not where it was credited."""
    if block.state == "immature":
        return Step.ORPHAN
    return Step.LOSE if block.state == "mature" else Step.MOVE


def _passed(depth: int | None) -> bool:
    return depth is not None and depth >= COMPETING_DEPTH


def _retire_by_age(block: FoundBlock, now_ms: int) -> Step:
    age_ms = now_ms - block.found_ms
    limit_ms = {"rejected": REJECTED_WATCH_MS, "orphan": ORPHAN_WATCH_MS, "lost": LOST_WATCH_MS}.get(block.state)
    return Step.RETIRE if limit_ms is not None and age_ms > limit_ms else Step.NOTHING
