"""Judging an MM2 proof on its own, with no node: for third parties (docs/protocol/mm2.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chains.mm2_proof import proof as mm2_proof
from chains.mm2_proof.hash_link import HashLink
from chains.primitives import fields
from chains.primitives.fields import FieldError


def verify_record(record: Mapping[str, Any]) -> str:
    """`ok`, or the reason word of the first check that fails. Raises FieldError for a record that is no question:
    `{"context", "target", "proof": {…}}` or `{"context", "target", "wire", "aux_hash"}`; `pow` may be left out, being
    SHA-256d in the draft."""
    context = fields.hex_bytes(record, "context", 32)
    target = int.from_bytes(fields.hex_bytes(record, "target", 32), "big")
    pow_hash = fields.pow_name(record) if "pow" in record else "sha256d"
    if ("proof" in record) == ("wire" in record):
        raise FieldError('expected either "proof" or "wire" with "aux_hash"')
    if "wire" in record:
        wire, aux_hash = fields.hex_bytes(record, "wire"), fields.hex_bytes(record, "aux_hash")
        return mm2_proof.verify_wire(wire, aux_hash, context, target, pow_hash)
    return mm2_proof.verify(_mm2_proof(fields.mapping(record["proof"], "proof")), context, target, pow_hash)


def _mm2_proof(record: Mapping[str, Any]) -> mm2_proof.Proof:
    """The proof of its JSON form, whose fields have the right types but perhaps wrong lengths."""
    link = fields.mapping(record.get("hash_link"), "hash_link")
    length = link.get("length")
    if type(length) is not int:
        raise FieldError("hash_link.length: expected an integer")
    return mm2_proof.Proof(
        header_without_root=fields.hex_bytes(record, "header_without_root"),
        parent_sides=fields.text(record, "parent_sides"),
        parent_branch=_hex_list(record, "parent_branch"),
        hash_link=HashLink(fields.hex_bytes(link, "state"), length, fields.hex_bytes(link, "extra")),
        sides=fields.text(record, "sides"),
        branch=_hex_list(record, "branch"),
        aux_hash=fields.hex_bytes(record, "aux_hash"),
        last_txout_nonce=fields.hex_bytes(record, "last_txout_nonce"),
    )


def _hex_list(record: Mapping[str, Any], key: str) -> tuple[bytes, ...]:
    value = record.get(key)
    if not isinstance(value, list) or not all(fields.is_hex(item) for item in value):
        raise FieldError(f"{key}: expected a list of hex digits")
    return tuple(bytes.fromhex(item) for item in value)
