"""Signed messages, form by form: what is taken, and each rule that refuses. Vectors of others: tests/vectors."""

from __future__ import annotations

import base64

import pytest
from embit.util import py_secp256k1
from hypothesis import given, settings
from hypothesis import strategies as st
from support.message_signing import HEADERS, SigningKey, encoded

from chains.families import FAMILIES, network
from chains.primitives import signed_message
from chains.primitives.bip322 import ORDER, segwit_digest, taproot_digest, to_spend
from chains.primitives.hashes import hash160
from chains.primitives.signed_message import MAX_SIGNATURE, signature_refusal

KEY, OTHER = SigningKey(7), SigningKey(8)
MESSAGE = b"parapool test\nminer: someone"
MAGIC = "Bitcoin Signed Message:\n"
KINDS = ("p2pkh", "p2sh", "p2wpkh", "p2tr")
WITNESS_KINDS = KINDS[1:]


def refusal(kind: str, signature: str, message: bytes = MESSAGE, *, key: SigningKey = KEY, magic: str = MAGIC) -> str:
    return signature_refusal(key.script(kind), message, signature, magic) or ""


def rebuilt_der(r: int, s: int) -> bytes:
    def number(value: int) -> bytes:
        data = value.to_bytes(value.bit_length() // 8 + 1, "big")
        return b"\x02" + bytes((len(data),)) + data

    body = number(r) + number(s)
    return b"\x30" + bytes((len(body),)) + body


def numbers_of(der: bytes) -> tuple[int, int]:
    size = der[3]
    return int.from_bytes(der[4 : 4 + size], "big"), int.from_bytes(der[6 + size :], "big")


@pytest.mark.parametrize("kind", HEADERS)
def test_signed_message_takes_bip137_of_each_kind(kind: str) -> None:
    assert refusal(kind, KEY.compact(MESSAGE, MAGIC, HEADERS[kind])) == ""


@pytest.mark.parametrize("kind", HEADERS)
def test_signed_message_takes_the_header_that_electrum_writes(kind: str) -> None:
    assert refusal(kind, KEY.compact(MESSAGE, MAGIC, 31)) == ""


def test_signed_message_takes_an_uncompressed_key_for_its_own_address_only() -> None:
    signature = KEY.compact(MESSAGE, MAGIC, 27)
    assert signature_refusal(KEY.script("p2pkh", compressed=False), MESSAGE, signature, MAGIC) is None
    assert "another kind" not in refusal("p2pkh", signature)
    assert "not of this message" in refusal("p2pkh", signature)
    assert "another kind of address" in refusal("p2wpkh", signature)


@pytest.mark.parametrize(("kind", "header"), [("p2pkh", 35), ("p2pkh", 39), ("p2sh", 39), ("p2wpkh", 35), ("p2sh", 27)])
def test_signed_message_refuses_the_header_of_another_kind(kind: str, header: int) -> None:
    assert "another kind of address" in refusal(kind, KEY.compact(MESSAGE, MAGIC, header))


@pytest.mark.parametrize("header", [0, 26, 43, 255])
def test_signed_message_refuses_unknown_headers(header: int) -> None:
    data = bytes((header,)) + base64.b64decode(KEY.compact(MESSAGE, MAGIC, 31))[1:]
    assert "header byte is none" in refusal("p2pkh", base64.b64encode(data).decode())


def test_signed_message_of_a_taproot_address_is_no_bip137() -> None:
    assert "BIP322" in refusal("p2tr", KEY.compact(MESSAGE, MAGIC, 31))


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0), (ORDER, 1), (1, ORDER), (2**256 - 1, 2**256 - 1)], ids=repr)
def test_signed_message_refuses_numbers_outside_of_the_order(numbers: tuple[int, int]) -> None:
    data = b"\x1f" + numbers[0].to_bytes(32, "big") + numbers[1].to_bytes(32, "big")
    assert "not of this message" in refusal("p2pkh", base64.b64encode(data).decode())


