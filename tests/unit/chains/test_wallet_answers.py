"""Answers of a wallet read exactly, and nonsense refused with its field's name."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.primitives.hashes import displayed, hash160
from chains.primitives.transaction import Transaction, TxIn, TxOut
from chains.wallet import Outpoint, WalletRefusedError
from chains.wallet_answers import MAX_AMOUNT, Unspent, prove, transaction_of, units, unspent

FIXTURES = Path(__file__).parents[2] / "fixtures" / "namecoin-regtest"
KEY_HASH = bytes(range(20))
P2WPKH = b"\x00\x14" + KEY_HASH
P2PKH = b"\x76\xa9\x14" + KEY_HASH + b"\x88\xac"
TXID_HEX = "11" * 32
TRANSACTION = Transaction(2, (TxIn(bytes(32), 1, b"", 5, (b"s", b"k")),), (TxOut(5, P2PKH), TxOut(7, P2WPKH)), 3)
# A HogEx of litecoind 0.21.2.1 (regtest) has this form: flag 8, and one byte for the extension's part, which is none.
HOGEX = (b"\x02\0\0\0" b"\0\x08" b"\x01" + bytes(32) + b"\0\0\0\0" b"\0" b"\xff\xff\xff\xff" b"\x01"
         b"\x05\0\0\0\0\0\0\0" b"\x16" + P2WPKH + b"\0" b"\0\0\0\0")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0),
        ("0.0", 0),
        ("0E-8", 0),
        ("-0.0", 0),
        ("1", 100_000_000),
        ("0.00000001", 1),
        ("1e-8", 1),
        ("50000000.00000001", 5_000_000_000_000_001),  # P12: as a double it would be ...02
        ("12.50000000", 1_250_000_000),
        ("0.100000000000", 10_000_000),
        ("92233720368.54775807", MAX_AMOUNT),
    ],
)
def test_wallet_answers_amounts_are_exact(text: str, amount: int) -> None:
    assert units(msgspec.json.Decoder(float_hook=Decimal).decode(text), "amount") == amount


@given(st.integers(0, MAX_AMOUNT))
def test_wallet_answers_every_amount_survives(amount: int) -> None:
    assert units(Decimal(amount).scaleb(-8), "amount") == amount


@pytest.mark.parametrize(
    "value",
    [
        Decimal("-0.00000001"),
        -1,
        Decimal("0.000000001"),
        Decimal("1.123456789"),
        Decimal("1.00000000000000000000000000000000001"),
        Decimal("0.99999999999999999999999999999999999"),
        Decimal("92233720368.54775808"),
        10**30,
        10**5000,
        Decimal("1E+999999"),
        Decimal("1E-999999"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        Decimal("-Infinity"),
        1.5,
        float("nan"),
        "1.5",
        True,
        None,
        [],
        {},
    ],
    ids=lambda value: f"{type(value).__name__} {str(value)[:24] if not isinstance(value, int) else 'n'}",
)
def test_wallet_answers_nonsense_is_no_amount(value: Any) -> None:
    with pytest.raises(WalletRefusedError, match="the field"):
        units(value, "the field")


def coin_record(**changes: Any) -> dict[str, Any]:
    record: dict[str, Any] = {
        "txid": TXID_HEX,
        "vout": 1,
        "address": "rltc1q",
        "scriptPubKey": P2WPKH.hex(),
        "amount": Decimal("0.00000007"),
        "confirmations": 108,
        "spendable": True,
        "solvable": True,
        "safe": True,
    } | changes
    return {key: value for key, value in record.items() if value is not ...}


def test_wallet_answers_coin() -> None:
    expected = Unspent(Outpoint(b"\x11" * 32, 1), 7, P2WPKH, 108)
    assert unspent(coin_record()) == expected
    assert unspent(coin_record(solvable=..., safe=..., address=...)) == expected  # old daemons tell less
    assert unspent(coin_record(label="a\nb", parent_descs=[1])) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"spendable": False},
        {"solvable": False},
        {"vout": ..., "scriptPubKey": ..., "address": "tmweb1qqwmalx5re"},  # inside Litecoin's extension
        {"vout": ..., "scriptPubKey": ..., "address": "ltcmweb1qqwmalx5re"},
        {"scriptPubKey": "5121" + "02" * 33 + "51ae"},  # anybody can pay to a bare multisig of our key
        {"scriptPubKey": "a914" + KEY_HASH.hex() + "87"},
        {"scriptPubKey": "a914" + KEY_HASH.hex() + "87", "redeemScript": P2WPKH.hex()},  # of another hash
        {"scriptPubKey": "a914" + hash160(b"\x51").hex() + "87", "redeemScript": "51"},
        {"scriptPubKey": "0020" + "ab" * 32},
    ],
    ids=str,
)
def test_wallet_answers_coins_that_are_not_paid_with(changes: dict[str, Any]) -> None:
    assert unspent(coin_record(**changes)) is None


@pytest.mark.parametrize(
    "script",
    [P2PKH, P2WPKH, b"\x51\x20" + bytes(32), b"\x21" + b"\x02" * 33 + b"\xac", b"\x41" + b"\x04" * 65 + b"\xac"],
    ids=lambda script: script.hex()[:8],
)
def test_wallet_answers_forms_that_are_paid_with(script: bytes) -> None:
    coin = unspent(coin_record(scriptPubKey=script.hex()))
    assert coin is not None and coin.script == script
    nested = b"\xa9\x14" + hash160(P2WPKH) + b"\x87"
    coin = unspent(coin_record(scriptPubKey=nested.hex(), redeemScript=P2WPKH.hex()))
    assert coin is not None and coin.script == nested


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"txid": ...}, "txid"),
        ({"txid": "11" * 31}, "txid"),
        ({"txid": "zz" * 32}, "txid"),
        ({"txid": 7}, "txid"),
        ({"vout": ...}, "vout"),
        ({"vout": -1}, "vout"),
        ({"vout": 2**32}, "vout"),
        ({"vout": True}, "vout"),
        ({"vout": Decimal("1.0")}, "vout"),
        ({"scriptPubKey": ...}, "scriptPubKey"),
        ({"scriptPubKey": "0"}, "scriptPubKey"),
        ({"scriptPubKey": None}, "scriptPubKey"),
        ({"redeemScript": "x"}, "redeemScript"),
        ({"amount": ...}, "amount"),
        ({"amount": Decimal("-1")}, "amount"),
        ({"amount": "1"}, "amount"),
        ({"amount": Decimal("0.000000005")}, "amount"),
        ({"confirmations": ...}, "confirmations"),
        ({"confirmations": -1}, "confirmations"),
        ({"confirmations": "9"}, "confirmations"),
        ({"spendable": 1}, "spendable"),
        ({"solvable": None}, "solvable"),
    ],
    ids=str,
)
def test_wallet_answers_nonsense_is_no_coin(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(WalletRefusedError, match=named):
        unspent(coin_record(**changes))


@pytest.mark.parametrize("record", [None, [], "coin", 5], ids=str)
def test_wallet_answers_a_coin_is_an_object(record: Any) -> None:
    with pytest.raises(WalletRefusedError, match="expected an object"):
        unspent(record)


def test_wallet_answers_a_coin_is_what_its_transaction_says() -> None:
    claim = Unspent(Outpoint(TRANSACTION.txid, 1), 7, P2WPKH, 3)
    coin = prove(claim, TRANSACTION, coinbase=True)
    assert (coin.outpoint, coin.amount, coin.script, coin.confirmations, coin.coinbase) == (
        claim.outpoint, 7, P2WPKH, 3, True,
    )  # fmt: skip
    for wrong, words in (
        (Unspent(claim.outpoint, 8, P2WPKH, 3), "the wallet says 8 units, the chain 7"),
        (Unspent(claim.outpoint, 7, P2PKH, 3), "another script"),
        (Unspent(Outpoint(TRANSACTION.txid, 2), 7, P2WPKH, 3), "only 2 outputs"),
    ):
        with pytest.raises(WalletRefusedError, match=words) as refused:
            prove(wrong, TRANSACTION, coinbase=True)
        assert displayed(TRANSACTION.txid) in str(refused.value)


def test_wallet_answers_a_transaction_is_its_bytes() -> None:
    assert transaction_of(TRANSACTION.serialize().hex(), TRANSACTION.txid) == TRANSACTION
    stripped = TRANSACTION.serialize(witness=False).hex()
    found = transaction_of(stripped, TRANSACTION.txid)
    assert found is not None and found.txid == TRANSACTION.txid
    with pytest.raises(WalletRefusedError, match="another one"):
        transaction_of(stripped, bytes(32))


@pytest.mark.parametrize("name", ["gettransaction_confirmed", "gettransaction_immature_coinbase"])
def test_wallet_answers_recorded_transactions(name: str) -> None:
    recorded = json.loads((FIXTURES / f"{name}.json").read_text())["response"]["result"]
    found = transaction_of(recorded["hex"], bytes.fromhex(recorded["txid"])[::-1])
    assert found is not None and found.serialize().hex() == recorded["hex"]


def test_wallet_answers_transactions_of_litecoins_extension() -> None:
    """A HogEx pays like any other; a transaction wholly inside the extension pays nobody outside."""
    without = Transaction(2, (TxIn(bytes(32), 0, b""),), (TxOut(5, P2WPKH),))
    assert transaction_of(HOGEX.hex(), without.txid) == without
    inside = b"\x02\0\0\0" b"\0\x08" b"\0\0" + b"\x01" + bytes(300) + b"\0\0\0\0"  # fmt: skip
    assert transaction_of(inside.hex(), bytes(32)) is None


@pytest.mark.parametrize(
    "raw",
    [
        None,
        7,
        "",
        "zz",
        "0",
        TRANSACTION.serialize().hex()[:-2],
        TRANSACTION.serialize().hex() + "00",
        "02000000" + "0000",
        "02000000" + "0010" + "00" * 20,
        "02000000" + "00",
        "02000000" + "ffffffffffffffffff",
        HOGEX[:-3].hex(),
    ],
    ids=lambda raw: str(raw)[:20],
)
def test_wallet_answers_nonsense_is_no_transaction(raw: Any) -> None:
    with pytest.raises(WalletRefusedError, match=f"transaction {displayed(TRANSACTION.txid)}"):
        transaction_of(raw, TRANSACTION.txid)
