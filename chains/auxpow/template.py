"""Reading what an MM1 node offers: the answer of createauxblock or getauxblock, in the family's dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chains.auxpow.params import Dialect
from chains.kind import AuxTemplate, TemplateError
from chains.primitives import fields
from chains.primitives.fields import FieldError
from chains.primitives.target import bits_to_target

MAX_CHAIN_ID = 0x7FFF  # the upper half of a block's signed 32-bit version
# Spellings of the little-endian target; the dialect's own comes first.
_TARGET_KEYS = ("_target", "target")


def parse_template(answer: Any, *, chain: str, node: str, dialect: Dialect) -> AuxTemplate:
    """The template of an answer. `_target` is 32 bytes little-endian, hashes are displayed hex.

    Previous hash, value and height may be absent (the getauxblock of early Namecoin forks) and are then zero; whatever
    is there must have the right type. Raises TemplateError naming the field.
    """
    try:
        record = fields.mapping(answer, "the answer")
        return AuxTemplate(
            chain=chain,
            aux_hash=fields.hash_bytes(record, dialect.hash_key),
            target=_target(record, dialect),
            height=_integer_or_zero(record, dialect.height_key, fields.MAX_HEIGHT),
            previous_hash=(
                fields.hash_bytes(record, dialect.previous_key) if dialect.previous_key in record else bytes(32)
            ),
            value_sat=_integer_or_zero(record, dialect.value_key, fields.MAX_AMOUNT),
            node=node,
            chain_id=fields.integer(record, dialect.chain_id_key, 0, MAX_CHAIN_ID),
        )
    except ValueError as error:
        raise TemplateError(f"unusable auxiliary template: {error}") from error


def _target(record: Mapping[str, Any], dialect: Dialect) -> int:
    """The target, which `bits` must confirm where it is there: read in the wrong byte order it would either flood the
    node or miss every block."""
    target: int | None = None
    for key in (dialect.target_key, *_TARGET_KEYS):
        if key in record:
            target = int.from_bytes(fields.hex_bytes(record, key, 32), "little")
            break
    if dialect.bits_key in record:
        bits = int.from_bytes(fields.hex_bytes(record, dialect.bits_key, 4), "big")
        from_bits = bits_to_target(bits)
        if target is not None and target != from_bits:
            raise FieldError(f"{key}: is not the target of {dialect.bits_key} {bits:08x} in little-endian order")
        return from_bits
    if not target:
        raise FieldError(f"{dialect.target_key}: missing or zero")
    return target


def _integer_or_zero(record: Mapping[str, Any], key: str, most: int) -> int:
    return fields.integer(record, key, 0, most) if key in record else 0
