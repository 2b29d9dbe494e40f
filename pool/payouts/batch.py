"""A batch of payouts, its states, and every transition between them: one transaction from plan to confirmation.

    planned ──► built ──► signed ──► broadcast ──► confirming ──► settled
       │  ◄──────┘│          │  ▲       ▲  ▲ │         │ ▲  ▲         │
       ▼          ▼          │  └───────│──┘ └─────────┘ │  └─────────┘ (a reorg deeper than its confirmations)
      void ◄── (unsigned)    └──► conflicted ──► void (only when provably dead)
    hold: from everywhere but the ends, and back to where it was

`signed` is the point of no return: from then on the bytes never change, they are only sent again. A batch whose fee is
raised gets a further transaction (a version), with the same payouts and all of the coins of the ones before, so that at
most one of them is ever in the chain; whichever that is, settles the batch. Nothing that was signed is ever void unless
one of the coins that all versions spend is spent, as deep as a coinbase matures, by a transaction that is none of them.
Storage refuses every other step (a trigger made from this table). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from chains.wallet import Coin, Outpoint


class BatchState(StrEnum):
    PLANNED = "planned"
    BUILT = "built"
    SIGNED = "signed"
    BROADCAST = "broadcast"
    CONFIRMING = "confirming"
    SETTLED = "settled"
    CONFLICTED = "conflicted"
    HOLD = "hold"
    VOID = "void"


class BatchEvent(StrEnum):
    """What moves a batch. Each is one database transaction."""

    BUILD = "build"  # inputs, outputs, change and fee are chosen and verified
    REPLAN = "replan"  # nothing was signed: the inputs are free again
    SIGN = "sign"  # the final bytes are durable
    SEND = "send"  # a node has the bytes
    CONFIRM = "confirm"  # it is in a block
    DROP = "drop"  # its block left the chain
    SETTLE = "settle"  # deep enough: the ledger has it
    REOPEN = "reopen"  # a reorg took confirmations that counted as final
    CONFLICT = "conflict"  # an input is spent by another transaction
    CLEAR = "clear"  # that other transaction is gone again
    REPLACE = "replace"  # a further transaction of it with a higher fee is signed and durable
    VOID = "void"  # it can never be paid; what was reserved is available again
    HOLD = "hold"  # an operator decides
    RELEASE = "release"  # and has decided: back to where it was


_S, _E = BatchState, BatchEvent

TRANSITIONS: Mapping[BatchState, Mapping[BatchEvent, BatchState]] = {
    _S.PLANNED: {_E.BUILD: _S.BUILT, _E.VOID: _S.VOID, _E.HOLD: _S.HOLD},
    _S.BUILT: {_E.REPLAN: _S.PLANNED, _E.SIGN: _S.SIGNED, _E.VOID: _S.VOID, _E.HOLD: _S.HOLD},
    _S.SIGNED: {
        _E.SEND: _S.BROADCAST, _E.CONFIRM: _S.CONFIRMING, _E.CONFLICT: _S.CONFLICTED, _E.REPLACE: _S.SIGNED,
        _E.HOLD: _S.HOLD,
    },
    _S.BROADCAST: {
        _E.CONFIRM: _S.CONFIRMING, _E.CONFLICT: _S.CONFLICTED, _E.REPLACE: _S.BROADCAST, _E.HOLD: _S.HOLD,
    },
    _S.CONFIRMING: {
        _E.DROP: _S.BROADCAST, _E.SETTLE: _S.SETTLED, _E.CONFLICT: _S.CONFLICTED, _E.HOLD: _S.HOLD,
    },
    _S.SETTLED: {_E.REOPEN: _S.CONFIRMING},
    _S.CONFLICTED: {
        _E.CLEAR: _S.BROADCAST, _E.CONFIRM: _S.CONFIRMING, _E.VOID: _S.VOID, _E.HOLD: _S.HOLD,
    },
    _S.HOLD: {_E.VOID: _S.VOID},  # and RELEASE, to the state it was taken from: see `after`
    _S.VOID: {},
}  # fmt: skip

HOLDABLE = frozenset(state for state, events in TRANSITIONS.items() if BatchEvent.HOLD in events)
"""The states that a batch can be held in, and released to."""

EXCLUSIVE = frozenset({BatchState.PLANNED, BatchState.BUILT, BatchState.SIGNED})
"""A chain has at most one batch in these."""

IN_FLIGHT = frozenset({BatchState.SIGNED, BatchState.BROADCAST, BatchState.CONFIRMING, BatchState.CONFLICTED})
"""Signed and not final: its bytes may be, or come, in the chain at any time."""

FINAL = frozenset({BatchState.SETTLED, BatchState.VOID})


class StepRefusedError(Exception):
    """A step that the table does not have. Nothing was changed."""


def after(state: BatchState, event: BatchEvent, held_from: BatchState | None = None) -> BatchState:
    """The state that an event leads to. `held_from` is where a held batch was. Raises StepRefusedError."""
    if state is BatchState.HOLD and event is BatchEvent.RELEASE:
        if held_from not in HOLDABLE:
            raise StepRefusedError(f"a batch on hold cannot be released to {held_from}")
        return held_from
    following = TRANSITIONS[state].get(event)
    if following is None:
        raise StepRefusedError(f"a batch that is {state} has no step {event}")
    return following


def allowed_steps() -> frozenset[tuple[BatchState, BatchState]]:
    """Every (from, to) that storage lets pass; an event that leaves a batch where it is changes no state."""
    steps = {(state, to) for state, events in TRANSITIONS.items() for to in events.values() if to is not state}
    return frozenset(steps | {(BatchState.HOLD, state) for state in HOLDABLE})


class BatchKind(StrEnum):
    """What a batch is for; the operator's own transactions take the same way as payouts."""

    PAYOUT = "payout"
    WITHDRAW = "withdraw"  # fees leave the pool
    SWEEP = "sweep"  # the hot wallet's surplus goes to an address of the operator's, and stays in the books
    CONSOLIDATE = "consolidate"  # many coins become one


