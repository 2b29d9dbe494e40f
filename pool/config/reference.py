"""The reference page of the configuration, printed from the models: docs/reference/configuration.md.

A test compares the page with the models, so it cannot fall behind.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from pool.config.bk_chain import BkChain
from pool.config.chains import AuxpowChain, BitcoinChain, Mm2Chain, NodeSection, PplnsSection, PpsSection
from pool.config.http import HttpLimitsSection
from pool.config.miner_notices import MinerNoticesSection
from pool.config.models import (
    Config,
    HttpSection,
    LimitsSection,
    LogSection,
    PoolSection,
    PortSection,
    Section,
    StratumSection,
)
from pool.config.notifications import NotificationSection
from pool.config.operator import OperatorSection
from pool.config.parallel_chain import ParallelChain
from pool.config.payouts import PayoutsSection
from pool.config.ports import TlsSection
from pool.config.transport import BooksSection, TransportSection

_HEAD = """# Configuration

This page is printed from the program: `pool check-config --reference`.

A pool process reads one YAML file: `pool run -c FILE`. `pool check-config -c FILE` names every mistake at once, as
`FILE:LINE: key: what was expected`. Any value can be replaced on the command line by its dotted key, places in lists
counting from 0: `--set stratum.ports.0.bind=127.0.0.1:3334`.

- The file is YAML 1.2: `yes`, `no` and `off` are text, `010` is ten, a key may stand only once.
- Unknown keys are mistakes, and nothing is converted: a number in quotes is text.
- Relative paths count from the working directory of the process; those of `include` from the file that names them.
- Passwords are best kept in files (`password_file`, `cookie_file`); no message or log line shows one. A file of a
  secret that everybody on the machine can read is refused.
- Names ending in `_s` are seconds, in `_ppm` parts per million, in `_bytes` bytes.
- One process has one parent chain; every auxpow chain has the parent's proof-of-work hash; bk and
  parallel need SHA-256d.

Working examples: `deploy/devnet.yaml` (every kind, on this machine), `deploy/bitcoin-namecoin.yaml` (real nodes) and
`deploy/two-chains.yaml` (the same, and nothing but what has no default).
"""

# Where each section stands in the file, and what to read above its table.
_SECTIONS: tuple[tuple[str, type[Section], str], ...] = (
    ("The file", Config, ""),
    ("pool", PoolSection, ""),
    ("stratum", StratumSection, ""),
    ("stratum.ports[]", PortSection, "minimum_difficulty ≤ start_difficulty ≤ maximum_difficulty."),
    ("stratum.ports[].tls", TlsSection, ""),
    ("stratum.limits", LimitsSection, ""),
    ("http", HttpSection, ""),
    ("http.limits", HttpLimitsSection, ""),
    ("operator", OperatorSection, ""),
    ("transport", TransportSection, ""),
    ("books", BooksSection, ""),
    ("log", LogSection, ""),
    ("notifications[]", NotificationSection, ""),
    ("miner_notices", MinerNoticesSection, ""),
    (
        "chains.NAME with kind bitcoin",
        BitcoinChain,
        "NAME has 1 to 32 characters out of `a-z`, `0-9`, `_` and `-`, and is not `d`.",
    ),
    ("chains.NAME with kind auxpow", AuxpowChain, ""),
    ("chains.NAME with kind mm2", Mm2Chain, ""),
    ("chains.NAME with kind bk", BkChain, ""),
    ("chains.NAME with kind parallel", ParallelChain, ""),
    ("chains.NAME.nodes[]", NodeSection, ""),
    ("chains.NAME.pplns", PplnsSection, ""),
    ("chains.NAME.pps", PpsSection, ""),
    (
        "chains.NAME.payouts",
        PayoutsSection,
        "Secrets come from files or the environment, never from this file; docs/operating/paying-out.md.",
    ),
)


def reference_page() -> str:
    """The whole page, Markdown."""
    parts = [_HEAD]
    for title, model, note in _SECTIONS:
        parts.append(f"\n## {title}\n\n{_one_line(model.__doc__ or '')}{' ' + note if note else ''}\n\n")
        parts.append("| key | value | default | meaning |\n|---|---|---|---|\n")
        fields = sorted(model.model_fields.items(), key=lambda item: item[0] != "kind")
        parts.extend(_row(name, field) for name, field in fields)
    return "".join(parts)


def _row(name: str, field: FieldInfo) -> str:
    cells = (f"`{name}`", _type_text(field.annotation, list(_bounds(field))), _default(field), field.description or "")
    return "| " + " | ".join(_one_line(cell).replace("|", "\\|") for cell in cells) + " |\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _bounds(field: FieldInfo) -> Iterator[str]:
    yield from _bounds_of(field.metadata)


def _bounds_of(metadata: typing.Iterable[Any]) -> Iterator[str]:
    for rule in metadata:
        if isinstance(rule, FieldInfo):
            yield from _bounds_of(rule.metadata)
        for attribute, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            bound = getattr(rule, attribute, None)
            if bound is not None:
                yield f"{sign} {_number(bound)}"


def _number(value: float) -> str:
    if isinstance(value, float) and 0 < value < 1e-6:
        return f"{value:.3g}"
    return f"{value:,.12g}" if isinstance(value, float) else f"{value:,}"


def _type_text(annotation: Any, bounds: list[str]) -> str:
    """The kind of value for people: `whole number, ≥ 0, ≤ 1,000,000`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(arguments[0], [*_bounds_of(arguments[1:]), *bounds])
    if origin in (Union, UnionType):
        kinds = [_type_text(member, bounds) for member in arguments if member is not NoneType]
        return " or ".join(dict.fromkeys(kinds))
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in arguments)
    if origin is tuple:
        return "list of sections" if _is_section(arguments[0]) else f"list of {_type_text(arguments[0], [])}"
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        plain = isinstance(arguments[1], UnionType) or get_origin(arguments[1]) is Literal
        return "mapping" if plain else "sections by name"
    if _is_section(annotation):
        return "section"
    names = {str: "text", bool: "`true` or `false`", int: "whole number", float: "number", Path: "path"}
    names |= {SecretStr: "text", Fraction: "number, > 0, ≤ 1,000"}
    return ", ".join([names[annotation], *bounds])


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or isinstance(value, BaseModel):
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(str(m) if isinstance(m, str) else f'{m:g}' for m in value)}]`"
    if isinstance(value, int | float | Fraction):
        return f"`{float(value):.12g}`"
    return f"`{value}`"
