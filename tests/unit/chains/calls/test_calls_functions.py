from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from chains.calls.errors import CallError
from chains.calls.functions import calls_of
from chains.calls.table import Access


def pay(core: Any, public_key_hex: str, id_hex: str, outputs: Sequence[Mapping[str, Any]], fee: int | None = 0) -> str:
    """Pays
    somebody."""
    return f"{core} {public_key_hex} {id_hex} {outputs} {fee}"


def odd(core: Any, amount: float) -> None:
    """No amount is a float."""


def test_calls_functions_become_calls() -> None:
    (call,) = calls_of({"pay": pay}, Access.READ, "wallet")
    assert (call.name, call.doc, call.group) == ("pay", "Pays somebody.", "wallet")
    assert [(p.name, p.type.name, p.required) for p in call.parameters] == [
        ("public_key_hex", "hex", True), ("id_hex", "hash", True), ("outputs", "array", True),
        ("fee", "integer", False),
    ]  # fmt: skip
    assert call.function is not None
    assert call.function("core", *call.values(["00", "11", []])) == "core 00 11 [] 0"
    with pytest.raises(CallError):
        call.values(["00", "11", {}])
    (call,) = calls_of({"pay": pay}, Access.WRITE, "wallet")
    assert call.function is None


def test_calls_functions_floats_have_no_place() -> None:
    with pytest.raises(ValueError, match="odd: no JSON type for amount: float"):
        calls_of({"odd": odd}, Access.READ, "x")
