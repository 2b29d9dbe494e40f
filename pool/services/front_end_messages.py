"""What a pool's mother process and its front ends say to each other: typed msgpack values, each in a frame of its own.

A frame is four bytes of length (big endian) and so many of msgpack. Both ends are of one version: a front end is
started by the mother that it talks to, or told by `VERSION` that it is an older one's. Numbers of 256 bits travel as
32 bytes, big endian; hashes are in natural order.
"""

from __future__ import annotations

from typing import Any

import msgspec

from chains.kind import AuxTemplate, ParentTemplate, TemplateTransaction
from pool.services.block_messages import BlockAnswered, BlockFound

VERSION = 2
MAX_FRAME_BYTES = 64 << 20
"""A template of 4 MB is sent once; its whole state with a last few templates stays far below."""

_LENGTH_BYTES = 4
_TARGET_BYTES = 32


# -- from the mother -----------------------------------------------------------------------------------------------


class Welcome(msgspec.Struct, tag="welcome", frozen=True, kw_only=True):
    """Who the front end is, and what it begins with. `segment`, `offset` and `sequence` tell how far the books are with
    its share log; `first` and `count` are its part of the extranonce1 space, `secret` makes session ids."""

    version: int
    values: dict[str, Any]
    segment: int
    offset: int
    sequence: int
    first: int
    count: int
    secret: bytes


class ParentNews(msgspec.Struct, tag="parent", frozen=True, kw_only=True):
    """A template of the parent. `wtxids` are all its transactions in order; those that the template before it lacked
    are in `new`."""

    fields: dict[str, Any]
    target: bytes
    merkle_branch: list[bytes]
    wtxids: list[bytes]
    new: list[TemplateTransaction]


class AuxNews(msgspec.Struct, array_like=True, frozen=True):
    """A template of an auxiliary chain, as a job carries it."""

    chain: str
    aux_hash: bytes
    target: bytes
    height: int
    previous_hash: bytes
    value_sat: int
    node: str
    chain_id: int | None
    context: bytes | None
    datum: bytes | None = None


class JobNews(msgspec.Struct, tag="job", frozen=True, kw_only=True):
    """How to make a job of the last parent template that was sent: every front end makes the same one, byte for byte.
    `empty` leaves the template's transactions out. `pay_rates` are (subsidy, fees, work) by chain; work is 32 bytes."""

    sequence: int
    job_id: str
    clean: bool
    empty: bool
    aux: list[AuxNews]
    uncapped: list[str]
    fixed_version_bits: int
    template_age_s: int
    pay_rates: dict[str, tuple[int, int, bytes]]
    coinbases: dict[int, bytes] = {}
    """By size of extranonce2, a digest of the coinbase: who makes another one has another configuration."""


class Present(msgspec.Struct, tag="present", frozen=True):
    """All that a newcomer has to know was sent."""


class Announcement(msgspec.Struct, tag="announcement", frozen=True):
    """A sentence for the people at the miners of these realms."""

    text: str
    realms: list[str]


class NewValues(msgspec.Struct, tag="values", frozen=True):
    """Another configuration, whole."""

    values: dict[str, Any]


class Consumed(msgspec.Struct, tag="consumed", frozen=True):
    """How far the books are with this front end's share log, and how long ago they had all of it."""

    segment: int
    offset: int
    sequence: int
    lag_ms: int


class DrainOver(msgspec.Struct, tag="drain", frozen=True):
    """Move the miners elsewhere over so many seconds; `ends` then ends the process. Negative: miners may stay."""

    over_s: float
    ends: bool


class BanNews(msgspec.Struct, tag="ban", frozen=True):
    """The operator turns a network away for so long; without `seconds` no more."""

    network: str
    seconds: int | None
    reason: str


class ConnectionsWanted(msgspec.Struct, tag="connections", frozen=True):
    """A question, which `number` names in the answer: up to `limit` connections with numbers above `after`, of miners
    with this login and worker where they are given."""

    number: int
    after: int
    limit: int
    login: str | None
    worker: str | None


class MinersToTell(msgspec.Struct, tag="tell", frozen=True):
    """A sentence for miners with this login and worker, all without. Its answer says how many heard it."""

    number: int
    text: str
    login: str | None
    worker: str | None


class Stop(msgspec.Struct, tag="stop", frozen=True):
    """End in order, now."""


class MinerPaces(msgspec.Struct, tag="paces", frozen=True):
    """How fast miners are: extranonce1, work per second in units of difficulty 1, whether that is settled. A front end
    says it of its own, and all of them hear it."""

    paces: list[tuple[bytes, float, bool]]


# -- from a front end ----------------------------------------------------------------------------------------------


class Hello(msgspec.Struct, tag="hello", frozen=True):
    """The first word. `welcomed` tells that it serves already, and lost its mother or the connection to it."""

    version: int
    slot: int
    pid: int
    welcomed: bool


class Serving(msgspec.Struct, tag="serving", frozen=True):
    """The ports are open."""


class Drained(msgspec.Struct, tag="drained", frozen=True):
    """All shares received up to `time_ms` have sequences up to `sequence` and are durable before the position."""

    segment: int
    offset: int
    sequence: int
    time_ms: int


