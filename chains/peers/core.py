"""The contract between a node's core and whatever runs it: events in, effects out, nothing else.

A core is a value: it never reads a clock, draws chance that it was not given, opens a socket or a file. The process
(chains/peers/process.py) turns sockets, timers and storage into events and carries out effects; a simulation does the
same with a heap. Effects are carried out in order, and a `Write` is on disk before what stands after it leaves the
process: a node never tells others, or its caller, what a crash would make it forget (docs/adr/0017).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NewType, Protocol

PeerId = NewType("PeerId", int)
"""One connection, never used again; not the node behind it, whose key is in its hello."""


@dataclass(frozen=True, slots=True)
class PeerHello:
    """What a peer proved: its key (BIP340, x-only, 32 bytes), and what it said under that signature."""

    node_key: bytes
    network: bytes
    genesis: bytes
    version: int
    features: int
    inbound: bool


# --- events ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The first event: what the store holds, by table, in the order in which keys were first put. Putting a key again
    changes its value and not its place; one that was deleted and put again stands last."""

    records: Mapping[str, Sequence[tuple[bytes, bytes]]]


@dataclass(frozen=True, slots=True)
class Connected:
    peer: PeerId
    hello: PeerHello


@dataclass(frozen=True, slots=True)
class Disconnected:
    peer: PeerId


@dataclass(frozen=True, slots=True)
class Received:
    """A whole message of a registered type, within its size limit and rate."""

    peer: PeerId
    name: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Fired:
    timer: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that writes. Exactly one `Answer` or `Refuse` with its token follows, now or later."""

    call: str
    token: int
    parameters: tuple[Any, ...] = ()


Event = Started | Connected | Disconnected | Received | Fired | Asked


# --- effects --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    peer: PeerId
    name: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Broadcast:
    """To every connected peer, those in `besides` left out."""

    name: str
    payload: bytes
    besides: tuple[PeerId, ...] = ()


@dataclass(frozen=True, slots=True)
class SetTimer:
    """`Fired(timer)` at `at_ms`; a timer of the same name is replaced; None takes it back."""

    timer: str
    at_ms: int | None


@dataclass(frozen=True, slots=True)
class Write:
    """One atomic batch: (table, key, value) to put, then (table, key) to delete. On disk (fsync) before the effects
    behind it leave; a store that cannot write ends the process."""

    puts: tuple[tuple[str, bytes, bytes], ...] = ()
    deletes: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """Misbehaviour points; at 100 the process drops the peer and bans its address and key for a while."""

    peer: PeerId
    points: int
    reason: str


@dataclass(frozen=True, slots=True)
class Drop:
    peer: PeerId
    reason: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Something that waiting callers may wait for has changed: "tip", "template"."""

    topic: str


@dataclass(frozen=True, slots=True)
class Note:
    """One line of log: level as in `logging`, an event in words, and its fields."""

    level: int
    event: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    token: int
    value: Any


@dataclass(frozen=True, slots=True)
class Refuse:
    """A JSON-RPC error: `code` as Bitcoin Core numbers them, `reason` one sentence."""

    token: int
    code: int
    reason: str


Effect = Send | Broadcast | SetTimer | Write | Score | Drop | Tell | Note | Answer | Refuse


@dataclass(frozen=True, slots=True)
class MessageType:
    """A message that a kind speaks. `rate_per_s` and `burst` bound each peer; more is dropped and scored. `required`
    types make a peer that does not know them useless; unknown optional ones are ignored."""

    name: str
    meaning: str
    limit_bytes: int
    rate_per_s: float
    burst: int
    required: bool = True


class NodeCore(Protocol):
    """A node without its edges. Time is milliseconds since 1970, given with every event and never going back."""

    network: bytes
    """32 bytes: which network the hello names."""

    genesis: bytes
    messages: Sequence[MessageType]

    def on(self, now_ms: int, event: Event) -> Iterable[Effect]:
        """Called for one event at a time and exhausted before the first effect is carried out: a generator will do.
        An exception is a broken promise: the process ends, because the core's state is no longer known."""
        ...
