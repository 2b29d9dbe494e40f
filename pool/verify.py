"""`pool verify KIND FILE`: read a proof, let its kind judge it, print `ok` or why not.

A file that does not hold a question at all (no JSON, a field missing or of the wrong type, hex that is no hex) is wrong
use: exit 2 and a sentence. A question that can be asked gets its answer: `ok` with exit 0, the reason with exit 1; so a
proof field of the wrong length is a `malformed-proof` and not wrong use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chains.primitives import fields
from chains.primitives.fields import FieldError
from chains.registry import VERIFIERS

EXIT_OK, EXIT_NO, EXIT_USAGE = 0, 1, 2
# A proof over a full block's coinbase is below 1 MB of hex; no honest file comes near this.
MAX_FILE_BYTES = 4_000_000


def verify_file(kind: str, path: str | Path) -> tuple[int, str]:
    """Exit code and text for the question in a file, put to a kind of chains/registry.py's VERIFIERS."""
    name = ascii(str(path))
    try:
        verdict = VERIFIERS[kind](_read_object(path))
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
