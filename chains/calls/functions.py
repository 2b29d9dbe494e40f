"""A kind's functions as calls: name and function are the kind's, parameters come from the signature, the words from the
docstring. Pure.

A parameter that is annotated `str` is a text, `int` an integer, `bool` a boolean, `Sequence` or `list` an array,
`Mapping` or `dict` an object, each perhaps `| None`. A text that is called `…_hex` is bytes as hex; one that is called
`…id_hex` or `…hash_hex` is a hash as explorers show it. The function gets the text as it is and judges it itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from chains.calls.table import ARRAY, BOOLEAN, INTEGER, OBJECT, TEXT, Access, Call, Parameter, ParameterType

_HEX = ParameterType("hex", "bytes as hex, in their order", TEXT.read)
_HASH = ParameterType("hash", "32 bytes as displayed hex: reversed, as explorers show hashes", TEXT.read)
_BY_ANNOTATION = {
    "str": TEXT, "int": INTEGER, "bool": BOOLEAN, "Sequence": ARRAY, "list": ARRAY, "Mapping": OBJECT, "dict": OBJECT,
}  # fmt: skip


def calls_of(functions: Mapping[str, Callable[..., Any]], access: Access, group: str) -> tuple[Call, ...]:
    """Calls of functions `(core, …)`. Those that write are answered by the core under the same name: of their functions
    only signature and docstring are used. Raises ValueError for a parameter that no JSON type fits."""
    return tuple(_call(name, function, access, group) for name, function in functions.items())


def _call(name: str, function: Callable[..., Any], access: Access, group: str) -> Call:
    parameters = tuple(_parameter(name, p) for p in list(inspect.signature(function).parameters.values())[1:])
    doc = " ".join((inspect.getdoc(function) or "").split()) or name
    reads = access is Access.READ
    return Call(name, doc, access, parameters, "", function if reads else None, group=group)


def _parameter(call: str, parameter: inspect.Parameter) -> Parameter:
    kind = _type(call, parameter)
    meaning = parameter.name.removesuffix("_hex").replace("_", " ")
    if parameter.default is inspect.Parameter.empty:
        return Parameter(parameter.name, kind, meaning)
    return Parameter(parameter.name, kind, meaning, parameter.default)


def _type(call: str, parameter: inspect.Parameter) -> ParameterType:
    annotation = str(parameter.annotation).removesuffix(" | None").split("[")[0]
    kind = _BY_ANNOTATION.get(annotation)
    if kind is None:
        raise ValueError(f"{call}: no JSON type for {parameter.name}: {annotation}")
    if kind is TEXT and parameter.name.endswith(("id_hex", "hash_hex")):
        return _HASH
    if kind is TEXT and parameter.name.endswith("_hex"):
        return _HEX
    return kind
