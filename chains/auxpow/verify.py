"""Judging an AuxPoW on its own, with no node: what `pool verify auxpow` and third parties ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chains.auxpow import proof as auxpow_proof
from chains.primitives import fields
from chains.primitives.fields import FieldError
from chains.primitives.serialize import MalformedError


def verify_record(record: Mapping[str, Any]) -> str:
    """`ok`, or the reason of the first check that fails. Raises FieldError for a record that is not `{"chain_id",
    "block_hash", "target", "auxpow", "pow"}`."""
    chain_id = fields.integer(record, "chain_id", 0, 2**31 - 1)
    block_hash = fields.hash_bytes(record, "block_hash")
    target = int.from_bytes(fields.hex_bytes(record, "target", 32), "big")
    pow_hash = fields.pow_name(record)
    wire = fields.hex_bytes(record, "auxpow")
    try:
        auxpow = auxpow_proof.parse(wire)
    except MalformedError as error:
        raise FieldError(f"auxpow: cannot be decoded: {error}") from error
    return auxpow_proof.verify(auxpow, block_hash, chain_id, target, pow_hash)
