"""Sizes and dust to the byte: against the counting rules written out, and against serialized transactions."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.primitives.transaction import Transaction, TxIn, TxOut
from pool.payouts.sizes import (
    MAX_WEIGHT,
    UnknownScriptError,
    can_be_sized,
    dust_limit,
    fee_for,
    spending,
    transaction_weight,
    virtual_size,
)
from pool.payouts.terms import DustRule

P2PKH = b"\x76\xa9\x14" + b"\x01" * 20 + b"\x88\xac"
P2SH = b"\xa9\x14" + b"\x01" * 20 + b"\x87"
P2WPKH = b"\x00\x14" + b"\x01" * 20
P2WSH = b"\x00\x20" + b"\x01" * 32
P2TR = b"\x51\x20" + b"\x01" * 32
P2PK = b"\x21" + b"\x02" * 33 + b"\xac"
P2PK_OLD = b"\x41" + b"\x04" * 65 + b"\xac"

# The largest usual signature has 72 bytes with its hash type, a public key 33, a Schnorr signature 65 with its own.
# Each is preceded by its length, a witness by its number of items.
SIGNATURE, KEY = 1 + 72, 1 + 33
SPENDINGS = [
    ("p2wpkh", P2WPKH, 1, 1 + SIGNATURE + KEY),
    ("p2tr", P2TR, 1, 1 + 1 + 65),
    ("p2pkh", P2PKH, 1 + SIGNATURE + KEY, 0),
    ("p2sh", P2SH, 1 + 1 + 22, 1 + SIGNATURE + KEY),
    ("p2pk", P2PK, 1 + SIGNATURE, 0),
    ("p2pk_old", P2PK_OLD, 1 + SIGNATURE, 0),
]


@pytest.mark.parametrize(
    ("script", "script_sig", "witness"), [row[1:] for row in SPENDINGS], ids=[row[0] for row in SPENDINGS]
)
def test_payouts_sizes_spending_takes_signature_key_and_their_lengths(
    script: bytes, script_sig: int, witness: int
) -> None:
    assert spending(script) == (script_sig, witness)
    assert can_be_sized(script)


@pytest.mark.parametrize("name", [row[0] for row in SPENDINGS])
def test_payouts_sizes_a_script_that_is_almost_a_known_one_is_unknown(name: str) -> None:
    script = next(row[1] for row in SPENDINGS if row[0] == name)
    fixed = {"p2wpkh": (0, 1), "p2tr": (0, 1), "p2pkh": (0, 1, 2), "p2sh": (0, 1), "p2pk": (0, 34), "p2pk_old": (0, 66)}
    near = [script[:-1], script + b"\x00", b"\x00" + script]
    near += [script[:at] + bytes([script[at] ^ 0x40]) + script[at + 1 :] for at in fixed[name]]
    for other in near:
        assert not can_be_sized(other), other.hex()
        with pytest.raises(UnknownScriptError):
            spending(other)


@pytest.mark.parametrize(
    "script", [b"", b"\x6a", P2WSH, bytes(25), bytes(23), bytes(35), bytes(67)], ids=lambda s: f"{len(s)}_bytes"
)
def test_payouts_sizes_other_scripts_are_unknown(script: bytes) -> None:
    assert not can_be_sized(script)


def test_payouts_sizes_an_unknown_script_is_shown_up_to_40_bytes() -> None:
    with pytest.raises(UnknownScriptError) as error:
        spending(b"\x6a" + b"\xab" * 60)
    assert str(error.value) == "no size is known for spending 6a" + "ab" * 39


def signed(inputs: list[bytes], outputs: list[bytes]) -> Transaction:
    """The transaction with signatures and keys of the largest usual size."""
    made = []
    for number, script in enumerate(inputs):
        script_sig, witness = b"", ()
        if script in (P2WPKH, P2SH):
            script_sig, witness = (b"" if script == P2WPKH else b"\x16" + P2WPKH), (b"\x30" * 72, b"\x02" * 33)
        elif script == P2TR:
            witness = (b"\x01" * 65,)
        elif script == P2PKH:
            script_sig = b"\x48" + b"\x30" * 72 + b"\x21" + b"\x02" * 33
        else:
            script_sig = b"\x48" + b"\x30" * 72
        made.append(TxIn(number.to_bytes(32, "big"), 0, script_sig, 0xFFFFFFFD, witness))
    return Transaction(2, tuple(made), tuple(TxOut(1, script) for script in outputs))


usual = st.sampled_from([script for _, script, _, _ in SPENDINGS])
paid_scripts = st.sampled_from([P2PKH, P2SH, P2WPKH, P2WSH, P2TR, P2PK, b"\x6a" + b"\x01" * 300])


@given(st.lists(usual, min_size=1, max_size=12), st.lists(paid_scripts, min_size=1, max_size=12))
def test_payouts_sizes_weight_is_that_of_the_signed_bytes(inputs: list[bytes], outputs: list[bytes]) -> None:
    assert transaction_weight(inputs, outputs) == signed(inputs, outputs).weight


@pytest.mark.parametrize(("inputs", "outputs"), [(252, 252), (253, 1), (1, 253), (253, 253)])
def test_payouts_sizes_weight_grows_with_the_bytes_of_the_counts(inputs: int, outputs: int) -> None:
    assert transaction_weight([P2PKH] * inputs, [P2WPKH] * outputs) == 4 * (
        4 + (3 if inputs > 252 else 1) + inputs * (40 + 108) + (3 if outputs > 252 else 1) + outputs * 31 + 4
    )


def test_payouts_sizes_weight_of_few_witnesses_among_many_inputs() -> None:
    stripped = 4 + 1 + 40 + 108 + 41 + 1 + 31 + 4
    assert transaction_weight([P2PKH, P2WPKH], [P2WPKH]) == 4 * stripped + 2 + 1 + 108
    assert transaction_weight(iter([P2PKH]), iter([P2WPKH])) == 4 * (stripped - 41)
    assert MAX_WEIGHT == 396_000


@pytest.mark.parametrize(("weight", "vsize"), [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2), (561, 141)])
def test_payouts_sizes_virtual_size_is_rounded_up(weight: int, vsize: int) -> None:
    assert virtual_size(weight) == vsize


@given(st.integers(0, 10**6), st.integers(0, 10**7))
def test_payouts_sizes_fee_is_the_rate_per_1000_rounded_up(vsize: int, rate: int) -> None:
    assert fee_for(vsize, rate) == ceil(Fraction(vsize * rate, 1000))


# What the output takes, and what Bitcoin Core takes spending it for: 148 bytes, or 67 for a witness program.
DUST = [
    ("p2pkh", P2PKH, 34 + 148),
    ("p2sh", P2SH, 32 + 148),
    ("p2wpkh", P2WPKH, 31 + 67),
    ("p2wsh", P2WSH, 43 + 67),
    ("p2tr", P2TR, 43 + 67),
    ("anchor", b"\x51\x02\x4e\x73", 13 + 67),
    ("version 16", b"\x60\x28" + b"\x01" * 40, 51 + 67),
    ("program too long", b"\x60\x29" + b"\x01" * 41, 52 + 148),
    ("program too short", b"\x51\x01\x4e", 12 + 148),
    ("no version", b"\x61\x14" + b"\x01" * 20, 31 + 148),
    ("version below", b"\x50\x14" + b"\x01" * 20, 31 + 148),
    ("another length", b"\x00\x15" + b"\x01" * 20, 31 + 148),
    ("length beyond a byte", b"\x6a" + b"\x01" * 252, 8 + 3 + 253 + 148),
    ("nothing", b"", 9 + 148),
]


@pytest.mark.parametrize(("script", "size"), [row[1:] for row in DUST], ids=[row[0] for row in DUST])
def test_payouts_sizes_dust_is_worth_less_than_making_and_spending_it(script: bytes, size: int) -> None:
    assert dust_limit(script, DustRule(rate=1000)) == size
    assert dust_limit(script, DustRule(rate=3000)) == 3 * size
    assert dust_limit(script, DustRule(rate=1)) == 1
    assert dust_limit(script, DustRule(rate=3000, floor=3 * size + 1)) == 3 * size + 1
    assert dust_limit(script, DustRule(rate=3000, floor=3 * size - 1)) == 3 * size
    assert dust_limit(script, DustRule(rate=0)) == 1
