"""The forms of single values in the configuration: addresses to listen on, URLs, paths, exact numbers, names.

Each form is a type for pool/config/models.py whose refusal says what was expected, never what was found.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from chains.auxpow.params import DIALECTS, Dialect
from pool.shares.scheme import SCHEMES, Scheme

# Above this a Stratum difficulty leaves the range in which doubles, as miners use them, are exact enough.
HIGHEST_DIFFICULTY = 2.0**30
LOWEST_DIFFICULTY = 2.0**-40
PPM = 1_000_000
# A chain may not be called `d`, because `d=8` in a miner's password asks for a difficulty.
RESERVED_CHAIN_NAMES = frozenset({"d"})
_CHAIN_NAME = re.compile(r"[a-z0-9_-]{1,32}")
_URL = re.compile(r"(?i)https?://(?:\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(?::(?P<port>\d{1,5}))?(?:/[^\s?#@]*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def parse_bind(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; an IPv6 address stands in brackets. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535
    if not colon or not host or not is_port or (":" in host and not bracketed) or re.search(r"[\s/@]", host):
        raise ValueError("expected HOST:PORT with a port from 1 to 65535, such as 127.0.0.1:3333 or [::1]:3333")
    return host.strip("[]") if bracketed else host, int(port)


def _check_bind(text: str) -> str:
    parse_bind(text)
    return text


def _check_plain(text: str) -> str:
    if not text or _CONTROL.search(text):
        raise ValueError("expected text without control characters, not empty")
    return text


def _check_tag(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("expected text without control characters")
    return text


def _check_url(text: str) -> str:
    """A URL has no user or password in it: it appears in log lines and on the status page."""
    match = _URL.fullmatch(text)
    if match is None or (match["port"] and not 0 < int(match["port"]) <= 65535):
        raise ValueError("expected http://HOST:PORT or https://HOST:PORT (user and password have keys of their own)")
    return text


def _check_zmq(text: str) -> str:
    if not re.fullmatch(r"(tcp://[^\s/@]+:\d{1,5}|ipc://\S+)", text):
        raise ValueError("expected tcp://HOST:PORT or ipc://PATH, as the node's -zmqpubhashblock has it")
    return text


def _check_stratum_url(text: str) -> str:
    scheme, separator, place = text.partition("://")
    if not separator or scheme not in ("stratum+tcp", "stratum+ssl"):
        raise ValueError("expected stratum+tcp://HOST:PORT or stratum+ssl://HOST:PORT")
    parse_bind(place)
    return text


def _check_environment_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", text):
        raise ValueError("expected the name of an environment variable")
    return text


def _check_context(text: str) -> str:
    _check_plain(text)
    if len(text.encode()) > 255:
        raise ValueError("expected at most 255 bytes of text")
    return text


# Keys of a dialect mapping and the Python type of each.
DIALECT_KEYS: dict[str, type] = {field.name: type(field.default) for field in dataclasses.fields(Dialect)}


def _check_dialect(value: Any) -> Any:
    """A dialect's name, or a mapping of some of a dialect's own keys."""
    if isinstance(value, str) and value in DIALECTS:
        return value
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"expected {' or '.join(DIALECTS)}, or a mapping of the words that differ")
    for key, word in value.items():
        if key not in DIALECT_KEYS:
            raise ValueError(f"expected keys out of {', '.join(DIALECT_KEYS)}, not {key[:64]!a}")
        if type(word) is not DIALECT_KEYS[key] or word == "":
            kinds = {str: "a word", int: "a whole number", bool: "true or false"}
            raise ValueError(f"expected {kinds[DIALECT_KEYS[key]]} as {key}")
    return value


def _check_port_scheme(value: Any) -> Any:
    """One scheme for every chain, or a mapping of chains to schemes; names of chains are checked by a wider rule."""
    members = list(value.values()) if isinstance(value, Mapping) else [value]
    if not members or not all(isinstance(member, str) and member in SCHEMES for member in members):
        raise ValueError(f"expected {' or '.join(SCHEMES)}, or a mapping of chains to one of them")
    return value


def _check_chain_name(name: str) -> str:
    if not _CHAIN_NAME.fullmatch(name):
        raise ValueError("expected a chain name of 1 to 32 characters out of a-z, 0-9, _ and -")
    if name in RESERVED_CHAIN_NAMES:
        raise ValueError("a chain may not be named d: d=8 in a miner's password asks for a difficulty")
    return name


def _to_path(value: Any) -> Any:
    if not isinstance(value, str) or not value or "\x00" in value:
        raise ValueError("expected a path")
    return Path(value)


def _to_fraction(value: Any) -> Any:
    """The exact rational that the digits say: 0.1 is a tenth, not the nearest double."""
    if isinstance(value, Fraction):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not 0 < value <= 1000:
        raise ValueError("expected a number over 0, at most 1000")
    return Fraction(str(value))


def as_tuple(value: Any) -> Any:
    """Lists become tuples, so that a loaded configuration cannot change; anything else stays and is refused."""
    if not isinstance(value, list | tuple):
        raise ValueError("expected a list")
    return tuple(value)


Bind = Annotated[str, AfterValidator(_check_bind)]
HostPort = Bind
"""A place elsewhere, in the same form."""
PlainText = Annotated[str, AfterValidator(_check_plain)]
FilePath = Annotated[Path, BeforeValidator(_to_path, json_schema_input_type=str)]
ExactNumber = Annotated[
    Fraction,
    BeforeValidator(_to_fraction),
    PlainSerializer(float, return_type=float),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 1000}),
]
Difficulty = Annotated[float, Field(ge=LOWEST_DIFFICULTY, le=HIGHEST_DIFFICULTY, allow_inf_nan=False)]
FeePpm = Annotated[int, Field(ge=0, le=PPM)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
ChainName = Annotated[str, AfterValidator(_check_chain_name)]
Tag = Annotated[str, AfterValidator(_check_tag)]
NodeUrl = Annotated[str, AfterValidator(_check_url)]
ZmqAddress = Annotated[str, AfterValidator(_check_zmq)]
StratumUrl = Annotated[str, AfterValidator(_check_stratum_url)]
EnvironmentName = Annotated[str, AfterValidator(_check_environment_name)]
ContextName = Annotated[str, AfterValidator(_check_context)]
PortScheme = Annotated[Scheme | Mapping[str, Scheme], BeforeValidator(_check_port_scheme)]
DialectName = Annotated[str | Mapping[str, str | int | bool], BeforeValidator(_check_dialect)]
