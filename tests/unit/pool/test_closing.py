"""A closing's canonical bytes, the root over a log's shares, and what is refused as a closing."""

from __future__ import annotations

from hashlib import sha256
from struct import pack

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.accounting.closing import (
    FIRST_PREVIOUS,
    ClosedAmount,
    ClosedChain,
    ClosedCredit,
    ClosedGroup,
    ClosedLog,
    ClosedPayout,
    ClosedTransfer,
    Closing,
    closing_bytes,
    closing_hash,
    read_closing,
    run_hash,
    share_root,
)

SAMPLE = Closing(
    number=1,
    previous_hash=FIRST_PREVIOUS,
    closed_ms=1_700_000_000_000,
    logs=(ClosedLog("main", 0, 7, 2, bytes(range(32))),),
    chains=(
        ClosedChain(
            "alpha", 0, bytes(32),
            groups=(ClosedGroup("credit:alpha:ab", "credit", 5, (ClosedTransfer("asset.immature", "income.fee", 9),)),),
            credits=(ClosedCredit("credit:alpha:ab", "pplns", 9, 9, (ClosedAmount(1, "miner", "0014", "12", 0),)),),
            payouts=(ClosedPayout("settle:alpha:p", 1, "0014", bytes(32), 0, 4, 1),),
        ),
    ),
)  # fmt: skip
SAMPLE_HEX = (
    "960101c420" + "00" * 32 + "cf0000018bcfe56800" + "9195a46d61696e000702c420" + bytes(range(32)).hex()
    + "9196a5616c70686100c420" + "00" * 32
    + "9194af6372656469743a616c7068613a6162a663726564697405"
    + "9193ae61737365742e696d6d6174757265aa696e636f6d652e66656509"
    + "9195af6372656469743a616c7068613a6162a570706c6e73" + "0909" + "919501a56d696e6572a430303134a2313200"
    + "9197ae736574746c653a616c7068613a7001a430303134c420" + "00" * 32 + "000401"
)  # fmt: skip


def test_closing_bytes_are_written_down() -> None:
    assert closing_bytes(SAMPLE).hex() == SAMPLE_HEX
    assert closing_hash(closing_bytes(SAMPLE)) == sha256(bytes.fromhex(SAMPLE_HEX)).digest()
    assert read_closing(closing_bytes(SAMPLE)) == SAMPLE


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "truncated"),
        (closing_bytes(SAMPLE)[:-1], "truncated"),
        (closing_bytes(SAMPLE) + b"\0", "trailing"),
        (b"\x96\x02" + closing_bytes(SAMPLE)[2:], "version 2"),
        (b"\x96\xcc\x01" + closing_bytes(SAMPLE)[2:], "shortest form"),
        (msgspec.msgpack.encode([1, 1, "no bytes", 0, [], []]), "Expected `bytes`"),
    ],
)  # fmt: skip
def test_closing_refuses_other_bytes(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_closing(data)


def test_closing_run_hash_is_of_sequences_weights_and_header_hashes() -> None:
    hashes = [bytes([number]) * 32 for number in (1, 2)]
    expected = sha256(b"\0" + pack(">QQQQ", 5, 9, 100, 2**63 - 1) + hashes[0] + hashes[1]).digest()
    assert run_hash([5, 9], [100, 2**63 - 1], hashes) == expected


def root_by_halves(leaves: list[bytes]) -> bytes:
    """As RFC 6962 section 2.1 says it, from the top."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return sha256(b"\1" + root_by_halves(leaves[:half]) + root_by_halves(leaves[half:])).digest()


@given(st.integers(0, 70))
def test_closing_root_is_the_one_of_rfc_6962(count: int) -> None:
    leaves = [sha256(pack(">I", number)).digest() for number in range(count)]
    assert share_root(leaves) == root_by_halves(leaves)
