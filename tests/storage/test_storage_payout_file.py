"""The payout file: what was appended is there after a crash, half a line is cut, and nothing else is taken for good."""

from __future__ import annotations

import zlib
from pathlib import Path

import msgspec
import pytest

from chains.wallet import Coin, Outpoint
from pool.payouts.batch import Batch, BatchKind, BatchState, BuiltBatch, Change, FeePolicy, PaidOutput, Payout
from pool.payouts.standing import PayoutFileError
from pool.storage.payout_file import PayoutFile, RecordedBatch, batch_of, record_of

COIN = Coin(Outpoint(b"\x01" * 32, 3), 900, b"\x00\x14" + b"\x02" * 20, 0, False)


def signed(name: str, raw: bytes = b"signed") -> Batch:
    payouts = (Payout("p1", 7, "addr", b"\x51", 600, 5), Payout("p2", None, "own", b"\x52", 200))
    outputs = (PaidOutput("p1", 0, 590, 10), PaidOutput("p2", 1, 200, 0))
    built = BuiltBatch(b"unsigned", (COIN,), outputs, Change(2, 90, b"\x53"), 20, 10, 150)
    return Batch(
        name, "alpha", BatchKind.PAYOUT, BatchState.SIGNED, FeePolicy.MINER, payouts, 1, 9, fee_rate=1000, built=built,
        raw=raw, txid=b"\x0a" * 31 + name.encode()[:1], wtxid=b"\x0b" * 32,
    )  # fmt: skip


def record(name: str, raw: bytes = b"signed") -> RecordedBatch:
    return record_of(signed(name, raw), {7: ("miner", "51")}, {COIN.outpoint: ("income", "hash")}, 9)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "payouts" / "alpha.hex"


def test_storage_payout_file_gives_back_the_batch_as_it_was(path: Path) -> None:
    file = PayoutFile(path)
    file.append(record("a"))
    file.close()
    again = PayoutFile(path)
    recorded = again.record("a")
    assert recorded is not None
    assert batch_of(recorded, {"p1": 7}) == signed("a")
    assert recorded.payouts[0].account_kind == "miner"
    assert recorded.coins[0].source == "income"
    assert again.record("b") is None
    assert path.stat().st_mode & 0o777 == 0o600
    again.close()


def test_storage_payout_file_takes_a_batch_once_and_no_other_bytes_of_it(path: Path) -> None:
    file = PayoutFile(path)
    file.append(record("a"))
    size = path.stat().st_size
    file.append(record("a"))
    assert path.stat().st_size == size
    with pytest.raises(PayoutFileError, match="another transaction of batch a"):
        file.append(record("a", b"other"))
    file.close()


def test_storage_payout_file_cuts_half_a_line_wherever_the_crash_came(path: Path) -> None:
    file = PayoutFile(path)
    file.append(record("a"))
    first = path.stat().st_size
    file.append(record("b"))
    file.close()
    whole = path.read_bytes()
    for length in range(first, len(whole)):
        path.write_bytes(whole[:length])
        cut = PayoutFile(path)
        assert cut.batch_ids == ["a"]
        assert path.read_bytes() == whole[:first]
        cut.append(record("b"))
        assert path.read_bytes() == whole
        cut.close()


def test_storage_payout_file_that_is_damaged_in_the_middle_is_not_opened(path: Path) -> None:
    file = PayoutFile(path)
    file.append(record("a"))
    file.append(record("b"))
    file.close()
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    with pytest.raises(PayoutFileError, match="is damaged at byte 0"):
        PayoutFile(path)
    assert path.read_bytes() == bytes(data)


def test_storage_payout_file_a_line_that_was_changed_since_is_not_believed(path: Path) -> None:
    file = PayoutFile(path)
    file.append(record("a"))
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(PayoutFileError, match="damaged at byte 0"):
        file.record("a")
    file.close()


def test_storage_payout_file_a_refusing_disk_leaves_no_half_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    file = PayoutFile(path)
    file.append(record("a"))
    whole = path.read_bytes()
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:5]))
    with pytest.raises(OSError, match="only 5 of"):
        file.append(record("b"))
    monkeypatch.undo()
    assert path.read_bytes() == whole
    assert file.batch_ids == ["a"]
    file.append(record("b"))
    file.close()
    again = PayoutFile(path)
    assert again.batch_ids == ["a", "b"]
    assert again.record("b") == record("b")
    again.close()


def as_line(body: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(body), body)


def test_storage_payout_file_says_its_form_and_reads_lines_from_before_it_did(path: Path) -> None:
    file = PayoutFile(path)
    file.append(record("a"))
    file.close()
    written = msgspec.json.decode(path.read_bytes().partition(b" ")[2])
    assert written["form"] == 1
    del written["form"]
    path.write_bytes(as_line(msgspec.json.encode(written)))
    old = PayoutFile(path)
    assert old.record("a") == record("a")
    old.append(record("b"))
    assert old.batch_ids == ["a", "b"]
    old.close()


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_storage_payout_file_of_an_unknown_form_is_not_opened_and_stays_as_it_is(
    path: Path, first: bool, whole: bool
) -> None:
    """Whatever else such a line says; also as the last one, which might be cut as half a line."""
    values = msgspec.to_builtins(record("z")) if whole else {"raw": ["of", "another", "form"]}
    later = as_line(msgspec.json.encode(values | {"form": 2}))
    file = PayoutFile(path)
    file.append(record("a"))
    file.close()
    lines = path.read_bytes() + later if not first else later + path.read_bytes()
    path.write_bytes(lines)
    with pytest.raises(PayoutFileError, match=r"is of form 2, and this program reads 1 only: pay with the program"):
        PayoutFile(path)
    assert path.read_bytes() == lines
