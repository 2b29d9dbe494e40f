"""A transfer's bytes, id and signature."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from coincurve import PrivateKey

from chains.accounts.transfer import (
    MAX_AMOUNT,
    MAX_OUTPUTS,
    Payment,
    Transfer,
    is_signed,
    owns,
    read_transfer,
    sign,
    tagged_hash,
)
from chains.primitives.address import pay_to_pubkey_hash
from chains.primitives.serialize import MalformedError

SECRET = bytes(31) + b"\x07"
KEY = PrivateKey(SECRET).public_key.format()
CHAIN, OTHER_CHAIN = b"\x11" * 32, b"\x22" * 32
TO = b"\x00\x14" + b"\x05" * 20


def transfer(**changes: object) -> Transfer:
    plain = Transfer(pay_to_pubkey_hash(KEY), KEY, 3, 10, (Payment(TO, 500), Payment(b"\x51", 1)))
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_transfer_bytes_are_as_written_down() -> None:
    signed = sign(transfer(), CHAIN, SECRET)
    unsigned = b"".join((
        b"PPT1", b"\x16", pay_to_pubkey_hash(KEY), KEY, (3).to_bytes(8, "little"), (10).to_bytes(8, "little"),
        b"\x02", b"\x16", TO, (500).to_bytes(8, "little"), b"\x01\x51", (1).to_bytes(8, "little"),
    ))  # fmt: skip
    assert signed.serialize() == unsigned + signed.signature
    prefix = hashlib.sha256(b"parapool/transfer").digest()
    assert signed.id_on(CHAIN) == hashlib.sha256(prefix + prefix + CHAIN + unsigned).digest()
    assert read_transfer(signed.serialize()) == signed
    assert read_transfer(unsigned, signed=False) == transfer()
    assert signed.cost == 511


def test_transfer_id_is_known_before_it_is_signed_and_names_the_chain() -> None:
    assert sign(transfer(), CHAIN, SECRET).id_on(CHAIN) == transfer().id_on(CHAIN)
    assert transfer().id_on(CHAIN) != transfer().id_on(OTHER_CHAIN)


def test_transfer_signature_is_valid_on_its_own_chain_for_its_own_bytes_only() -> None:
    signed = sign(transfer(), CHAIN, SECRET)
    assert is_signed(signed, CHAIN)
    assert not is_signed(signed, OTHER_CHAIN)
    assert not is_signed(replace(signed, fee=11), CHAIN)
    assert not is_signed(replace(signed, signature=b""), CHAIN)
    assert not is_signed(replace(signed, sender=TO), CHAIN)


def test_transfer_owner_is_the_key_of_an_ordinary_address() -> None:
    even = b"\x02" + KEY[1:]
    taproot = b"\x51\x20" + KEY[1:]
    assert owns(KEY, pay_to_pubkey_hash(KEY))
    assert owns(even, taproot)
    assert not owns(b"\x03" + KEY[1:], taproot), "one spelling of an output key"
    assert not owns(KEY[1:], taproot)
    assert not owns(KEY, b"\x51")
    assert is_signed(sign(transfer(sender=taproot, public_key=even), CHAIN, SECRET), CHAIN)


def test_transfer_with_a_key_off_the_curve_is_not_signed() -> None:
    off = b"\x02" + b"\xff" * 32
    bad = transfer(sender=b"\x51\x20" + off[1:], public_key=off, signature=bytes(64))
    assert not is_signed(bad, CHAIN)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (transfer(outputs=()), "1 to 1000 outputs"),
        (transfer(outputs=(Payment(TO, 1),) * (MAX_OUTPUTS + 1)), "1 to 1000 outputs"),
        (transfer(outputs=(Payment(TO, 0),)), "output of 0"),
        (transfer(outputs=(Payment(b"", 1),)), "1 to 80 bytes"),
        (transfer(outputs=(Payment(b"\x51" * 81, 1),)), "1 to 80 bytes"),
        (transfer(fee=MAX_AMOUNT + 1), "more than there can be"),
        (transfer(outputs=(Payment(TO, MAX_AMOUNT), Payment(TO, 1))), "more than there can be"),
    ],
)
def test_transfer_out_of_bounds_is_malformed(wrong: Transfer, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        read_transfer(wrong.unsigned() + bytes(64))


def test_transfer_of_other_bytes_is_malformed() -> None:
    good = sign(transfer(), CHAIN, SECRET).serialize()
    for wrong in (b"", good[:-1], good + b"\x00", b"PPT2" + good[4:]):
        with pytest.raises(MalformedError):
            read_transfer(wrong)


def test_tagged_hash_is_that_of_bip340() -> None:
    prefix = hashlib.sha256(b"BIP0340/challenge").digest()
    assert tagged_hash(b"BIP0340/challenge", b"x") == hashlib.sha256(prefix + prefix + b"x").digest()
