"""One line into one request, or a word saying why not; never an exception.

msgspec decodes (0.5 µs where the standard library takes 4) and refuses NaN, infinities, lone surrogates and numbers
that fit nowhere; the explicit checks here are for what it lets pass: duplicate keys (last one wins silently, so two
readers of one line could disagree), and ids whose echo would be a problem.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

ID_BYTES = 66  # a string of 64 with its quotes; a request id is a counter everywhere in the field
_PLAIN = frozenset(range(0x20, 0x7F)) - {0x22, 0x5C}  # printable ASCII but quote and backslash


class Request(msgspec.Struct, gc=False):
    """A decoded line. `id` is the JSON of the id as it came, empty when the member was missing."""

    id: bytes
    method: str | None
    params: Any


class _Wire(msgspec.Struct, gc=False):
    id: msgspec.Raw = msgspec.Raw(b"")
    method: Any = None
    params: Any = None


class Malformed:
    """Why a line is not a request; `kind` is a metric label, `text` a sentence for the miner."""

    __slots__ = ("id", "kind", "text")

    def __init__(self, kind: str, text: str, request_id: bytes = b"null") -> None:
        self.kind = kind
        self.text = text
        self.id = request_id


class _Response(msgspec.Struct):
    result: Any = None


_decode = msgspec.json.Decoder(_Wire).decode
_decode_result = msgspec.json.Decoder(_Response).decode


class _DuplicateKey(ValueError):
    pass


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _DuplicateKey


def _well_formed_id(text: bytes) -> bool:
    """Null, an integer of at most 20 digits, or a plain string: what can be echoed byte for byte."""
    if text.isdigit() or (text[:1] == b"-" and text[1:].isdigit()):
        return len(text) <= 20
    if text == b"null":
        return True
    return len(text) <= ID_BYTES and text[:1] == b'"' and _PLAIN.issuperset(text[1:-1])


def result_of(line: bytes) -> object:
    """The `result` of a line that decode() found to be a response; None when there is none that can be read."""
    try:
        return _decode_result(line).result
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def decode(line: bytes) -> Request | Malformed:
    """Read one line. A missing or null `method` with any other content is a response of the miner: method None."""
    try:
        wire = _decode(line)
    except RecursionError:
        return Malformed("depth", "The JSON is nested too deeply")
    except msgspec.ValidationError as error:
        if "out of range" in str(error):
            return Malformed("number", "A number is out of range")
        return Malformed("not_object", "Expected a JSON object")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Malformed("not_json", "Expected one JSON object per line")
    request_id = bytes(wire.id)
    # With three different members seen and three colons in all, no key can be there twice; else look closely.
    if not (request_id and wire.method is not None and wire.params is not None and line.count(b":") == 3):
        try:
            json.loads(line.decode(), object_pairs_hook=_refuse_duplicates)
        except _DuplicateKey:
            return Malformed("duplicate_key", "A key is there twice")
        except RecursionError:
            return Malformed("depth", "The JSON is nested too deeply")
        except ValueError:  # bytes that are not UTF-8, or an integer longer than Python likes to read
            return Malformed("not_json", "Expected one JSON object per line")
    if request_id and not _well_formed_id(request_id):
        return Malformed("id", "The id must be null, an integer or a plain string of at most 64 characters")
    if wire.method is not None and type(wire.method) is not str:
        return Malformed("method", "The method must be a string", request_id or b"null")
    return Request(request_id, wire.method, wire.params)