@pytest.mark.parametrize("kind", WITNESS_KINDS)
@pytest.mark.parametrize("prefix", ["", "smp"])
def test_signed_message_takes_simple_bip322(kind: str, prefix: str) -> None:
    assert refusal(kind, prefix + KEY.simple(kind, MESSAGE)) == ""
    assert refusal(kind, f" {prefix}{KEY.simple(kind, MESSAGE)}\n") == ""


def test_signed_message_of_p2pkh_is_bip137_only() -> None:
    assert "65 bytes" in refusal("p2pkh", KEY.simple("p2wpkh", MESSAGE))


@pytest.mark.parametrize("kind", KINDS)
def test_signed_message_of_another_key_message_or_magic_is_refused(kind: str) -> None:
    form = network("bitcoin", "main")
    good = KEY.sign(kind, MESSAGE.decode(), form)
    assert refusal(kind, good) == ""
    assert refusal(kind, good, key=OTHER) != ""
    assert refusal(kind, good, MESSAGE + b"\n") != ""
    assert refusal(kind, good, b"") != ""
    # BIP322 has no magic: its signature of a message is good on every chain.
    assert (refusal(kind, good, magic="Litecoin Signed Message:\n") == "") == (kind == "p2tr")


@pytest.mark.parametrize("hash_type", [0, 2, 3, 0x81, 0x83])
@pytest.mark.parametrize("kind", WITNESS_KINDS)
def test_signed_message_refuses_other_signature_hash_types(kind: str, hash_type: int) -> None:
    stack = KEY.witness(kind, MESSAGE)
    stack[0] = stack[0][:64] + bytes((hash_type,)) if kind == "p2tr" else stack[0][:-1] + bytes((hash_type,))
    assert "SIGHASH_ALL" in refusal(kind, encoded(stack))


def test_signed_message_takes_both_forms_of_a_taproot_signature() -> None:
    for hash_type in (0, 1):
        stack = KEY.witness("p2tr", MESSAGE, hash_type=hash_type)
        assert len(stack[0]) == 64 + hash_type
        assert refusal("p2tr", encoded(stack)) == ""


def test_signed_message_refuses_an_annex_and_a_script_path() -> None:
    good = KEY.witness("p2tr", MESSAGE)
    for stack in ([*good, b"\x50annex"], [b"", *good], [good[0], b"\x51", b"\xc0" + bytes(32)], []):
        assert "one signature by its key" in refusal("p2tr", encoded(stack))


def test_signed_message_refuses_a_high_s_and_loose_der() -> None:
    signature, pubkey = KEY.witness("p2wpkh", MESSAGE)
    r, s = numbers_of(signature[:-1])
    assert rebuilt_der(r, s) == signature[:-1]
    loose = [
        rebuilt_der(r, ORDER - s),
        rebuilt_der(r, 0),
        rebuilt_der(0, s),
        signature[:-1] + b"\x00",
        b"\x31" + signature[1:-1],
        signature[:3] + bytes((signature[3] + 1,)) + b"\x00" + signature[4:-1],
        b"\x30\x06\x02\x01\x81\x02\x01\x01",
        b"\x30\x06\x02\x01\x01\x03\x01\x01",
        b"\x30\x03\x02\x01\x01",
        b"\x30\x09" + 3 * b"\x02\x01\x01",
        b"",
    ]
    for der in loose:
        assert "strictly encoded" in refusal("p2wpkh", encoded([der + b"\x01", pubkey])), der.hex()


