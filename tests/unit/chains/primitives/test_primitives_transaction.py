"""Transactions, headers, merkle trees and the scripts of a coinbase."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from embit.transaction import Transaction as EmbitTransaction
from hypothesis import given
from hypothesis import strategies as st

from chains.primitives.hashes import displayed, from_displayed, hash160, scrypt_1024, sha256d
from chains.primitives.header import Header, parse_header
from chains.primitives.merkle import coinbase_branch, fold_branch, merkle_root
from chains.primitives.script import height_push, push, script_number
from chains.primitives.serialize import MalformedError
from chains.primitives.transaction import Transaction, TxIn, TxOut, parse_transaction

FIXTURES = Path(__file__).parents[3] / "fixtures" / "namecoin-regtest"
GENESIS_COINBASE = (
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d"
    "65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f7220"
    "62616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f"
    "4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
)
GENESIS_TXID = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
GENESIS_HEADER = (
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc388"
    "8a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
)
GENESIS_HASH = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"

inputs = st.builds(
    TxIn, st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1), st.binary(max_size=120),
    st.integers(0, 2**32 - 1), st.lists(st.binary(max_size=80), max_size=3).map(tuple),
)  # fmt: skip
outputs = st.builds(TxOut, st.integers(0, 2**63 - 1), st.binary(max_size=120))
transactions = st.builds(
    Transaction, st.integers(-(2**31), 2**31 - 1), st.lists(inputs, min_size=1, max_size=4).map(tuple),
    st.lists(outputs, max_size=4).map(tuple), st.integers(0, 2**32 - 1),
)  # fmt: skip


def test_transaction_genesis_coinbase() -> None:
    transaction = parse_transaction(bytes.fromhex(GENESIS_COINBASE))
    assert displayed(transaction.txid) == GENESIS_TXID
    assert transaction.is_coinbase
    assert transaction.outputs[0].amount_sat == 50 * 10**8
    assert transaction.serialize().hex() == GENESIS_COINBASE


def test_transaction_with_witness_as_a_node_shows_it() -> None:
    shown = json.loads((FIXTURES / "getrawtransaction_coinbase.json").read_text())["response"]["result"]
    transaction = parse_transaction(bytes.fromhex(shown["hex"]))
    assert displayed(transaction.txid) == shown["txid"]
    assert displayed(transaction.wtxid) == shown["hash"]
    assert transaction.weight == shown["weight"]
    assert transaction.serialize().hex() == shown["hex"]
    assert [o.script.hex() for o in transaction.outputs] == [o["scriptPubKey"]["hex"] for o in shown["vout"]]
    assert parse_transaction(transaction.serialize(witness=False)).txid == transaction.txid


@given(transactions)
def test_transaction_round_trip_and_embit_agrees(transaction: Transaction) -> None:
    wire = transaction.serialize()
    assert parse_transaction(wire) == transaction
    stripped = parse_transaction(transaction.serialize(witness=False))
    assert stripped.txid == transaction.txid == stripped.wtxid
    if transaction.version >= 0:
        other = EmbitTransaction.parse(wire)
        assert other.txid()[::-1] == transaction.txid
        assert other.serialize() == wire


@given(transactions, st.data())
def test_transaction_cut_short_is_malformed(transaction: Transaction, data: st.DataObject) -> None:
    wire = transaction.serialize()
    cut = data.draw(st.integers(0, len(wire) - 1))
    with pytest.raises(MalformedError):
        parse_transaction(wire[:cut])
    with pytest.raises(MalformedError):
        parse_transaction(wire + b"\0")


def test_transaction_refuses_odd_witness_forms() -> None:
    start, end = "01000000", "01" + "00" * 36 + "00" + "ffffffff" + "00"
    with pytest.raises(MalformedError, match="unknown transaction flag"):
        parse_transaction(bytes.fromhex(start + "0002" + end + "00" + "00000000"))
    with pytest.raises(MalformedError, match="superfluous witness"):
        parse_transaction(bytes.fromhex(start + "0001" + end + "00" + "00000000"))


def test_header_genesis() -> None:
    header = parse_header(bytes.fromhex(GENESIS_HEADER))
    assert displayed(header.hash) == GENESIS_HASH
    assert (header.version, header.time, header.bits, header.nonce) == (1, 1231006505, 0x1D00FFFF, 2083236893)
    assert displayed(header.merkle_root) == GENESIS_TXID
    assert header.serialize().hex() == GENESIS_HEADER
    for wrong in (GENESIS_HEADER[:-2], GENESIS_HEADER + "00"):
        with pytest.raises(MalformedError):
            parse_header(bytes.fromhex(wrong))


def test_header_version_is_its_four_bytes() -> None:
    header = Header(-1, bytes(32), bytes(32), 0, 0, 0)
    assert header.serialize()[:4] == b"\xff" * 4
    assert parse_header(header.serialize()).version == 0xFFFFFFFF


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40))
def test_merkle_branch_folds_the_coinbase_into_the_root(hashes: list[bytes]) -> None:
    assert fold_branch(hashes[0], coinbase_branch(hashes[1:])) == merkle_root(hashes)


def test_merkle_root_of_block_100000() -> None:
    txids = (
        "8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87",
        "fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4",
        "6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4",
        "e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d",
    )
    root = merkle_root([from_displayed(t) for t in txids])
    assert displayed(root) == "f3e94742aca4b5ef85488dc37c06c3282295ffec960994b2c0d5ac2a25a95766"


def test_merkle_fold_with_an_index_puts_the_hash_on_the_right() -> None:
    left, right, other = bytes(32), b"\1" * 32, b"\2" * 32
    assert fold_branch(right, [left], 1) == sha256d(left + right)
    assert fold_branch(left, [right, other], 2) == sha256d(other + sha256d(left + right))


@pytest.mark.parametrize(
    ("height", "expected"),
    [
        (0, "00"), (1, "51"), (16, "60"), (17, "0111"), (127, "017f"), (128, "028000"), (255, "02ff00"),
        (256, "020001"), (32767, "02ff7f"), (32768, "03008000"), (100000, "03a08601"),
        (8388607, "03ffff7f"), (8388608, "0400008000"),
    ],
)  # fmt: skip
def test_script_height_push(height: int, expected: str) -> None:
    assert height_push(height).hex() == expected


def test_script_pushes() -> None:
    assert push(b"a" * 75)[:1] == b"\x4b"
    assert push(b"a" * 76)[:2] == b"\x4c\x4c"
    assert script_number(0) == b""
    with pytest.raises(ValueError, match="more than 255"):
        push(bytes(256))


def test_hashes_of_known_inputs() -> None:
    assert hash160(b"").hex() == "b472a266d0bd89c13706a4132ccfb16f7c3b9fcb"
    # Litecoin's genesis header and its proof-of-work hash
    header = bytes.fromhex(
        "010000000000000000000000000000000000000000000000000000000000000000000000d9ced4ed1130f7b7faad9be25323ffafa33232a1"
        "7c3edf6cfd97bee6bafbdd97b9aa8e4ef0ff0f1ecd513f7c"
    )
    assert displayed(sha256d(header)) == "12a765e31ffd4059bada1e25190f6e98c99d9714d334efa41a195a7e7e04bfe2"
    assert displayed(scrypt_1024(header)) == "0000050c34a64b415b6b15b37f2216634b5b1669cb9a2e38d76f7213b0671e00"


@pytest.mark.parametrize("text", ["", "00" * 31, "00" * 33, "zz" * 32, " " * 64, "00" * 31 + "  "])
def test_hashes_displayed_form_is_strict(text: str) -> None:
    with pytest.raises(ValueError):
        from_displayed(text)
