"""A network in virtual time: the very cores of the nodes, on a heap of events instead of sockets, timers and disks.

Same seed, same run. Links delay, lose and are cut; nodes crash, also between two effects, and come back with what they
had written. Sizes, rates, scores and bans are those of the process (chains/peers/process.py), so a core that works here
under loss and partitions works there; only bytes, signatures and chunks are left out.

    network = VirtualNetwork(seed=1, latency_ms=(20, 200), loss=0.2)
    for key in range(5):
        network.add(lambda key=key: MyCore(random.Random(key)))
    network.connect_all()
    network.run_for(60_000)
    network.partition([[0, 1], [2, 3, 4]]); network.run_for(60_000); network.heal()
    network.run_until(lambda: len({node.core.tip for node in network.nodes}) == 1)

A `Stranger` is a connection in the test's hand: it proves whatever key it is given and sends what an attacker would.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chains.peers.core import (
    Answer,
    Asked,
    Broadcast,
    Connected,
    Disconnected,
    Drop,
    Effect,
    Event,
    Fired,
    NodeCore,
    Note,
    PeerHello,
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
from chains.peers.rates import PeerRates
from chains.peers.scores import key_name
from chains.peers.virtual_ends import Connection, Reply, Stranger, VirtualNode

START_MS = 1_700_000_000_000
RECONNECT_MS = 2_000
OVER_RATE_POINTS = 1
OVER_SIZE_POINTS = 50
VERSION = 1

LatencyMs = tuple[int, int] | Callable[[random.Random, int, int], int]
"""(least, most), drawn evenly for each message; or a function of (chance, from, to), nodes by index."""


class VirtualNetwork:
    """`nodes` by index. `loss` is the share of messages that vanish; it may be changed while running."""

    def __init__(
        self,
        *,
        seed: int,
        latency_ms: LatencyMs = (10, 100),
        loss: float = 0.0,
        start_ms: int = START_MS,
        enforce_rates: bool = True,
    ) -> None:
        self.random = random.Random(seed)
        self.now_ms = start_ms
        self.loss = loss
        self.latency_ms = latency_ms
        self.enforce_rates = enforce_rates
        self.nodes: list[VirtualNode] = []
        self.delivered = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = itertools.count(1)
        self._links: set[tuple[int, int]] = set()
        self._groups: dict[int, int] = {}  # node index -> side of the partition; empty: whole

    # -- the network ------------------------------------------------------------------------------------------------

    def add(self, make_core: Callable[[], NodeCore], key: bytes | None = None) -> VirtualNode:
        """One more node, started at once. `make_core` is called again at each restart."""
        index = len(self.nodes)
        node = VirtualNode(index, (index + 1).to_bytes(32, "big") if key is None else key, make_core)
        self.nodes.append(node)
        self._start(node)
        return node

    def connect(self, one: int, other: int) -> None:
        """A link that stays: after a cut, a crash or a drop the nodes connect again."""
        self._links.add((one, other))
        self._try_link(one, other)

    def connect_all(self) -> None:
        for one, other in itertools.combinations(range(len(self.nodes)), 2):
            self.connect(one, other)

    def disconnect(self, one: int, other: int) -> None:
        """Take a link away."""
        self._links -= {(one, other), (other, one)}
        for connection in self._between(one, other):
            self.close(connection)

    def partition(self, groups: Sequence[Iterable[int]]) -> None:
        """Cut every link between the groups; nodes in none of them are alone."""
        self._groups = {index: -1 - index for index in range(len(self.nodes))}
        self._groups |= {index: side for side, group in enumerate(groups) for index in group}
        for one, other in sorted(self._links):
            if self._groups[one] != self._groups[other]:
                for connection in self._between(one, other):
                    self.close(connection)

    def heal(self) -> None:
        self._groups = {}
        for one, other in sorted(self._links):
            self._try_link(one, other)

    def stranger(self, node: int, key: bytes, features: int = 0) -> Stranger:
        """Connect to a node from outside; refused when the key is banned there (`closed`)."""
        stranger = Stranger(self, node, key)
        self._open(stranger, self.nodes[node], features)
        return stranger

    def crash(self, index: int, after_effects: int = 0) -> None:
        """kill -9, at once or as soon as so many more effects have been carried out: what was written stays, what
        stands after it never happens."""
        node = self.nodes[index]
        if after_effects and node.alive:
            node.effects_left = after_effects
        elif node.alive:
            self._die(node)

    def restart(self, index: int) -> None:
        """A crashed node comes back with what it had written, and connects again."""
        node = self.nodes[index]
        assert not node.alive, f"node {index} runs"
        self._start(node)
        for one, other in sorted(self._links):
            if index in (one, other):
                self._try_link(one, other)

    def ask(self, index: int, call: str, *parameters: Any) -> Reply:
        """A call that writes; look at the reply when time has passed (most are answered at once)."""
        node = self.nodes[index]
        token, reply = next(self._numbers), Reply()
        node.replies[token] = reply
        self._feed(node, Asked(call, token, parameters))
        return reply

    # -- time -------------------------------------------------------------------------------------------------------

    def at(self, at_ms: int, do: Callable[[], None]) -> None:
        """Call a function of the test at a time."""
        self._push(at_ms, do)

    def run_for(self, duration_ms: int) -> None:
        until_ms = self.now_ms + duration_ms
        while self._heap and self._heap[0][0] <= until_ms:
            self._step()
        self.now_ms = until_ms

    def run_until(self, reached: Callable[[], bool], limit_ms: int = 3_600_000) -> None:
        """Until the condition holds (looked at after each event). Raises AssertionError at the limit."""
        until_ms = self.now_ms + limit_ms
        while not reached():
            assert self._heap and self._heap[0][0] <= until_ms, f"not reached within {limit_ms} ms of virtual time"
            self._step()

    def _step(self) -> None:
        at_ms, _, function, arguments = heapq.heappop(self._heap)
        self.now_ms = max(self.now_ms, at_ms)
        function(*arguments)

    def _push(self, at_ms: int, function: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._heap, (max(at_ms, self.now_ms), next(self._numbers), function, arguments))

    # -- life of a node ---------------------------------------------------------------------------------------------

    def _start(self, node: VirtualNode) -> None:
        node.core = node.make_core()
        node.types = {message.name: message for message in node.core.messages}
        self._feed(node, Started(node.records()))

    def _die(self, node: VirtualNode) -> None:
        node.core = None
        node.effects_left = None
        node.timers.clear()
        for connection in list(node.peers.values()):
            self.close(connection)

    def _feed(self, node: VirtualNode, event: Event) -> None:
        if node.core is not None:
            for effect in tuple(node.core.on(self.now_ms, event)):
                self._carry_out(node, effect)
                if node.effects_left is not None:
                    node.effects_left -= 1
                    if node.effects_left <= 0:
                        self._die(node)
                if node.core is None:
                    return

    def _carry_out(self, node: VirtualNode, effect: Effect) -> None:
        match effect:
            case Send(peer, name, payload):
                if peer in node.peers:
                    self.send(node.peers[peer], node, name, payload)
            case Broadcast(name, payload, besides):
                for peer, connection in list(node.peers.items()):
                    if peer not in besides:
                        self.send(connection, node, name, payload)
            case SetTimer(timer, None):
                node.timers.pop(timer, None)
            case SetTimer(timer, int() as at_ms):
                node.timers[timer] = setting = next(self._numbers)
                self._push(at_ms, self._fire, node, timer, setting)
            case Write(puts, deletes):
                for table, key, value in puts:
                    node.tables.setdefault(table, {})[key] = value
                for table, key in deletes:
                    node.tables.get(table, {}).pop(key, None)
            case Score(peer, points, _):
                node.offences.append(effect)
                self._score(node, peer, points)
            case Drop(peer, _):
                if peer in node.peers:
                    self.close(node.peers[peer])
            case Tell(topic):
                node.told.append(topic)
            case Note():
                node.notes.append(effect)
            case Answer(token, value):
                reply = node.replies.pop(token)
                reply.done, reply.value = True, value
            case Refuse(token, code, reason):
                reply = node.replies.pop(token)
                reply.done, reply.code, reply.reason = True, code, reason

    def _fire(self, node: VirtualNode, timer: str, setting: int) -> None:
        if node.timers.get(timer) == setting:  # else it was set again or taken back
            del node.timers[timer]
            self._feed(node, Fired(timer))

    def _score(self, node: VirtualNode, peer: PeerId, points: int) -> None:
        connection = node.peers.get(peer)
        if connection is not None:
            other = connection.ends[1 - connection.side(node)]
            if node.scores.add([key_name(other.key)], points, self.now_ms):
                self.close(connection)

    # -- connections ------------------------------------------------------------------------------------------------

    def _between(self, one: int, other: int) -> list[Connection]:
        ends = {id(self.nodes[one]), id(self.nodes[other])}
        return [c for c in self.nodes[one].peers.values() if {id(end) for end in c.ends} == ends]

    def _try_link(self, one: int, other: int) -> None:
        """Connect two linked nodes if nothing stands between them."""
        first, second = self.nodes[one], self.nodes[other]
        if (one, other) not in self._links or not (first.alive and second.alive) or self._between(one, other):
            return
        if self._groups.get(one) != self._groups.get(other):
            return
        if not self._open(first, second, 0):
            self._push(self.now_ms + RECONNECT_MS, self._try_link, one, other)

    def _open(self, dialer: VirtualNode | Stranger, listener: VirtualNode, features: int) -> bool:
        """Whether neither end has banned the other, or is down."""
        banned = listener.scores.is_banned([key_name(dialer.key)], self.now_ms)
        if isinstance(dialer, VirtualNode):
            banned = banned or dialer.scores.is_banned([key_name(listener.key)], self.now_ms)
        connection = Connection((dialer, listener), (PeerId(next(self._numbers)), PeerId(next(self._numbers))))
        if isinstance(dialer, Stranger):
            dialer.connection = connection
            dialer.closed = banned or not listener.alive
        if banned or not listener.alive:
            connection.open = False
            return False
        for end, other, peer in zip(connection.ends, connection.ends[::-1], connection.ids, strict=True):
            core = end.core if isinstance(end, VirtualNode) else listener.core
            connection.rates.append(PeerRates(core.messages, self.now_ms))
            if isinstance(end, VirtualNode):
                end.peers[peer] = connection
                hello = PeerHello(other.key, core.network, core.genesis, VERSION, features, inbound=end is listener)
                self._push(self.now_ms, self._feed, end, Connected(peer, hello))
        return True

    def close(self, connection: Connection) -> None:
        """For the ends of connections: close one on both sides."""
        if not connection.open:
            return
        connection.open = False
        for end, peer in zip(connection.ends, connection.ids, strict=True):
            if isinstance(end, Stranger):
                end.closed = True
            else:
                end.peers.pop(peer, None)
                self._push(self.now_ms, self._feed, end, Disconnected(peer))
        indices = [end.index for end in connection.ends if isinstance(end, VirtualNode)]
        if len(indices) == 2:
            self._push(self.now_ms + RECONNECT_MS, self._try_link, indices[0], indices[1])

    def send(self, connection: Connection, sender: VirtualNode | Stranger, name: str, payload: bytes) -> None:
        """For the ends of connections: put a message on its way."""
        if not connection.open:
            return
        side = connection.side(sender)
        receiver = connection.ends[1 - side]
        if isinstance(sender, VirtualNode):
            message = sender.types[name]  # KeyError: a core sends what it has not registered
            assert len(payload) <= message.limit_bytes, f"{name} of {len(payload)} bytes, limit {message.limit_bytes}"
        if self.loss and self.random.random() < self.loss:
            return
        if callable(self.latency_ms):
            ends = [end.index if isinstance(end, VirtualNode) else -1 for end in (sender, receiver)]
            delay_ms = self.latency_ms(self.random, ends[0], ends[1])
        else:
            delay_ms = self.random.randint(*self.latency_ms)
        at_ms = max(self.now_ms + delay_ms, connection.free_at_ms[side])
        connection.free_at_ms[side] = at_ms
        self._push(at_ms, self._deliver, connection, 1 - side, name, payload)

    def _deliver(self, connection: Connection, side: int, name: str, payload: bytes) -> None:
        if not connection.open:
            return
        self.delivered += 1
        receiver, peer = connection.ends[side], connection.ids[side]
        if isinstance(receiver, Stranger):
            receiver.received.append((name, payload))
            return
        message = receiver.types.get(name)
        if message is None:  # an unknown optional type is ignored
            return
        if len(payload) > message.limit_bytes:
            self._score(receiver, peer, OVER_SIZE_POINTS)
        elif self.enforce_rates and not connection.rates[side].take(name, self.now_ms):
            receiver.over_rate += 1
            self._score(receiver, peer, OVER_RATE_POINTS)
        else:
            self._feed(receiver, Received(peer, name, payload))