def test_signed_message_refuses_other_keys_in_the_witness() -> None:
    signature, pubkey = KEY.witness("p2wpkh", MESSAGE)
    assert "another key" in refusal("p2wpkh", encoded([signature, OTHER.pubkey()]))
    for stack in ([signature, KEY.pubkey(compressed=False)], [signature], [signature, pubkey, b""], [b"", pubkey[:-1]]):
        assert "two parts" in refusal("p2wpkh", encoded(stack))
    # The script's own hash is what a program commits to, so a key that is no point can have an address.
    no_point = b"\x02" + b"\xff" * 32
    script = b"\x00\x14" + hash160(no_point)
    assert "not of this message" in (signature_refusal(script, MESSAGE, encoded([signature, no_point]), MAGIC) or "")
    no_point_xonly = b"\x51\x20" + b"\xff" * 32
    assert "not of this message" in (signature_refusal(no_point_xonly, MESSAGE, encoded([bytes(64)]), MAGIC) or "")


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("", "empty"),
        ("smp", "empty"),
        ("????", "not base64"),
        ("AAA", "not base64"),
        ("ünï=", "not base64"),
        ("AAAA" * 101, "at most 400"),
        ("fulAAAA", "another BIP322 form"),
        ("pofAAAA", "another BIP322 form"),
        ("AA==", "two parts"),
        ("BQ==", "no BIP322 witness"),
        ("AAA=", "no BIP322 witness"),
        ("/////////////w==", "no BIP322 witness"),
    ],
    ids=lambda text: text[:12] or "nothing",
)
def test_signed_message_refuses_what_is_no_signature(signature: str, reason: str) -> None:
    assert reason in refusal("p2wpkh", signature)


@pytest.mark.parametrize(
    "script",
    [b"", b"\x00\x20" + bytes(32), b"\x52\x20" + bytes(32), b"\x6a", b"\x51\x02\x4e\x73", bytes(25)],
    ids=bytes.hex,
)
def test_signed_message_refuses_scripts_of_no_single_key(script: bytes) -> None:
    assert "cannot sign" in (signature_refusal(script, MESSAGE, KEY.compact(MESSAGE, MAGIC, 31), MAGIC) or "")


@given(st.sampled_from(KINDS), st.data())
@settings(max_examples=60, deadline=None)
def test_signed_message_with_any_bit_changed_is_refused(kind: str, data: st.DataObject) -> None:
    signature = bytearray(base64.b64decode(KEY.sign(kind, MESSAGE.decode(), network("bitcoin", "main"))))
    bit = data.draw(st.integers(0, len(signature) * 8 - 1))
    signature[bit // 8] ^= 1 << bit % 8
    changed = base64.b64encode(signature).decode()
    if kind in ("p2sh", "p2wpkh") and bit // 8 == 0 and 31 <= signature[0] < 35:
        return  # the other spelling of the same header
    assert refusal(kind, changed) != ""


@given(st.binary(max_size=150), st.sampled_from(KINDS))
@settings(max_examples=100, deadline=None)
def test_signed_message_noise_is_refused(noise: bytes, kind: str) -> None:
    assert refusal(kind, base64.b64encode(noise).decode()) != ""


def test_signed_message_longest_signature_is_within_the_limit() -> None:
    longest = encoded([b"\x30" * 73, bytes(33)])
    assert len("smp" + longest) <= MAX_SIGNATURE


def test_signed_message_works_without_the_c_library(monkeypatch: pytest.MonkeyPatch) -> None:
    good = KEY.compact(MESSAGE, MAGIC, 31)
    monkeypatch.setattr(signed_message, "secp256k1", py_secp256k1)
    assert refusal("p2pkh", good) == ""
    no_point = b"\x1f" + (5).to_bytes(32, "big") + (1).to_bytes(32, "big")  # no point has the x 5
    assert "not of this message" in refusal("p2pkh", base64.b64encode(no_point).decode())


def test_signed_message_digests_commit_to_message_and_address() -> None:
    outpoints = {to_spend(KEY.script(kind), text).txid for kind in KINDS for text in (b"", b"a", b"a\n")}
    assert len(outpoints) == 12
    outpoint = bytes(36)
    assert taproot_digest(outpoint, b"\x51", 0) != taproot_digest(outpoint, b"\x51", 1)
    assert segwit_digest(outpoint, bytes(20)) != segwit_digest(outpoint, bytes(19) + b"\x01")


def test_signed_message_every_family_has_the_magic_of_its_own_wallet() -> None:
    words = {"bitcoin": "Bitcoin", "litecoin": "Litecoin", "namecoin": "Namecoin", "dogecoin": "Dogecoin"}
    for family, networks in FAMILIES.items():
        for net in networks.values():
            assert net.message_magic == f"{words.get(family, 'Bitcoin')} Signed Message:\n"
