"""The payout file: every signed transaction, on disk before it is sent, apart from the database.

One file per chain, only ever appended to, each line checked and forced to the disk (fdatasync) before anything is sent.
When the books come from an older backup, it knows what they do not: what was signed since, for whom, and the very
bytes, so that the same transaction can be followed instead of a second one being made.

A line is a CRC-32 in hex, a space, and the record as JSON. Half a line at the end, of a crash, is cut. Each record
says which form it has; those from before there was more to say have the first. One of a form that this program does not
know is not guessed at: the file is not opened, and its chain pays nobody.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Collection
from pathlib import Path

import msgspec

from chains.wallet import Coin, Outpoint
from pool.payouts.batch import Batch, BatchKind, BatchState, BuiltBatch, Change, FeePolicy, PaidOutput, Payout
from pool.payouts.standing import PayoutFileError

log = logging.getLogger("parapool.payouts")

FORM = 1
"""Of the records that are written; a change of what a field means needs another one."""


class _OfSomeForm(msgspec.Struct, frozen=True):
    """What a record of any form says."""

    form: int = FORM


class RecordedPayout(msgspec.Struct, frozen=True):
    """A payout with the account it is for: kind and script name it in any database. The operator's have no account."""

    id: str
    account_kind: str | None
    account_script: str | None
    address: str
    script: str
    gross: int
    minimum: int
    vout: int
    net: int
    fee_part: int


class RecordedCoin(msgspec.Struct, frozen=True):
    """An input with where it came from (pool/payouts/reconcile.py: CoinSource), for books that never saw it."""

    txid: str
    vout: int
    amount: int
    script: str
    source: str
    cause: str

    @property
    def outpoint(self) -> Outpoint:
        return Outpoint(bytes.fromhex(self.txid)[::-1], self.vout)


class RecordedBatch(msgspec.Struct, frozen=True):
    """A signed batch, whole. Txids and hashes are displayed hex, bytes hex. `replacement` counts the transactions of a
    batch whose fee was raised, of which each has a line of its own."""

    batch: str
    chain: str
    kind: str
    fee_policy: str
    created_ms: int
    signed_ms: int
    fee_rate: int
    fee: int
    pool_fee: int
    vsize: int
    change_vout: int | None
    change_amount: int
    change_script: str
    unsigned: str
    raw: str
    txid: str
    wtxid: str
    coins: list[RecordedCoin]
    payouts: list[RecordedPayout]
    replacement: int = 0
    form: int = FORM


class PayoutFile:
    """One chain's file. Raises OSError when the disk refuses, PayoutFileError when it is damaged."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        _sync_folder(path.parent)
        self._places: dict[str, dict[int, tuple[int, bytes]]] = {}  # batch -> replacement -> where, txid
        try:
            self._read_places()
        except BaseException:
            self.close()
            raise

    def _read_places(self) -> None:
        """Where each batch's line begins; lines of years stay on the disk."""
        good, bad_lines, size = 0, 0, os.fstat(self._descriptor).st_size
        with self.path.open("rb") as lines:
            for line in lines:
                record = _parse(line) if not bad_lines else None
                if record is None:
                    bad_lines += 1
                else:
                    self._note(record, good)
                    good += len(line)
        if bad_lines > 1:
            raise PayoutFileError(f"{self.path} is damaged at byte {good}, with lines behind it")
        if bad_lines:
            log.warning("payout file torn tail cut file=%s bytes=%d", self.path, size - good)
            os.ftruncate(self._descriptor, good)
            os.fdatasync(self._descriptor)

    def _note(self, record: RecordedBatch, place: int) -> None:
        self._places.setdefault(record.batch, {})[record.replacement] = (place, bytes.fromhex(record.txid)[::-1])

    @property
    def batch_ids(self) -> list[str]:
        """All batches in the file, in the order they were signed."""
        return list(self._places)

    def batches_beyond(self, known: Collection[bytes]) -> list[str]:
        """The batches with a transaction (txid) that is not among the known ones, in the order they were signed."""
        return [
            batch_id
            for batch_id, places in self._places.items()
            if any(txid not in known for _, txid in places.values())
        ]

    def records(self, batch_id: str) -> list[RecordedBatch]:
        """All lines of a batch, in the order they were signed."""
        found = (self.record(batch_id, number) for number in sorted(self._places.get(batch_id, {})))
        return [record for record in found if record is not None]

    def record(self, batch_id: str, number: int = 0) -> RecordedBatch | None:
        """The line of a batch, or of its replacement of this number; None when there is none. Raises PayoutFileError
        when it is no longer what it was."""
        place, _ = self._places.get(batch_id, {}).get(number, (None, b""))
        if place is None:
            return None
        with self.path.open("rb") as lines:
            lines.seek(place)
            record = _parse(lines.readline())
        if record is None or (record.batch, record.replacement) != (batch_id, number):
            raise PayoutFileError(f"{self.path} is damaged at byte {place}")
        return record

    def append(self, record: RecordedBatch) -> None:
        """On disk when this returns. The same batch again is the same line; another transaction of it is refused."""
        known = self.record(record.batch, record.replacement)
        if known is not None:
            if known.raw != record.raw:
                raise PayoutFileError(f"{self.path} holds another transaction of batch {record.batch}")
            return
        body = msgspec.json.encode(record)
        line = b"%08x %s\n" % (zlib.crc32(body), body)
        end = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(f"only {written} of {len(line)} bytes could be written")
            os.fdatasync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, end)
            raise
        self._note(record, end)

    def close(self) -> None:
        os.close(self._descriptor)


