"""Loading the configuration: all mistakes at once, each with its line, or a `Config` that nothing can change.

The three steps: read the file and those it includes (pool/config/includes.py), lay the `--set` overrides over it, check
the keys one by one (pool/config/models.py) and against each other (pool/config/checks.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pool.config.bk_chain import BkChain
from pool.config.chains import AuxpowChain, BitcoinChain, ChainSection, Mm2Chain, NodeSection, PplnsSection
from pool.config.checks import mistakes
from pool.config.includes import KEY as INCLUDE
from pool.config.includes import read_files
from pool.config.lines import Document, Location, Problem, dotted, scalar_from_text, with_override
from pool.config.messages import findings
from pool.config.models import Config, HttpSection, LimitsSection, PoolSection, PortSection, StratumSection
from pool.config.parallel_chain import ParallelChain

__all__ = [
    "AuxpowChain",
    "BitcoinChain",
    "BkChain",
    "ChainSection",
    "Config",
    "ConfigError",
    "HttpSection",
    "LimitsSection",
    "Mm2Chain",
    "NodeSection",
    "ParallelChain",
    "PoolSection",
    "PortSection",
    "PplnsSection",
    "StratumSection",
    "load",
]


class ConfigError(Exception):
    """A configuration that cannot be used; `lines` are `FILE:LINE: key: what was expected`, one per mistake. No line
    holds a value that could be a secret."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def load(path: str | Path, overrides: Mapping[str, str] | None = None) -> Config:
    """The configuration in a YAML file, with values replaced by dotted key (`{"http.bind": "127.0.0.1:8081"}`).
    Raises ConfigError with every mistake found."""
    path = Path(path)
    document, files = read_files(path)
    places = {file: number for number, file in enumerate(files)}

    def place_of(problem: Problem) -> tuple[int, int]:
        return places.get(problem.file or path, 0), problem.line

    if not document.lines:  # a file is missing or not even a mapping: nothing else to be found
        raise ConfigError([_file_line(path, problem) for problem in sorted(document.problems, key=place_of)])
    laid_over: dict[Location, str] = {}
    refused = _lay_over(document, overrides or {}, laid_over)
    config, found = _validate(document)
    if _take_as_text(document, laid_over, overrides or {}, found):
        config, found = _validate(document)
    wanted = [(location, text) for location, _, text in found if location not in document.unusable]
    seen = {location for location, _, _ in found}
    wanted += [(location, text) for location, text in mistakes(document.values) if location not in seen]
    problems = document.problems + [document.problem_at(location, text) for location, text in wanted]
    if not problems and not refused and config is not None:
        return config
    in_file, in_overrides = [], list(refused)
    for problem in sorted(problems, key=place_of):
        key = _override_of(problem.location, laid_over)
        if key is None:
            in_file.append(_file_line(path, problem))
        else:
            in_overrides.append(_override_line(key, problem))
    raise ConfigError(in_file + in_overrides)


def _validate(document: Document) -> tuple[Config | None, list[tuple[Location, str, str]]]:
    try:
        return Config.made_of(document.values), []
    except ValidationError as error:
        return None, findings(error, document.values)


def _lay_over(document: Document, overrides: Mapping[str, str], laid_over: dict[Location, str]) -> list[str]:
    """Put the overrides into the document, and their keys by location into `laid_over`; the lines about those that have
    no place in it."""
    refused = []
    for key, text in overrides.items():
        path = key.split(".")
        try:
            if not all(path):
                raise ValueError("expected a dotted key, such as http.bind or stratum.ports.0.bind")
            if path[0] == INCLUDE:
                raise ValueError("files are included by the file, not here")
            document.values = with_override(document.values, path, scalar_from_text(text))
        except ValueError as error:
            refused.append(f"--set {key}: {error}")
        else:
            laid_over[_location_of(document.values, path)] = key
    return refused


def _location_of(values: Any, path: list[str]) -> Location:
    """A dotted path with numbers where it leads through lists."""
    location: list[str | int] = []
    for part in path:
        step: str | int = int(part) if isinstance(values, list) else part
        location.append(step)
        values = values[step]
    return tuple(location)


def _take_as_text(
    document: Document,
    laid_over: Mapping[Location, str],
    overrides: Mapping[str, str],
    found: list[tuple[Location, str, str]],
) -> bool:
    """On a command line `password=1234` means text where the key wants text; whether any override was changed so."""
    changed = False
    for location, kind, _ in found:
        if kind == "string_type" and location in laid_over:
            key = laid_over[location]
            document.values = with_override(document.values, key.split("."), overrides[key])
            changed = True
    return changed


def _override_of(location: Location, laid_over: Mapping[Location, str]) -> str | None:
    """The override that a location is part of, the longest if several are."""
    for length in range(len(location), 0, -1):
        if location[:length] in laid_over:
            return laid_over[location[:length]]
    return None


def _file_line(path: Path, problem: Problem) -> str:
    return f"{problem.file or path}:{problem.line}: {dotted(problem.location) or 'file'}: {problem.expected}"


def _override_line(key: str, problem: Problem) -> str:
    inside = dotted(problem.location).removeprefix(key).removeprefix(".")
    return f"--set {key}: {inside + ': ' if inside else ''}{problem.expected}"
