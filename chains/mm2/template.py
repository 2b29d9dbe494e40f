"""Reading what an MM2 child's node answers (docs/protocol/mm2.md): `createmm2block` and `getmm2chaininfo`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chains.kind import AuxTemplate, TemplateError
from chains.primitives import fields
from chains.primitives.fields import FieldError
from chains.primitives.target import bits_to_target


def parse_template(answer: Any, *, chain: str, node: str, context: bytes) -> AuxTemplate:
    """The template of a `createmm2block` answer. Raises TemplateError, naming the field, for anything else: a missing
    field, a wrong type, another chain's context, a target that is not the one of `bits`."""
    try:
        record = fields.mapping(answer, "createmm2block")
        offered = fields.hex_bytes(record, "context", 32)
        if offered != context:
            raise FieldError(f"context: expected {context.hex()}, got {offered.hex()}")
        target = int.from_bytes(fields.hex_bytes(record, "target", 32), "big")
        bits = int.from_bytes(fields.hex_bytes(record, "bits", 4), "big")
        if target != bits_to_target(bits):
            raise FieldError(f"target: {target:064x} is not the target of bits {bits:08x}")
        return AuxTemplate(
            chain=chain,
            aux_hash=fields.hash_bytes(record, "hash"),
            target=target,
            height=fields.integer(record, "height", 0, fields.MAX_HEIGHT),
            previous_hash=fields.hash_bytes(record, "previousblockhash"),
            value_sat=fields.integer(record, "coinbasevalue", 0, fields.MAX_AMOUNT),
            node=node,
            context=context,
        )
    except ValueError as error:
        raise TemplateError(f"unusable createmm2block answer: {error}") from error


@dataclass(frozen=True, slots=True)
class ChainInfo:
    """A `getmm2chaininfo` answer; `context` in natural order."""

    chain: str
    context_name: str
    context: bytes
    blocks: int
    initial_download: bool


def parse_chain_info(answer: Any) -> ChainInfo:
    """Raises FieldError, naming the field."""
    record = fields.mapping(answer, "getmm2chaininfo")
    return ChainInfo(
        chain=fields.text(record, "chain"),
        context_name=fields.text(record, "context_name"),
        context=fields.hex_bytes(record, "context", 32),
        blocks=fields.integer(record, "blocks", 0, fields.MAX_HEIGHT),
        initial_download=fields.boolean(record, "initialblockdownload"),
    )
