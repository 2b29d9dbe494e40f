"""What a network in virtual time is made of: nodes, strangers, and the connections between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from chains.peers.core import MessageType, NodeCore, Note, PeerId, Score
from chains.peers.rates import PeerRates
from chains.peers.scores import BanPolicy, Scores


class Wires(Protocol):
    """What a stranger asks of its network."""

    def send(self, connection: Connection, sender: VirtualNode | Stranger, name: str, payload: bytes) -> None: ...

    def close(self, connection: Connection) -> None: ...


@dataclass(slots=True)
class Reply:
    """What became of a call: `done` once it was answered (`value`) or refused (`code`, `reason`)."""

    done: bool = False
    value: Any = None
    code: int | None = None
    reason: str = ""


@dataclass(eq=False, slots=True, repr=False)
class Stranger:
    """One connection to a node that the test speaks for."""

    network: Wires
    node: int
    key: bytes
    connection: Connection = field(init=False)
    received: list[tuple[str, bytes]] = field(default_factory=list)
    closed: bool = False

    def send(self, name: str, payload: bytes) -> None:
        """Nothing happens to what is sent on a closed connection."""
        self.network.send(self.connection, self, name, payload)

    def close(self) -> None:
        self.network.close(self.connection)


@dataclass(eq=False, slots=True, repr=False)
class Connection:
    """Two ends, each a node or a stranger; `ids` are the names that node ends know it by."""

    ends: tuple[VirtualNode | Stranger, VirtualNode | Stranger]
    ids: tuple[PeerId, PeerId]
    open: bool = True
    free_at_ms: list[int] = field(default_factory=lambda: [0, 0])  # per direction: what is sent stays in order
    rates: list[PeerRates] = field(default_factory=list)  # at each end, for what comes in there

    def side(self, end: VirtualNode | Stranger) -> int:
        return 0 if self.ends[0] is end else 1


@dataclass(eq=False, slots=True, repr=False)
class VirtualNode:
    """One node: its core while it lives, and what outlives the core."""

    index: int
    key: bytes
    make_core: Callable[[], NodeCore]
    core: Any = None  # None while it is down
    tables: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    peers: dict[PeerId, Connection] = field(default_factory=dict)
    types: dict[str, MessageType] = field(default_factory=dict)
    timers: dict[str, int] = field(default_factory=dict)  # the number of the setting that counts
    scores: Scores = field(default_factory=lambda: Scores(BanPolicy(exempt_loopback=True)))
    replies: dict[int, Reply] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    offences: list[Score] = field(default_factory=list)
    over_rate: int = 0  # messages that were dropped because they came too fast
    effects_left: int | None = None  # crash when so many more effects have been carried out

    @property
    def alive(self) -> bool:
        return self.core is not None

    def records(self) -> dict[str, list[tuple[bytes, bytes]]]:
        return {name: list(table.items()) for name, table in self.tables.items() if table}