class FeePolicy(StrEnum):
    """Who bears the network's fee of a batch."""

    POOL = "pool"
    MINER = "miner"


@dataclass(frozen=True, slots=True)
class Payout:
    """One payment that is wanted: `gross` leaves the account. `account_id` is None for the operator's own. `minimum` is
    the least that may arrive. Address and script are as they were at planning.
    """

    id: str
    account_id: int | None
    address: str
    script: bytes
    gross: int
    minimum: int = 0


@dataclass(frozen=True, slots=True)
class PaidOutput:
    """One payment as an output of the transaction: gross = net + fee_part."""

    payout_id: str
    vout: int
    net: int
    fee_part: int


@dataclass(frozen=True, slots=True)
class Change:
    """The output that comes back to the wallet."""

    vout: int
    amount: int
    script: bytes


@dataclass(frozen=True, slots=True)
class BuiltBatch:
    """An unsigned transaction that was verified against its plan. `fee` is what the inputs hold over the outputs;
    `pool_fee` is the part of it that no payout bears. `dropped` are payouts that did not fit or fell below their
    minimum: they are paid another time.
    """

    raw: bytes
    coins: tuple[Coin, ...]
    outputs: tuple[PaidOutput, ...]
    change: Change | None
    fee: int
    pool_fee: int
    vsize: int
    dropped: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[Outpoint, ...]:
        return tuple(coin.outpoint for coin in self.coins)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the books hold it. `id` is a text that nothing else has (a UUID, or the operator's reference).

    `raw`, `txid` and `wtxid` are those of the signed transaction and never change; `built` is there from the state
    built on. `confirmations`, `block_hash_hex` and `height` tell where it was last seen.

    When its fee was raised, they are those of one version: the one last seen in the chain, else the newest. `version`
    is its number, from 0, and `replaced_ms` when the newest was signed. `others` are the same batch with each of its
    other versions, the newest first; `versions` are all of them. `bump_rate` is the rate that an operator wants next.
    """

    id: str
    chain: str
    kind: BatchKind
    state: BatchState
    fee_policy: FeePolicy
    payouts: tuple[Payout, ...]
    created_ms: int
    updated_ms: int
    held_from: BatchState | None = None
    reason: str = ""
    fee_rate: int | None = None
    built: BuiltBatch | None = None
    raw: bytes | None = None
    txid: bytes | None = None
    wtxid: bytes | None = None
    confirmations: int = 0
    block_hash_hex: str | None = None
    height: int | None = None
    conflict_txid: bytes | None = None
    sends: int = 0
    sent_ms: int | None = None
    version: int = 0
    others: tuple[Batch, ...] = ()
    replaced_ms: int | None = None
    bump_rate: int | None = None

    @property
    def signed(self) -> bool:
        """Whether it is past the point of no return."""
        return self.raw is not None

    @property
    def versions(self) -> tuple[Batch, ...]:
        """Every signed transaction of it that may be in the chain, the present one first."""
        return (self, *self.others)

    @property
    def replaceable(self) -> bool:
        """Whether it waits for a block, so that a further transaction may take the place of the one that it has."""
        return BatchEvent.REPLACE in TRANSITIONS[self.state]
