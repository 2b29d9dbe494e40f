"""The hash that ties a group to all before it, against bytes made by hand after the msgpack specification."""

from __future__ import annotations

import dataclasses
from hashlib import sha256

from ledger_samples import written

from pool.ledger.link import FIRST, link_hash
from pool.ledger.transfer import TransferGroup

GROUP = written("""
    settle:alpha:p1
    liab.7.reserved > asset.wallet 593""")


def text(value: str) -> bytes:
    """A string of at most 31 bytes (fixstr)."""
    return bytes([0xA0 + len(value)]) + value.encode()


def test_ledger_link_is_sha256_over_the_hash_before_and_the_content() -> None:
    rows = b"\x91\x93" + text("liab.7.reserved") + text("asset.wallet") + b"\xcd\x02\x51"  # 593 as uint 16
    content = b"\x95" + text("settle:alpha:p1") + text("alpha") + text("settle") + b"\xce\x00\x01\x00\x00" + rows
    assert bytes(32) == FIRST
    assert link_hash(FIRST, GROUP, 65536) == sha256(bytes(32) + content).digest()
    assert link_hash(b"\x07" * 32, GROUP, 65536) == sha256(b"\x07" * 32 + content).digest()


def test_ledger_link_changes_with_everything_that_a_group_says() -> None:
    transfer = GROUP.transfers[0]

    def with_transfer(**change: object) -> TransferGroup:
        return dataclasses.replace(GROUP, transfers=(dataclasses.replace(transfer, **change),))

    others = [
        dataclasses.replace(GROUP, id="settle:alpha:p2"),
        dataclasses.replace(GROUP, chain="beta"),
        dataclasses.replace(GROUP, kind="void"),
        dataclasses.replace(GROUP, transfers=()),
        dataclasses.replace(GROUP, transfers=(transfer, transfer)),
        with_transfer(amount=594),
        with_transfer(debit="liab.8.reserved"),
        with_transfer(credit="asset.immature"),
    ]
    hashes = {link_hash(FIRST, group, 1) for group in [GROUP, *others]} | {link_hash(FIRST, GROUP, 2)}
    assert len(hashes) == len(others) + 2
