from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from chains.bitcoin.coinbase import (
    ZERO_ROOT,
    CoinbaseError,
    CoinbaseTooLongError,
    build_coinbase,
    with_witness,
)
from chains.kind import ParentTemplate
from chains.primitives.hashes import sha256d
from chains.primitives.script import push
from chains.primitives.transaction import parse_transaction

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "mm2.json").read_text())
COMMITMENT = bytes.fromhex("6a24aa21a9ed") + bytes(range(32))
PAYOUT = bytes.fromhex("0014") + bytes(range(20))
TEMPLATE = ParentTemplate(
    chain="regbtc", height=100_000, previous_hash=bytes(32), version=0x20000000, bits=0x207FFFFF, target=2**255,
    current_time=1, minimum_time=0, value_sat=5_000_000_000, transactions=(), merkle_branch=(), coinbase_aux=b"",
    witness_commitment=COMMITMENT,
)  # fmt: skip
NONCE = bytes.fromhex("0102030405060708")


def test_bitcoin_coinbase_equals_the_vector_byte_for_byte() -> None:
    vector = next(v for v in VECTORS["positive"] if v["name"].startswith("V1"))
    template = replace(TEMPLATE, value_sat=312_500_000, witness_commitment=None)
    payout = bytes.fromhex("0014000102030405060708090a0b0c0d0e0f10111213")
    coinbase = build_coinbase(template, [("tag", b"/mm2/")], payout, root=bytes.fromhex(vector["mm2_root"]))
    assert coinbase.coinb1.hex() == vector["stratum"]["coinb1"]
    assert coinbase.coinb2.hex() == vector["stratum"]["coinb2"]
    stripped = coinbase.stripped(bytes.fromhex(vector["last_txout_nonce"]))
    assert stripped.hex() == vector["coinbase_stripped"]
    assert sha256d(stripped).hex() == vector["txid_natural_order"]


def test_bitcoin_coinbase_outputs_stand_in_their_order_and_pay_everything() -> None:
    extra = bytes.fromhex("6a29") + b"RSKBLOCK:" + bytes(32)
    root = bytes(range(32))
    transaction = parse_transaction(build_coinbase(TEMPLATE, [], PAYOUT, [extra], root).stripped(NONCE))
    assert [output.script for output in transaction.outputs] == [
        PAYOUT,
        COMMITMENT,
        extra,
        bytes.fromhex("6a28") + root + NONCE,
    ]
    assert [output.amount_sat for output in transaction.outputs] == [TEMPLATE.value_sat, 0, 0, 0]
    assert (transaction.lock_time, transaction.inputs[0].sequence) == (0, 0xFFFFFFFF)
    assert transaction.is_coinbase


def test_bitcoin_coinbase_ends_with_root_nonce_and_lock_time() -> None:
    root = bytes(range(32))
    coinbase = build_coinbase(TEMPLATE, [], PAYOUT, [], root)
    assert coinbase.coinb1.endswith(bytes.fromhex("2a6a28") + root)
    assert coinbase.stripped(NONCE)[-44:] == root + NONCE + bytes(4)
    assert build_coinbase(TEMPLATE, [], PAYOUT).coinb1.endswith(ZERO_ROOT)


def test_bitcoin_coinbase_script_holds_height_then_the_nodes_part_then_ours() -> None:
    template = replace(TEMPLATE, coinbase_aux=b"\x01\xaa")
    parts = [("mm1", push(bytes(44))), ("tag", push(b"/parapool/"))]
    script = parse_transaction(build_coinbase(template, parts, PAYOUT).stripped(NONCE)).inputs[0].script_sig
    assert script == bytes.fromhex("03a08601") + b"\x01\xaa" + b"\x2c" + bytes(44) + b"\x0a/parapool/"


@pytest.mark.parametrize(("height", "script_hex"), [(1, "5100"), (16, "6000"), (17, "0111"), (128, "028000")])
def test_bitcoin_coinbase_low_heights_are_padded_to_two_bytes(height: int, script_hex: str) -> None:
    coinbase = build_coinbase(replace(TEMPLATE, height=height), [], PAYOUT)
    assert parse_transaction(coinbase.stripped(NONCE)).inputs[0].script_sig.hex() == script_hex


def test_bitcoin_coinbase_of_100_script_bytes_is_the_longest() -> None:
    build_coinbase(TEMPLATE, [("tag", bytes(96))], PAYOUT)
    parts = [("merged mining", push(bytes(44))), ("nothing", b""), ("tag", bytes(52))]
    with pytest.raises(CoinbaseTooLongError) as raised:
        build_coinbase(TEMPLATE, parts, PAYOUT)
    assert str(raised.value) == "coinbase scriptSig of 101 bytes, 100 allowed: height 4, merged mining 45, tag 52"


def test_bitcoin_coinbase_refuses_a_second_merged_mining_mark() -> None:
    mark = bytes.fromhex("fabe6d6d")
    build_coinbase(TEMPLATE, [("mm1", push(mark + bytes(40)))], PAYOUT)
    with pytest.raises(CoinbaseError, match="stands twice"):
        build_coinbase(TEMPLATE, [("mm1", push(mark + bytes(40))), ("tag", mark)], PAYOUT)


def test_bitcoin_coinbase_refuses_roots_and_nonces_of_other_lengths() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        build_coinbase(TEMPLATE, [], PAYOUT, [], bytes(31))
    with pytest.raises(ValueError, match="8 bytes"):
        build_coinbase(TEMPLATE, [], PAYOUT).stripped(bytes(4))


def test_bitcoin_coinbase_longer_nonce_moves_into_the_script() -> None:
    coinbase = build_coinbase(TEMPLATE, [("tag", push(b"/p/"))], PAYOUT, [], bytes(range(32)), 12)
    nonce = bytes(range(200, 212))
    transaction = parse_transaction(coinbase.stripped(nonce))
    assert transaction.inputs[0].script_sig == bytes.fromhex("03a08601032f702f") + b"\x0c" + nonce
    assert transaction.outputs[-1].script == bytes.fromhex("6a28") + bytes(range(32)) + bytes(8)
    assert transaction.lock_time == 0


def test_bitcoin_coinbase_witness_form_adds_the_reserved_value_only() -> None:
    stripped = build_coinbase(TEMPLATE, [], PAYOUT).stripped(NONCE)
    whole = parse_transaction(with_witness(stripped))
    assert whole.inputs[0].witness == (bytes(32),)
    assert whole.serialize(witness=False) == stripped
    assert whole.serialize() == with_witness(stripped)
