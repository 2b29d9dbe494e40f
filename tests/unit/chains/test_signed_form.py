"""A wallet's signed transaction: the same payment, every input signed for all of it, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from chains.primitives.hashes import hash160
from chains.primitives.script import push
from chains.primitives.transaction import Transaction, TxIn, TxOut, parse_transaction
from chains.signed_form import can_judge, check_signed, check_unsigned
from chains.wallet import Coin, Outpoint, WalletRefusedError

FIXTURES = Path(__file__).parents[2] / "fixtures" / "namecoin-regtest"
KEY = b"\x02" + bytes(range(32))
SIGNATURE = b"\x30\x44" + bytes(68) + b"\x01"
PROGRAM = b"\x00\x14" + hash160(KEY)
# name -> output script, scriptSig, witness of an input that is signed
FORMS: dict[str, tuple[bytes, bytes, tuple[bytes, ...]]] = {
    "P2PKH": (b"\x76\xa9\x14" + hash160(KEY) + b"\x88\xac", push(SIGNATURE) + push(KEY), ()),
    "P2PK": (push(KEY) + b"\xac", push(SIGNATURE), ()),
    "P2WPKH": (PROGRAM, b"", (SIGNATURE, KEY)),
    "P2SH": (b"\xa9\x14" + hash160(PROGRAM) + b"\x87", push(PROGRAM), (SIGNATURE, KEY)),
    "P2TR": (b"\x51\x20" + bytes(range(32)), b"", (bytes(64),)),
}
COINS = [
    Coin(Outpoint(bytes([number]) * 32, number), 100, script, 9, False)
    for number, (script, _, _) in enumerate(FORMS.values())
]
UNSIGNED = Transaction(
    2,
    tuple(TxIn(c.outpoint.txid, c.outpoint.vout, b"", 0xFFFFFFFD) for c in COINS),
    (TxOut(450, b"\x00\x14" + bytes(20)), TxOut(40, b"\x00\x14" + bytes([1]) * 20)),
    77,
)
SIGNED = replace(
    UNSIGNED,
    inputs=tuple(
        replace(i, script_sig=script_sig, witness=witness)
        for i, (_, script_sig, witness) in zip(UNSIGNED.inputs, FORMS.values(), strict=True)
    ),
)


def with_input(position: int, **changes: object) -> Transaction:
    inputs = list(SIGNED.inputs)
    inputs[position] = replace(inputs[position], **changes)  # type: ignore[arg-type]
    return replace(SIGNED, inputs=tuple(inputs))


def test_signed_form_takes_every_kind_of_coin() -> None:
    assert check_signed(UNSIGNED, SIGNED.serialize(), COINS) == SIGNED
    whole = with_input(4, witness=(bytes(64) + b"\x01",))
    assert check_signed(UNSIGNED, whole.serialize(), COINS) == whole


@pytest.mark.parametrize("name", ["finalizepsbt", "walletprocesspsbt"])
def test_signed_form_takes_what_namecoin_signed(name: str) -> None:
    result = json.loads((FIXTURES / f"{name}.json").read_text())["response"]["result"]
    signed = parse_transaction(bytes.fromhex(result["hex"]))
    bare = replace(signed, inputs=tuple(replace(i, script_sig=b"") for i in signed.inputs))
    coins = []
    for i in signed.inputs:
        key = i.script_sig[-33:]
        script = b"\x76\xa9\x14" + hash160(key) + b"\x88\xac"
        coins.append(Coin(Outpoint(i.previous_txid, i.previous_index), 1, script, 1, False))
    assert check_signed(bare, bytes.fromhex(result["hex"]), coins) == signed
    with pytest.raises(WalletRefusedError, match="without a signature"):
        check_signed(bare, bare.serialize(), coins)


CHANGED: dict[str, Callable[[], Transaction]] = {
    "another version": lambda: replace(SIGNED, version=1),
    "another lock time": lambda: replace(SIGNED, lock_time=0),
    "one unit less to the miner": lambda: replace(SIGNED, outputs=(TxOut(449, UNSIGNED.outputs[0].script),)),
    "an output more": lambda: replace(SIGNED, outputs=(*SIGNED.outputs, TxOut(1, b"\x51"))),
    "an output less": lambda: replace(SIGNED, outputs=SIGNED.outputs[:1]),
    "outputs in another order": lambda: replace(SIGNED, outputs=SIGNED.outputs[::-1]),
    "another script": lambda: replace(SIGNED, outputs=(SIGNED.outputs[0], TxOut(40, b"\x51"))),
    "another sequence": lambda: with_input(0, sequence=0xFFFFFFFF),
    "another coin": lambda: with_input(0, previous_index=5),
    "an input less": lambda: replace(SIGNED, inputs=SIGNED.inputs[:-1]),
    "an input more": lambda: replace(SIGNED, inputs=(*SIGNED.inputs, TxIn(b"\x09" * 32, 0, b"", 0))),
    "inputs in another order": lambda: replace(SIGNED, inputs=SIGNED.inputs[::-1]),
}


@pytest.mark.parametrize("change", CHANGED)
def test_signed_form_refuses_any_change(change: str) -> None:
    with pytest.raises(WalletRefusedError, match="another transaction"):
        check_signed(UNSIGNED, CHANGED[change]().serialize(), COINS)


UNBOUND = SIGNATURE[:-1] + b"\x02"  # SIGHASH_NONE: anybody may change the outputs
ANYONE = SIGNATURE[:-1] + b"\x81"
OTHER_KEY = b"\x03" + KEY[1:]
NOT_SIGNED: dict[str, tuple[int, dict[str, object]]] = {
    "P2PKH without": (0, {"script_sig": b""}),
    "P2PKH without a key": (0, {"script_sig": push(SIGNATURE)}),
    "P2PKH with another key": (0, {"script_sig": push(SIGNATURE) + push(OTHER_KEY)}),
    "P2PKH that binds no outputs": (0, {"script_sig": push(UNBOUND) + push(KEY)}),
    "P2PKH that lets inputs come": (0, {"script_sig": push(ANYONE) + push(KEY)}),
    "P2PKH with a witness": (0, {"witness": (SIGNATURE, KEY)}),
    "P2PKH with more than two": (0, {"script_sig": push(SIGNATURE) + push(KEY) + push(KEY)}),
    "P2PKH with an opcode": (0, {"script_sig": b"\x00" + push(SIGNATURE) + push(KEY)}),
    "P2PKH cut off": (0, {"script_sig": (push(SIGNATURE) + push(KEY))[:-1]}),
    "P2PKH of an empty signature": (0, {"script_sig": push(b"\x30\x01") + push(KEY)}),
    "P2PKH of a wrong length": (0, {"script_sig": push(b"\x30\x43" + SIGNATURE[2:]) + push(KEY)}),
    "P2PK without": (1, {"script_sig": b""}),
    "P2PK that binds no outputs": (1, {"script_sig": push(UNBOUND)}),
    "P2PK with a key": (1, {"script_sig": push(SIGNATURE) + push(KEY)}),
    "P2WPKH without": (2, {"witness": ()}),
    "P2WPKH with a scriptSig": (2, {"script_sig": b"\x51"}),
    "P2WPKH with another key": (2, {"witness": (SIGNATURE, OTHER_KEY)}),
    "P2WPKH that binds no outputs": (2, {"witness": (UNBOUND, KEY)}),
    "P2SH without": (3, {"script_sig": b"", "witness": ()}),
    "P2SH without a witness": (3, {"witness": ()}),
    "P2SH without its script": (3, {"script_sig": b""}),
    "P2SH with another script": (3, {"script_sig": push(b"\x00\x14" + hash160(OTHER_KEY))}),
    "P2SH that binds no outputs": (3, {"witness": (UNBOUND, KEY)}),
    "P2TR without": (4, {"witness": ()}),
    "P2TR with a scriptSig": (4, {"script_sig": b"\x51"}),
    "P2TR by its scripts": (4, {"witness": (bytes(64), b"\x51", bytes(33))}),
    "P2TR that binds no outputs": (4, {"witness": (bytes(64) + b"\x02",)}),
    "P2TR of a wrong length": (4, {"witness": (bytes(63),)}),
}


@pytest.mark.parametrize("fault", NOT_SIGNED)
def test_signed_form_refuses_an_input_that_is_not_bound(fault: str) -> None:
    position, changes = NOT_SIGNED[fault]
    place = COINS[position].outpoint
    with pytest.raises(WalletRefusedError, match=f"{place.txid.hex()}:{place.vout} without a signature"):
        check_signed(UNSIGNED, with_input(position, **changes).serialize(), COINS)


@pytest.mark.parametrize("script", [b"", b"\x51", b"\x00\x20" + bytes(32), b"\x6a\x01\x01", b"\x21" + bytes(33)])
def test_signed_form_knows_no_other_form(script: bytes) -> None:
    assert not can_judge(script)
    assert not can_judge(script, PROGRAM)
    coins = [*COINS[:4], replace(COINS[4], script=script)]
    with pytest.raises(WalletRefusedError, match="without a signature"):
        check_signed(UNSIGNED, with_input(4, script_sig=push(SIGNATURE) + push(KEY), witness=()).serialize(), coins)


@pytest.mark.parametrize("data", [b"", b"\x00", SIGNED.serialize() + b"\x00", SIGNED.serialize()[:-1]])
def test_signed_form_refuses_what_is_no_transaction(data: bytes) -> None:
    with pytest.raises(WalletRefusedError, match="unreadable"):
        check_signed(UNSIGNED, data, COINS)


def test_signed_form_the_plan_must_fit_its_coins() -> None:
    assert check_unsigned(UNSIGNED.serialize(), COINS) == UNSIGNED
    for coins in (COINS[:-1], COINS[::-1], [*COINS, COINS[0]], []):
        with pytest.raises(ValueError, match="not its coins"):
            check_unsigned(UNSIGNED.serialize(), coins)
    with pytest.raises(ValueError, match="carries signatures"):
        check_unsigned(SIGNED.serialize(), COINS)
