from __future__ import annotations

from typing import Any

import pytest

from chains.calls.documents import help_text, reference_page
from chains.calls.errors import INVALID_PARAMETER, METHOD_NOT_FOUND, MISC, TYPE, CallError
from chains.calls.table import (
    ARRAY,
    BOOLEAN,
    HASH,
    HEX,
    INTEGER,
    KEY,
    OBJECT,
    TEXT,
    WAIT_PARAMETER,
    Access,
    Call,
    CallTable,
    Parameter,
    ParameterType,
)

GET = Call(
    "getblock", "A block.", Access.READ,
    (Parameter("hash", HASH, "which"), Parameter("verbose", BOOLEAN, "as an object", True)),
    "object", lambda core, block, verbose: [block, verbose], group="chain",
)  # fmt: skip
PUT = Call("submitvote", "Hand in a vote.", Access.WRITE, (Parameter("vote", HEX, "its bytes"),), "null")


def test_calls_table_values_by_place_and_by_name() -> None:
    hash_hex = "00" * 31 + "ff"
    assert GET.values([hash_hex]) == (b"\xff" + bytes(31), True)
    assert GET.values([hash_hex, False]) == (b"\xff" + bytes(31), False)
    assert GET.values({"hash": hash_hex, "verbose": None}) == (b"\xff" + bytes(31), True)


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ([], MISC, "getblock hash ( verbose )"),
        (["00" * 32, True, 1], MISC, "getblock hash ( verbose )"),
        ({"hash": "00" * 32, "wrong": 1}, INVALID_PARAMETER, "Unknown named parameter 'wrong'"),
        (["00"], INVALID_PARAMETER, "hash: expected a hash: 64 hex digits"),
        ([17], TYPE, "hash: expected a hash: 64 hex digits"),
        (["00" * 32, 1], TYPE, "verbose: expected true or false"),
    ],
)
def test_calls_table_wrong_parameters_are_named(given: Any, code: int, message: str) -> None:
    with pytest.raises(CallError) as caught:
        GET.values(given)
    assert (caught.value.code, caught.value.message) == (code, message)


@pytest.mark.parametrize(
    ("kind", "good", "value", "bad"),
    [
        (INTEGER, 5, 5, [True, 5.0, "5", None]),
        (BOOLEAN, False, False, [0, "false"]),
        (TEXT, "x", "x", [1, ["x"]]),
        (HEX, "00ff", b"\x00\xff", ["0", "0 0 ", "zz", 1]),
        (KEY, "01" * 32, b"\x01" * 32, ["01" * 31, 1]),
        (ARRAY, [1], [1], [{}, "[]"]),
        (OBJECT, {"a": 1}, {"a": 1}, [[], "{}"]),
    ],
)
def test_calls_table_types_read_json(kind: ParameterType, good: Any, value: Any, bad: list[Any]) -> None:
    assert kind.read(good) == value
    for wrong in bad:
        with pytest.raises(CallError):
            kind.read(wrong)


def test_calls_table_unknown_and_double_names() -> None:
    table = CallTable([GET, PUT])
    assert "getblock" in table and [call.name for call in table] == ["getblock", "submitvote"]
    with pytest.raises(CallError) as caught:
        table.find("nothing")
    assert caught.value.code == METHOD_NOT_FOUND
    with pytest.raises(AssertionError):
        CallTable([GET, GET])
    with pytest.raises(AssertionError):
        CallTable([Call("w", "", Access.READ, (), "", lambda core: None, waits="tip")])
    CallTable([Call("w", "", Access.READ, (WAIT_PARAMETER,), "", lambda core: None, waits="tip")])


def test_calls_documents_say_everything_that_is_in_the_table() -> None:
    table = CallTable([GET, PUT])
    assert help_text(table) == "== Chain ==\ngetblock hash ( verbose )\n\n== Node ==\nsubmitvote vote"
    one = help_text(table, "getblock")
    assert "1. hash (hash, required) which" in one and "2. verbose (boolean, optional, default true)" in one
    assert "Needs credentials." in help_text(table, "submitvote")
    page = reference_page("Calls", table)
    assert page.startswith("# Calls\n") and "*write* · Hand in a vote." in page
    assert "| `verbose` | boolean | optional, default true | as an object |" in page
