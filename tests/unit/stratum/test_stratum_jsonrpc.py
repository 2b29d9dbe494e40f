from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratum.jsonrpc import Malformed, Request, decode


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"hello", "not_json"), (b"", "not_json"), (b"[]", "not_object"), (b'"x"', "not_object"), (b"1", "not_object"),
        (b"null", "not_object"), (b'{"id":1', "not_json"), (b'{"id":1}{', "not_json"),
        (b'{"id":1,"method":"m","params":[NaN]}', "not_json"), (b'{"id":NaN,"method":"m"}', "not_json"),
        (b'{"id":1,"method":"m","params":[Infinity]}', "not_json"),
        (b'{"id":1,"method":"m","params":[1e400]}', "number"),
        (b'{"id":1,"method":"m","params":[' + b"9" * 5000 + b"]}", "number"),
        (b'{"id":1,"method":"m","params":' + b"[" * 2000 + b"]" * 2000 + b"}", "depth"),
        (b'{"id":1,"method":"m","other":' + b"[" * 2000 + b"]" * 2000 + b"}", "depth"),
        (b'{"id":1,"method":"m","params":["\\ud800"]}', "not_json"), (b'{"id":"\\udc00","method":"m"}', "not_json"),
        (b'{"id":1,"method":"m","params":["\xff"]}', "not_json"), (b'{"id":"\xff","method":"m"}', "not_json"),
        (b'{"id":1,"id":2,"method":"m"}', "duplicate_key"), (b'{"id":1,"method":"m","\\u0069d":2}', "duplicate_key"),
        (b'{"id":1,"method":"m","method":"n","params":[]}', "duplicate_key"),
        (b'{"id":1,"method":"m","params":[{},{"a":1,"a":2}]}', "duplicate_key"),
        (b'{"id":1.5,"method":"m"}', "id"), (b'{"id":true,"method":"m"}', "id"), (b'{"id":[1],"method":"m"}', "id"),
        (b'{"id":{},"method":"m"}', "id"), (b'{"id":"a\\"b","method":"m"}', "id"),
        (b'{"id":' + b"9" * 21 + b',"method":"m"}', "id"), (b'{"id":"' + b"x" * 65 + b'","method":"m"}', "id"),
        (b'{"id":1,"method":5}', "method"), (b'{"id":1,"method":["mining.submit"]}', "method"),
        (b"\xef\xbb\xbf{}", "not_json"),
    ],
)  # fmt: skip
def test_jsonrpc_says_what_is_wrong(line: bytes, kind: str) -> None:
    answer = decode(line)
    assert isinstance(answer, Malformed), answer
    assert answer.kind == kind


@pytest.mark.parametrize("id", [b"null", b"0", b"-7", b"1" * 20, b'"abc"', b'""', b'"' + b"x" * 64 + b'"'])
def test_jsonrpc_id_is_kept_as_it_came(id: bytes) -> None:
    answer = decode(b'{"id": %b, "method": "m", "params": []}' % id)
    assert isinstance(answer, Request) and answer.id == id


def test_jsonrpc_missing_id_is_empty_and_method_keeps_its_id_when_wrong() -> None:
    answer = decode(b'{"method":"m","jsonrpc":"2.0"}')
    assert isinstance(answer, Request) and (answer.id, answer.params) == (b"", None)
    wrong = decode(b'{"id":4,"method":7}')
    assert isinstance(wrong, Malformed) and wrong.id == b"4"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=300))
def test_jsonrpc_random_bytes_never_raise(line: bytes) -> None:
    assert isinstance(decode(line), Malformed | Request)


@settings(max_examples=200)
@given(st.fixed_dictionaries({}, optional={"id": JSON, "method": JSON, "params": JSON, "x": JSON}))
def test_jsonrpc_agrees_with_the_standard_library(message: dict[str, Any]) -> None:
    line = json.dumps(message).encode()
    answer = decode(line)
    if isinstance(answer, Request):
        assert json.loads(answer.id or b"null") == message.get("id")
        assert answer.method == message.get("method")
