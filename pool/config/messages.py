"""From pydantic's findings to sentences for an operator: what was expected, never the value that was found."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pool.config.chains import CHAIN_KINDS, KINDS_EXPECTED, NodeSection, PplnsSection, PpsSection
from pool.config.http import HttpLimitsSection
from pool.config.lines import Location
from pool.config.models import Config, HttpSection, LimitsSection, PoolSection, PortSection, Section, StratumSection
from pool.config.operator import OperatorSection
from pool.config.payouts import PayoutsSection
from pool.config.transport import BooksSection, TransportSection

_SECTIONS: dict[str, type[Section]] = {
    "pool": PoolSection,
    "stratum": StratumSection,
    "http": HttpSection,
    "transport": TransportSection,
    "books": BooksSection,
    "operator": OperatorSection,
}
KIND_EXPECTED = f"expected {KINDS_EXPECTED}"

_EXPECTED_TYPE = {
    "string_type": "expected text (in quotes when it looks like a number)",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "bool_type": "expected true or false",
    "finite_number": "expected a finite number",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "dict_type": "expected a mapping of keys and values",
    "model_type": "expected a mapping of keys and values",
    "model_attributes_type": "expected a mapping of keys and values",
    "string_unicode": "expected text",
}
_EXPECTED_BOUND = {
    "greater_than": ("gt", "expected a number over {}"),
    "greater_than_equal": ("ge", "expected a number of at least {}"),
    "less_than": ("lt", "expected a number under {}"),
    "less_than_equal": ("le", "expected a number of at most {}"),
    "too_short": ("min_length", "expected at least {} of them"),
    "too_long": ("max_length", "expected at most {} of them"),
    "string_too_long": ("max_length", "expected at most {} characters"),
    "string_too_short": ("min_length", "expected at least {} characters"),
}


def findings(error: ValidationError, values: Mapping[str, Any]) -> list[tuple[Location, str, str]]:
    """Location, pydantic's type of mistake, and what was expected there, for each finding about `values`."""
    found: list[tuple[Location, str, str]] = []
    for details in error.errors(include_url=False, include_input=False):
        location, text = _location(details, values), _expected(details, values)
        # A list with one bad member is also "too short": that tells nothing new.
        if details["type"] == "too_short" and any(other[: len(location)] == location for other, _, _ in found):
            continue
        found.append((location, details["type"], text))
    return found


def _location(details: ErrorDetails, values: Mapping[str, Any]) -> Location:
    """pydantic's place without what it adds to it: the kind behind a chain's name, and marks for keys."""
    location = tuple(details["loc"])
    if location and location[-1] == "[key]":
        location = location[:-1]
    if len(location) > 2 and location[0] == "chains" and location[2] in CHAIN_KINDS:
        location = (*location[:2], *location[3:])
    if details["type"] in ("union_tag_not_found", "union_tag_invalid"):
        chain = values["chains"][location[1]]
        if isinstance(chain, Mapping) and "kind" in chain:
            location = (*location, "kind")
    return location


def _expected(details: ErrorDetails, values: Mapping[str, Any]) -> str:
    kind, context = details["type"], details.get("ctx", {})
    location = _location(details, values)
    if kind == "value_error":
        return str(context["error"])
    if kind == "extra_forbidden":
        return _unknown_key(location, values)
    if kind == "missing":
        field = _fields_at(location[:-1], values).get(str(location[-1]))
        return "missing key, expected: " + ((field.description if field else None) or "a value")
    if kind == "union_tag_not_found":
        return f"missing key kind, {KIND_EXPECTED}"
    if kind == "union_tag_invalid":
        return KIND_EXPECTED
    if kind == "literal_error":
        return "expected " + str(context["expected"]).replace("'", "")
    if kind in _EXPECTED_BOUND:
        name, text = _EXPECTED_BOUND[kind]
        bound = context[name]
        return text.format(f"{bound:.12g}" if isinstance(bound, float) else bound)
    return _EXPECTED_TYPE.get(kind) or f"expected another value: {details['msg']}"


def _unknown_key(location: Location, values: Mapping[str, Any]) -> str:
    known = list(_fields_at(location[:-1], values))
    near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.6)
    return "unknown key, " + (f"did you mean {near[0]}?" if near else f"expected one of {', '.join(sorted(known))}")


def _fields_at(location: Location, values: Mapping[str, Any]) -> Mapping[str, FieldInfo]:
    """The keys that the section at a location knows."""
    match location:
        case ():
            return Config.model_fields
        case ("stratum", "ports", _):
            return PortSection.model_fields
        case ("stratum", "limits"):
            return LimitsSection.model_fields
        case ("http", "limits"):
            return HttpLimitsSection.model_fields
        case (str(name),) if name in _SECTIONS:
            return _SECTIONS[name].model_fields
        case ("chains", _, "nodes", _):
            return NodeSection.model_fields
        case ("chains", _, "pplns"):
            return PplnsSection.model_fields
        case ("chains", _, "pps"):
            return PpsSection.model_fields
        case ("chains", _, "payouts"):
            return PayoutsSection.model_fields
        case ("chains", name):
            return CHAIN_KINDS[values["chains"][name]["kind"]].model_fields
    return {}
