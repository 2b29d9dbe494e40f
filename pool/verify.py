"""`pool verify mm2 FILE`, `… auxpow FILE`, `… bk FILE`, `… parallel FILE`: read a proof, print `ok` or why not.

A file that does not hold a question at all (no JSON, a field missing or of the wrong type, hex that is no hex) is wrong
use: exit 2 and a sentence. A question that can be asked gets its answer: `ok` with exit 0, the reason with exit 1; so a
proof field of the wrong length is a `malformed-proof` and not wrong use.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chains.auxpow import proof as auxpow_proof
from chains.bk import verify as bk_verify
from chains.mm2_proof import proof as mm2_proof
from chains.mm2_proof.hash_link import HashLink
from chains.parallel import verify as parallel_verify
from chains.primitives import fields
from chains.primitives.fields import FieldError
from chains.primitives.hashes import POW_HASHES
from chains.primitives.serialize import MalformedError

EXIT_OK, EXIT_NO, EXIT_USAGE = 0, 1, 2
# A proof over a full block's coinbase is below 1 MB of hex; no honest file comes near this.
MAX_FILE_BYTES = 4_000_000


def verify_mm2_file(path: str | Path) -> tuple[int, str]:
    """Exit code and text for `{"context", "target", "proof": {…}}` or `{"context", "target", "wire", "aux_hash"}`."""
    return _verdict(path, _verify_mm2)


def verify_auxpow_file(path: str | Path) -> tuple[int, str]:
    """Exit code and text for `{"chain_id", "block_hash", "target", "auxpow", "pow"}`."""
    return _verdict(path, _verify_auxpow)


def verify_bk_file(path: str | Path) -> tuple[int, str]:
    """Exit code and text for the answer of a B_k node's `getvoteproof`, `getblockproof` or `gettransferproof`."""
    return _verdict(path, bk_verify.verify_record)


def verify_parallel_file(path: str | Path) -> tuple[int, str]:
    """Exit code and text for a consensus proof, or the answer of such a node's `gettransferproof`."""
    return _verdict(path, parallel_verify.verify_record)


def _verdict(path: str | Path, verify: Callable[[Mapping[str, Any]], str]) -> tuple[int, str]:
    name = ascii(str(path))
    try:
        verdict = verify(_read_object(path))
    except OSError as error:
        return EXIT_USAGE, f"{name}: cannot be read: {error.strerror or type(error).__name__}"
    except ValueError as error:
        return EXIT_USAGE, f"{name}: {error}"
    return (EXIT_OK if verdict == "ok" else EXIT_NO), verdict


def _read_object(path: str | Path) -> Mapping[str, Any]:
    """The file's JSON object. Raises OSError, or ValueError with a sentence."""
    with Path(path).open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"the file is larger than {MAX_FILE_BYTES} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("the file is not UTF-8 text") from error
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at line {error.lineno} column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("not JSON that can be read: nested too deeply") from error
    except FieldError:
        raise
    except ValueError as error:  # an integer of more digits than Python converts
        raise ValueError("not JSON that can be read: a number is too large") from error
    return fields.mapping(value, "the file")


def _refuse_constant(name: str) -> Any:
    raise FieldError(f"not JSON: {name} is no number")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise FieldError("an object has a key twice")
    return record


def _verify_mm2(record: Mapping[str, Any]) -> str:
    context = fields.hex_bytes(record, "context", 32)
    target = int.from_bytes(fields.hex_bytes(record, "target", 32), "big")
    pow_name = _pow_name(record)
    if ("proof" in record) == ("wire" in record):
        raise FieldError('expected either "proof" or "wire" with "aux_hash"')
    if "wire" in record:
        wire, aux_hash = fields.hex_bytes(record, "wire"), fields.hex_bytes(record, "aux_hash")
        return mm2_proof.verify_wire(wire, aux_hash, context, target, pow_name)
    return mm2_proof.verify(_mm2_proof(fields.mapping(record["proof"], "proof")), context, target, pow_name)


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


def _verify_auxpow(record: Mapping[str, Any]) -> str:
    chain_id = fields.integer(record, "chain_id", 0, 2**31 - 1)
    block_hash = fields.hash_bytes(record, "block_hash")
    target = int.from_bytes(fields.hex_bytes(record, "target", 32), "big")
    pow_name = _pow_name(record, required=True)
    wire = fields.hex_bytes(record, "auxpow")
    try:
        auxpow = auxpow_proof.parse(wire)
    except MalformedError as error:
        raise FieldError(f"auxpow: cannot be decoded: {error}") from error
    return auxpow_proof.verify(auxpow, block_hash, chain_id, target, pow_name)


def _pow_name(record: Mapping[str, Any], *, required: bool = False) -> str:
    """The proof-of-work hash; MM2 files may leave it out, theirs being SHA-256d in the draft."""
    if "pow" not in record and not required:
        return "sha256d"
    name = fields.text(record, "pow")
    if name not in POW_HASHES:
        raise FieldError(f"pow: expected {' or '.join(POW_HASHES)}")
    return name
