"""The calls of a node as one table: JSON-RPC, `help` and the documents all come from it. Pure.

A reading call is a function of the core and its parameters; a writing one becomes an event of the core (`Asked`), whose
effects hold the answer. A call of the process (peers, stopping) gets the process instead of the core. A call that waits
names a topic: it is looked at again whenever the core tells that topic, until its value is news or time is up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from chains.calls.errors import INVALID_PARAMETER, METHOD_NOT_FOUND, MISC, TYPE, CallError
from chains.primitives.hashes import from_displayed

LONGEST_WAIT_S = 600


class Access(Enum):
    READ = "read"
    WRITE = "write"  # needs credentials


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise CallError(TYPE, "expected an integer")
    return value


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise CallError(TYPE, "expected true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise CallError(TYPE, "expected a text")
    return value


def _hex(value: Any) -> bytes:
    if not isinstance(value, str):
        raise CallError(TYPE, "expected hex")
    try:
        data = bytes.fromhex(value)
    except ValueError:
        raise CallError(INVALID_PARAMETER, "expected hex") from None
    if len(data) * 2 != len(value):  # fromhex passes over blanks
        raise CallError(INVALID_PARAMETER, "expected hex")
    return data


def _hash(value: Any) -> bytes:
    if not isinstance(value, str):
        raise CallError(TYPE, "expected a hash: 64 hex digits")
    try:
        return from_displayed(value)
    except ValueError:
        raise CallError(INVALID_PARAMETER, "expected a hash: 64 hex digits") from None


def _key(value: Any) -> bytes:
    data = _hex(value)
    if len(data) != 32:
        raise CallError(INVALID_PARAMETER, "expected 32 bytes: 64 hex digits")
    return data


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise CallError(TYPE, "expected an array")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CallError(TYPE, "expected an object")
    return value


@dataclass(frozen=True, slots=True)
class ParameterType:
    name: str
    meaning: str
    read: Callable[[Any], Any]
    """From JSON to what the function gets. Raises CallError."""


INTEGER = ParameterType("integer", "a whole number", _integer)
BOOLEAN = ParameterType("boolean", "true or false", _boolean)
TEXT = ParameterType("text", "a string", _text)
HEX = ParameterType("hex", "bytes as hex, in their order", _hex)
HASH = ParameterType("hash", "32 bytes as displayed hex: reversed, as explorers show hashes", _hash)
KEY = ParameterType("key", "32 bytes as hex, in their order", _key)
ARRAY = ParameterType("array", "a JSON array", _array)
OBJECT = ParameterType("object", "a JSON object", _object)
TYPES = (INTEGER, BOOLEAN, TEXT, HEX, HASH, KEY, ARRAY, OBJECT)


class _Required(Enum):
    REQUIRED = 0


REQUIRED = _Required.REQUIRED


@dataclass(frozen=True, slots=True)
class Parameter:
    """`default` is the function's value when it is left out or null."""

    name: str
    type: ParameterType
    meaning: str
    default: Any = REQUIRED

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class Waited:
    """What a waiting call's function says: the value, and whether it is what the caller waits for."""

    value: Any
    is_news: bool


@dataclass(frozen=True, slots=True)
class Call:
    """`function(subject, *values)`: for a reading call the JSON result (of one that `waits`, a Waited); for a writing
    call of the core the parameters of its `Asked` (None: the values as they are), and `show` makes the JSON of its
    answer. With `of_process` the subject is the process and the result is the answer, whatever the access."""

    name: str
    doc: str
    access: Access
    parameters: tuple[Parameter, ...] = ()
    result: str = ""
    function: Callable[..., Any] | None = None
    show: Callable[[Any], Any] | None = None
    waits: str | None = None
    of_process: bool = False
    group: str = "node"

    def usage(self) -> str:
        """`name required ( optional )`."""
        words = [p.name if p.required else f"( {p.name} )" for p in self.parameters]
        return " ".join([self.name, *words])

    def values(self, given: Sequence[Any] | Mapping[str, Any]) -> tuple[Any, ...]:
        """The parameters of a request, by place or by name, as the function wants them. Raises CallError."""
        if isinstance(given, Mapping):
            unknown = set(given) - {parameter.name for parameter in self.parameters}
            if unknown:
                raise CallError(INVALID_PARAMETER, f"Unknown named parameter {sorted(unknown)[0]!a}")
            raw = [given.get(parameter.name) for parameter in self.parameters]
        else:
            if len(given) > len(self.parameters):
                raise CallError(MISC, self.usage())
            raw = [*given, *[None] * (len(self.parameters) - len(given))]
        return tuple(self._value(p, value) for p, value in zip(self.parameters, raw, strict=True))

    def _value(self, parameter: Parameter, value: Any) -> Any:
        if value is None:
            if parameter.required:
                raise CallError(MISC, self.usage())
            return parameter.default
        try:
            return parameter.type.read(value)
        except CallError as error:
            raise CallError(error.code, f"{parameter.name}: {error.message}") from None


WAIT_PARAMETER = Parameter("timeout_s", INTEGER, f"how long to wait, 1 to {LONGEST_WAIT_S}", 60)
"""The last parameter of a call that waits; its function does not get it."""


class CallTable:
    """The calls by name. A name that is there twice is a fault of the program."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self._calls: dict[str, Call] = {}
        for call in calls:
            assert call.name not in self._calls, f"two calls {call.name}"
            assert call.waits is None or call.parameters[-1:] == (WAIT_PARAMETER,), f"{call.name} has no timeout_s"
            assert call.function is not None or (call.access is Access.WRITE and not call.of_process), call.name
            self._calls[call.name] = call

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls.values())

    def __contains__(self, name: str) -> bool:
        return name in self._calls

    def find(self, name: str) -> Call:
        """Raises CallError."""
        call = self._calls.get(name)
        if call is None:
            raise CallError(METHOD_NOT_FOUND, "Method not found")
        return call

    def groups(self) -> dict[str, list[Call]]:
        found: dict[str, list[Call]] = {}
        for call in self._calls.values():
            found.setdefault(call.group, []).append(call)
        return found
