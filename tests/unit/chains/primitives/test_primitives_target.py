"""Targets, compact bits, difficulties and work: the figures of the protocol notes, section 5."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.primitives.target import (
    MAX_TARGET,
    bits_to_target,
    difficulty_to_target,
    meets,
    target_to_bits,
    target_to_difficulty,
    work_of,
)


def test_target_of_bits() -> None:
    assert f"{bits_to_target(0x1B0404CB):064x}" == "00000000000404cb" + "0" * 48
    assert f"{bits_to_target(0x207FFFFF):064x}" == "7fffff" + "0" * 58
    assert bits_to_target(0x1D00FFFF) == 0xFFFF << 208
    assert bits_to_target(0x03123456) == 0x123456
    assert bits_to_target(0x02123456) == 0x1234
    assert bits_to_target(0x01123456) == 0x12


@pytest.mark.parametrize(
    ("bits", "why"),
    [
        (0, "out of range"),
        (0x01003456, "out of range"),
        (0x1D000000, "out of range"),
        (0x04923456, "negative"),
        (0xFF123456, "out of range"),
        (0x21010000, "out of range"),
        (0x22000100, "out of range"),
        (0x21020000, "out of range"),
    ],
)
def test_target_of_bits_that_are_no_target(bits: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        bits_to_target(bits)


def test_target_to_bits_moves_a_sign_bit_into_the_exponent() -> None:
    assert target_to_bits(0x80 << 16) == 0x04008000
    assert target_to_bits(0x80) == 0x02008000
    assert target_to_bits(0x12) == 0x01120000
    assert target_to_bits(0x7FFFFF << 232) == 0x207FFFFF


@given(st.integers(min_value=1, max_value=MAX_TARGET))
def test_target_to_bits_rounds_down_and_is_stable(target: int) -> None:
    bits = target_to_bits(target)
    again = bits_to_target(bits)
    assert again <= target
    assert target - again < max(1, target >> 15)
    assert target_to_bits(again) == bits


@pytest.mark.parametrize(
    ("difficulty", "prefix"),
    [
        (1, "00000000ffff0000"),
        (2, "000000007fff8000"),
        (1024, "00000000003fffc0"),
        (0.5, "00000001fffe0000"),
        (Fraction("0.001"), "000003e7fc18"),
        (16384.5, "000000000003fff40017ffd0005fff4001"),
    ],
)
def test_target_of_difficulty(difficulty: float | Fraction, prefix: str) -> None:
    assert f"{difficulty_to_target(difficulty):064x}".startswith(prefix)


def test_target_of_scrypt_difficulty() -> None:
    assert difficulty_to_target(1, "scrypt") == 0xFFFF << 224
    assert difficulty_to_target(65536, "scrypt") == difficulty_to_target(1)
    assert difficulty_to_target(1e-9, "scrypt") == MAX_TARGET


@pytest.mark.parametrize("difficulty", [0, -1, -0.5])
def test_target_of_difficulty_refuses_what_is_not_positive(difficulty: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        difficulty_to_target(difficulty)


@given(st.fractions(min_value=Fraction(1, 10**6), max_value=10**15))
def test_target_of_difficulty_is_the_floor_of_the_exact_ratio(difficulty: Fraction) -> None:
    target = difficulty_to_target(difficulty)
    exact = Fraction(0xFFFF << 208) / difficulty
    assert target <= exact < target + 1 or target == MAX_TARGET


def test_target_work_and_difficulty_back() -> None:
    assert work_of(difficulty_to_target(1)) == 4295032833
    assert work_of(difficulty_to_target(1, "scrypt")) == 65537
    assert work_of(MAX_TARGET) == 1
    assert target_to_difficulty(bits_to_target(0x1B0404CB)) == pytest.approx(16307.420938523983)
    assert target_to_difficulty(0xFFFF << 224, "scrypt") == 1.0


def test_target_is_met_by_an_equal_hash() -> None:
    digest = (12345).to_bytes(32, "little")
    assert meets(digest, 12345)
    assert not meets(digest, 12344)
    assert not meets(b"\0" * 31 + b"\1", 2**248 - 1)
