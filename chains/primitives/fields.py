"""Reading fields of a node's JSON answer with strict types: a wrong one is a TemplateError-fit sentence, never a guess.

JSON from strangers: a boolean is no integer, an amount with a decimal point is no integer, hex is exactly as long as it
must be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chains.primitives.hashes import POW_HASHES

MAX_HEIGHT = 2**31 - 1
MAX_AMOUNT = 2**63 - 1


class FieldError(ValueError):
    """A field that is missing or has not the expected form; the message names the field, never its whole value."""


def parse_hex(text: Any) -> bytes | None:
    """The bytes of a string of hex digits and nothing else, or None. A template holds megabytes of them, so no pattern
    looks at them first; `bytes.fromhex` passes over blanks, which shows in the length."""
    if not isinstance(text, str):
        return None
    try:
        data = bytes.fromhex(text)
    except ValueError:
        return None
    return data if 2 * len(data) == len(text) else None


def is_hex(text: Any) -> bool:
    """Whether a value is a string of whole bytes in hex digits, and nothing else."""
    return parse_hex(text) is not None


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise FieldError(f"{name}: expected an object, got {_kind(value)}")
    return value


def hex_bytes(record: Mapping[str, Any], key: str, size: int | None = None) -> bytes:
    """The bytes of a hex field, in the order written; exactly `size` bytes when it is given."""
    value = _present(record, key)
    data = parse_hex(value)
    if data is None or (size is not None and len(data) != size):
        wanted = "hex digits" if size is None else f"{2 * size} hex digits"
        raise FieldError(f"{key}: expected {wanted}, got {_kind(value)}")
    return data


def hash_bytes(record: Mapping[str, Any], key: str) -> bytes:
    """The natural bytes of a hash field given as displayed hex."""
    return hex_bytes(record, key, 32)[::-1]


def integer(record: Mapping[str, Any], key: str, least: int, most: int) -> int:
    value = _present(record, key)
    if type(value) is not int:
        raise FieldError(f"{key}: expected an integer, got {_kind(value)}")
    if not least <= value <= most:
        raise FieldError(f"{key}: expected {least} to {most}")
    return value


def boolean(record: Mapping[str, Any], key: str) -> bool:
    value = _present(record, key)
    if not isinstance(value, bool):
        raise FieldError(f"{key}: expected true or false, got {_kind(value)}")
    return value


def text(record: Mapping[str, Any], key: str) -> str:
    value = _present(record, key)
    if not isinstance(value, str):
        raise FieldError(f"{key}: expected text, got {_kind(value)}")
    return value


def pow_name(record: Mapping[str, Any]) -> str:
    """The proof-of-work hash that the field `pow` names."""
    name = text(record, "pow")
    if name not in POW_HASHES:
        raise FieldError(f"pow: expected {' or '.join(POW_HASHES)}")
    return name


def _present(record: Mapping[str, Any], key: str) -> Any:
    if key not in record:
        raise FieldError(f"{key}: missing")
    return record[key]


def _kind(value: Any) -> str:
    """What a wrong value is, in words that are safe to log whatever it holds."""
    names = {type(None): "null", bool: "a boolean", int: "an integer", dict: "an object", list: "a list"}
    if isinstance(value, str):
        return f"text of {len(value)} characters"
    return names.get(type(value), "a number with a fraction")