class WireBuckets(msgspec.Struct, array_like=True, frozen=True):
    counts: list[int]
    sum: float


class Figures(msgspec.Struct, tag="figures", frozen=True):
    """The readings of this process's metrics by name: label values and the value."""

    readings: dict[str, list[tuple[list[str], float | WireBuckets]]]
    accepted_work: str  # digits: it may have more than 64 bits
    cpu_s: float
    memory_bytes: int


class WorkWanted(msgspec.Struct, tag="work", frozen=True):
    """An auxiliary block has its answer: its chain's template is used up."""

    chain: str


class ConnectionsFound(msgspec.Struct, tag="connections", frozen=True):
    """`items` are JSON objects, as the operator gets them, ascending by their number; `more_after` is the last one's
    when more would have come, None otherwise. `total` counts all connections of the process."""

    number: int
    total: int
    items: list[bytes]
    more_after: int | None


class MinersTold(msgspec.Struct, tag="told", frozen=True):
    """To how many connections the sentence went."""

    number: int
    connections: int


Question = ConnectionsWanted | MinersToTell
Answer = ConnectionsFound | MinersTold
FromMother = (
    Welcome | ParentNews | JobNews | Present | Announcement | NewValues | Consumed | DrainOver | BanNews | Question
    | MinerPaces | BlockAnswered | Stop
)  # fmt: skip
FromFrontEnd = Hello | Serving | Drained | Figures | WorkWanted | MinerPaces | BlockFound | Answer

_encode = msgspec.msgpack.Encoder().encode
_mother_decoder = msgspec.msgpack.Decoder(FromMother)
_front_end_decoder = msgspec.msgpack.Decoder(FromFrontEnd)


def frame_of(message: FromMother | FromFrontEnd) -> bytes:
    return framed(_encode(message))


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(_LENGTH_BYTES, "big") + payload


def from_mother(payload: bytes) -> FromMother:
    """Raises msgspec.MsgspecError."""
    message: FromMother = _mother_decoder.decode(payload)
    return message


def from_front_end(payload: bytes) -> FromFrontEnd:
    """Raises msgspec.MsgspecError."""
    message: FromFrontEnd = _front_end_decoder.decode(payload)
    return message


class Frames:
    """Takes frames out of what a socket brings. Raises ValueError for one that is longer than any of ours."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        self._data += data
        found = []
        while len(self._data) >= _LENGTH_BYTES:
            length = int.from_bytes(self._data[:_LENGTH_BYTES], "big")
            if length > MAX_FRAME_BYTES:
                raise ValueError(f"a frame of {length} bytes")
            end = _LENGTH_BYTES + length
            if len(self._data) < end:
                break
            found.append(bytes(self._data[_LENGTH_BYTES:end]))
            del self._data[:end]
        return found


def number_bytes(number: int) -> bytes:
    return number.to_bytes(_TARGET_BYTES, "big")


# -- templates -----------------------------------------------------------------------------------------------------

# What a parent template has besides target, branch and transactions: plain values.
_PARENT_FIELDS = (
    "chain", "height", "previous_hash", "version", "bits", "current_time", "minimum_time", "value_sat", "coinbase_aux",
    "witness_commitment", "extension", "fixed_version_bits", "longpoll_id", "node",
)  # fmt: skip


def parent_news(template: ParentTemplate, known: frozenset[bytes] = frozenset()) -> ParentNews:
    """`known` are the wtxids of the template that was sent before."""
    return ParentNews(
        fields={**{name: getattr(template, name) for name in _PARENT_FIELDS}, "rules": list(template.rules)},
        target=number_bytes(template.target),
        merkle_branch=list(template.merkle_branch),
        wtxids=[t.wtxid for t in template.transactions],
        new=[t for t in template.transactions if t.wtxid not in known],
    )


def parent_template(news: ParentNews, before: ParentTemplate | None) -> ParentTemplate:
    """The template, its transactions shared with the one before. Raises KeyError when that was another one than it
    was made for."""
    known = {} if before is None else {t.wtxid: t for t in before.transactions}
    known |= {t.wtxid: t for t in news.new}
    fields = {**news.fields, "rules": tuple(news.fields["rules"])}
    return ParentTemplate(
        **fields,
        target=int.from_bytes(news.target, "big"),
        merkle_branch=tuple(news.merkle_branch),
        transactions=tuple(known[wtxid] for wtxid in news.wtxids),
    )


def aux_news(template: AuxTemplate) -> AuxNews:
    return AuxNews(
        template.chain, template.aux_hash, number_bytes(template.target), template.height, template.previous_hash,
        template.value_sat, template.node, template.chain_id, template.context, template.datum,
    )  # fmt: skip


def aux_template(news: AuxNews) -> AuxTemplate:
    return AuxTemplate(
        news.chain, news.aux_hash, int.from_bytes(news.target, "big"), news.height, news.previous_hash,
        news.value_sat, news.node, news.chain_id, news.context, news.datum,
    )  # fmt: skip
