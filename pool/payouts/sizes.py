"""How large a transaction will be once it is signed, and what is dust: computed before anything is signed.

Weights are BIP141's. Inputs are taken at their largest usual size, so that the fee never comes out below the rate.
"""

from __future__ import annotations

from collections.abc import Iterable

from chains.primitives.serialize import compact_size
from pool.payouts.terms import DustRule

MAX_WEIGHT = 396_000
"""Bitcoin Core relays up to 400,000 (policy.h: MAX_STANDARD_TX_WEIGHT); the rest is room for an estimate's error."""

_WITNESS_PUBKEY = 1 + 1 + 72 + 1 + 33
_OUTPOINT_AND_SEQUENCE = 32 + 4 + 4


class UnknownScriptError(Exception):
    """A script whose spending has no known size; such coins are left alone."""


def spending(script: bytes) -> tuple[int, int]:
    """(bytes of the scriptSig with its length, weight of the witness) that spending a script takes."""
    if len(script) == 22 and script[:2] == b"\x00\x14":  # P2WPKH
        return 1, _WITNESS_PUBKEY
    if len(script) == 34 and script[:2] == b"\x51\x20":  # P2TR, key path
        return 1, 1 + 1 + 65
    if len(script) == 25 and script[:3] == b"\x76\xa9\x14":  # P2PKH
        return 1 + 1 + 72 + 1 + 33, 0
    if len(script) == 23 and script[:2] == b"\xa9\x14":  # P2SH: a wallet's own single-key form, P2SH-P2WPKH
        return 1 + 23, _WITNESS_PUBKEY
    if len(script) in (35, 67) and script[0] == len(script) - 2 and script[-1] == 0xAC:  # P2PK, as old coinbases have
        return 1 + 1 + 72, 0
    raise UnknownScriptError(f"no size is known for spending {script[:40].hex()}")


def can_be_sized(script: bytes) -> bool:
    try:
        spending(script)
    except UnknownScriptError:
        return False
    return True


def transaction_weight(input_scripts: Iterable[bytes], output_scripts: Iterable[bytes]) -> int:
    """The weight of a signed transaction that spends and makes outputs of these scripts."""
    inputs, outputs = list(input_scripts), list(output_scripts)
    return weight_of(
        len(inputs), running_input_weights(inputs)[-1], len(outputs), sum(output_size(script) for script in outputs)
    )


def running_input_weights(scripts: Iterable[bytes]) -> list[int]:
    """What the first 0, 1, 2 … inputs add to a transaction's weight, its marker included once one has a witness."""
    stripped = witness = 0
    has_witness = False
    weights = [0]
    for script in scripts:
        script_sig, one = spending(script)
        stripped += _OUTPOINT_AND_SEQUENCE + script_sig
        witness += one or 1  # beside inputs with a witness, one without has an empty stack
        has_witness = has_witness or one > 0
        weights.append(4 * stripped + (2 + witness if has_witness else 0))
    return weights


def output_size(script: bytes) -> int:
    """The bytes of an output."""
    return 8 + len(compact_size(len(script))) + len(script)


def weight_of(inputs: int, input_weight: int, outputs: int, output_bytes: int) -> int:
    """A transaction's weight from the number of its inputs with what they add, and of its outputs with their bytes."""
    return 4 * (8 + len(compact_size(inputs)) + len(compact_size(outputs)) + output_bytes) + input_weight


def virtual_size(weight: int) -> int:
    """BIP141: a quarter of the weight, rounded up."""
    return (weight + 3) // 4


def fee_for(vsize: int, rate: int) -> int:
    """The fee of a size at a rate per 1000 virtual bytes, rounded up."""
    return -(-vsize * rate // 1000)


def dust_limit(script: bytes, rule: DustRule) -> int:
    """The smallest amount worth an output of this script (Bitcoin Core, policy.cpp: GetDustThreshold)."""
    size = output_size(script)
    is_program = 4 <= len(script) <= 42 and script[1] == len(script) - 2 and script[0] in (0, *range(0x51, 0x61))
    size += 32 + 4 + 1 + (107 // 4 if is_program else 107) + 4
    return max(fee_for(size, rule.rate), rule.floor, 1)


def transfer_size(sender: bytes, outputs: int, output_bytes: int) -> int:
    """The bytes of a signed transfer between accounts (chains/accounts/transfer.py), whatever it takes."""
    head = 4 + len(compact_size(len(sender))) + len(sender) + 33 + 8 + 8
    return head + len(compact_size(outputs)) + output_bytes + 64