def record_of(
    batch: Batch, accounts: dict[int, tuple[str, str]], sources: dict[Outpoint, tuple[str, str]], signed_ms: int
) -> RecordedBatch:
    """A signed batch as a line. `accounts` gives kind and script (hex) by account id, `sources` source and cause of
    each coin."""
    built, raw = batch.built, batch.raw
    assert built is not None and raw is not None and batch.txid is not None and batch.wtxid is not None
    paid = {output.payout_id: output for output in built.outputs}
    return RecordedBatch(
        batch=batch.id, chain=batch.chain, kind=batch.kind.value, fee_policy=batch.fee_policy.value,
        created_ms=batch.created_ms, signed_ms=signed_ms, fee_rate=batch.fee_rate or 0, fee=built.fee,
        pool_fee=built.pool_fee, vsize=built.vsize, change_vout=built.change.vout if built.change else None,
        change_amount=built.change.amount if built.change else 0,
        change_script=built.change.script.hex() if built.change else "", unsigned=built.raw.hex(), raw=raw.hex(),
        txid=batch.txid[::-1].hex(), wtxid=batch.wtxid[::-1].hex(),
        coins=[
            RecordedCoin(
                c.outpoint.txid[::-1].hex(), c.outpoint.vout, c.amount, c.script.hex(), *sources[c.outpoint]
            )
            for c in built.coins
        ],
        payouts=[
            RecordedPayout(
                payout.id, *_account(payout, accounts), payout.address, payout.script.hex(), payout.gross,
                payout.minimum, paid[payout.id].vout, paid[payout.id].net, paid[payout.id].fee_part,
            )
            for payout in batch.payouts
        ],
        replacement=batch.version,
    )  # fmt: skip


def _account(payout: Payout, accounts: dict[int, tuple[str, str]]) -> tuple[str | None, str | None]:
    return (None, None) if payout.account_id is None else accounts[payout.account_id]


def batch_of(record: RecordedBatch, account_ids: dict[str, int]) -> Batch:
    """The batch of a line, signed. `account_ids` gives the account of each payout that has one, by payout id."""
    change = None
    if record.change_vout is not None:
        change = Change(record.change_vout, record.change_amount, bytes.fromhex(record.change_script))
    coins = tuple(
        Coin(coin.outpoint, coin.amount, bytes.fromhex(coin.script), 0, False)
        for coin in record.coins
    )
    return Batch(
        id=record.batch, chain=record.chain, kind=BatchKind(record.kind), state=BatchState.SIGNED,
        fee_policy=FeePolicy(record.fee_policy),
        payouts=tuple(
            Payout(p.id, account_ids.get(p.id), p.address, bytes.fromhex(p.script), p.gross, p.minimum)
            for p in record.payouts
        ),
        created_ms=record.created_ms, updated_ms=record.signed_ms, fee_rate=record.fee_rate,
        built=BuiltBatch(
            raw=bytes.fromhex(record.unsigned), coins=coins,
            outputs=tuple(PaidOutput(p.id, p.vout, p.net, p.fee_part) for p in record.payouts), change=change,
            fee=record.fee, pool_fee=record.pool_fee, vsize=record.vsize,
        ),
        raw=bytes.fromhex(record.raw), txid=bytes.fromhex(record.txid)[::-1], wtxid=bytes.fromhex(record.wtxid)[::-1],
        version=record.replacement,
    )  # fmt: skip


def _parse(line: bytes) -> RecordedBatch | None:
    crc, space, body = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or not space or crc != b"%08x" % zlib.crc32(body):
        return None
    try:
        form = msgspec.json.decode(body, type=_OfSomeForm).form
        if form != FORM:
            raise PayoutFileError(
                f"a line of the payout file is of form {form}, and this program reads {FORM} only:"
                " pay with the program that wrote it"
            )
        return msgspec.json.decode(body, type=RecordedBatch)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PayoutFileError(f"a line of the payout file cannot be read: {error}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
