"""A closing: a stretch of the books, sealed. What it holds, its bytes, and the chain of hashes through all of them.

    bytes = msgpack [1, number, previous hash, closed_ms, logs, chains] in shortest forms; hash = SHA-256(bytes)
    log    = [name, after_sequence, through_sequence, shares, root]
    chain  = [name, links_before, link_before, groups, credits, payouts]
    group  = [id, kind, created_ms, [[debit, credit, amount], ...]]: the ledger's transfers, in the order of its links
    credit = [group id, scheme, reward, fee, [[account, kind, script hex, weight, amount], ...]]
    payout = [group id, account, script hex, txid, vout, net, fee part]

Logs and chains are in the order of their names. Numbers begin at 1, the first one's previous hash is 32 zeros. A root
is over the shares with after_sequence < sequence <= through_sequence. `link_before` is the hash that the first of the
groups is linked to (pool/ledger/link.py), so whoever has all closings can follow the ledger's own chain of hashes as
well. A weight is decimal text of any size, a txid in natural order. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from struct import pack
from typing import NamedTuple

import msgspec

VERSION = 1
FIRST_PREVIOUS = bytes(32)

RUN_SHARES = 1024
"""Shares under one leaf of a log's tree."""


class ClosedLog(NamedTuple):
    """The shares of one share log that this closing seals."""

    name: str
    after_sequence: int
    through_sequence: int
    shares: int
    root: bytes


class ClosedTransfer(NamedTuple):
    debit: str
    credit: str
    amount: int


class ClosedGroup(NamedTuple):
    """A group of the ledger as it was written."""

    id: str
    kind: str
    created_ms: int
    transfers: tuple[ClosedTransfer, ...]


class ClosedAmount(NamedTuple):
    """What one account earns from an income event, and the weight it earns it by."""

    account: int
    kind: str
    script_hex: str
    weight: str
    amount: int


class ClosedCredit(NamedTuple):
    """The income event behind a group of the kind `credit`."""

    group_id: str
    scheme: str
    reward: int
    fee: int
    amounts: tuple[ClosedAmount, ...]


class ClosedPayout(NamedTuple):
    """The output behind a group of the kind `settle`, as the books know it when they are closed: nothing of it when the
    chain undid it meanwhile."""

    group_id: str
    account: int
    script_hex: str
    txid: bytes | None
    vout: int | None
    net: int | None
    fee_part: int | None


class ClosedChain(NamedTuple):
    """A chain's ledger from link `links_before` + 1 on."""

    name: str
    links_before: int
    link_before: bytes
    groups: tuple[ClosedGroup, ...]
    credits: tuple[ClosedCredit, ...]
    payouts: tuple[ClosedPayout, ...]


class Closing(NamedTuple):
    """One closing, without the version that its bytes begin with."""

    number: int
    previous_hash: bytes
    closed_ms: int
    logs: tuple[ClosedLog, ...]
    chains: tuple[ClosedChain, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(
    tuple[int, int, bytes, int, tuple[ClosedLog, ...], tuple[ClosedChain, ...]]
).decode


def closing_bytes(closing: Closing) -> bytes:
    """The canonical bytes: equal closings have equal ones."""
    return _encode((VERSION, *closing))


def closing_hash(data: bytes) -> bytes:
    """What the next closing names as its previous hash: 32 bytes in natural order."""
    return sha256(data).digest()


def read_closing(data: bytes) -> Closing:
    """Canonical bytes back to what they hold. Raises ValueError for bytes that are no closing of this version."""
    version, number, previous_hash, closed_ms, logs, chains = _decode(data)
    if version != VERSION:
        raise ValueError(f"a closing of version {version}, expected {VERSION}")
    closing = Closing(number, previous_hash, closed_ms, logs, chains)
    if closing_bytes(closing) != data:
        raise ValueError("a closing in other than its shortest form")
    return closing


def run_hash(sequences: Sequence[int], weights: Sequence[int], header_hashes: Sequence[bytes]) -> bytes:
    """The leaf of up to RUN_SHARES shares that follow each other: SHA-256 of 0x00, all sequences and all weights as 8
    bytes each, big-endian, and all header hashes in natural order."""
    numbers = pack(f">{len(sequences)}Q{len(weights)}Q", *sequences, *weights)
    return sha256(b"\x00" + numbers + b"".join(header_hashes)).digest()


def share_root(leaves: Sequence[bytes]) -> bytes:
    """The root of a log's tree: a node is SHA-256 of 0x01 and its two children, a last one without a neighbour moves up
    as it is (RFC 6962 has the same tree). Of no leaves it is SHA-256 of nothing."""
    row = list(leaves)
    if not row:
        return sha256(b"").digest()
    while len(row) > 1:
        pairs = [sha256(b"\x01" + row[at] + row[at + 1]).digest() for at in range(0, len(row) - 1, 2)]
        row = pairs + row[len(row) - len(row) % 2 :]
    return row[0]
