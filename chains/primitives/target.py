"""Targets, difficulties and work, in exact integer arithmetic.

A target is an integer; a hash read as a little-endian integer must not exceed it. Difficulty is a ratio that people and
Stratum use: `difficulty-1 target / target`. The two are never one variable.
"""

from __future__ import annotations

from fractions import Fraction

MAX_TARGET = 2**256 - 1

# Difficulty 1 ("bdiff"): 0xffff * 2^208 for SHA-256d; miners of scrypt chains use 65536 times that.
DIFFICULTY_1: dict[str, int] = {"sha256d": 0xFFFF << 208, "scrypt": 0xFFFF << 224}


def bits_to_target(bits: int) -> int:
    """The target of a compact `bits` value. Raises ValueError when it is negative, zero or over 256 bits."""
    exponent, mantissa = bits >> 24, bits & 0x7FFFFF
    if bits & 0x800000 and mantissa:
        raise ValueError(f"compact target {bits:08x} is negative")
    target = mantissa << 8 * (exponent - 3) if exponent >= 3 else mantissa >> 8 * (3 - exponent)
    if not 0 < target <= MAX_TARGET:
        raise ValueError(f"compact target {bits:08x} is out of range")
    return target


def target_to_bits(target: int) -> int:
    """The compact form of a target, rounded down as Bitcoin Core's arith_uint256::GetCompact does."""
    size = (target.bit_length() + 7) // 8
    mantissa = target << 8 * (3 - size) if size <= 3 else target >> 8 * (size - 3)
    if mantissa & 0x800000:  # the top bit is a sign: move it into the exponent
        mantissa >>= 8
        size += 1
    return size << 24 | mantissa


def difficulty_to_target(difficulty: Fraction | float | int, pow_name: str = "sha256d") -> int:
    """The share target of a positive difficulty, exact for the rational value, at most 2^256-1."""
    ratio = Fraction(difficulty)
    if ratio <= 0:
        raise ValueError(f"difficulty must be positive, got {difficulty}")
    return min(DIFFICULTY_1[pow_name] * ratio.denominator // ratio.numerator, MAX_TARGET)


def target_to_difficulty(target: int, pow_name: str = "sha256d") -> float:
    """The difficulty of a target, for people and for the wire."""
    return DIFFICULTY_1[pow_name] / target


def work_of(target: int) -> int:
    """The expected number of hashes that meets a target: `2^256 // (target + 1)`."""
    return 2**256 // (target + 1)


def meets(digest: bytes, target: int) -> bool:
    """Whether a proof-of-work hash (natural order) meets the target; equality counts (reading R13)."""
    return int.from_bytes(digest, "little") <= target
