"""A YAML file as plain values plus the line of every key, so that each mistake can be named where it stands.

The file is read with YAML 1.2 rules (`no` is text, `010` is ten) up to its node tree; the values are built here,
because the tree still knows every duplicate key and every line, which finished dictionaries do not.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, nodes
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.reader import ReaderError

Location = tuple[str | int, ...]  # the keys and list places that lead to a value: ("stratum", "ports", 0, "bind")

# A configuration has a few dozen entries. The limits stop a file of aliases to aliases from growing without end.
MAX_ENTRIES = 20_000
MAX_DEPTH = 20
MAX_FILE_BYTES = 1_000_000

_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]{0,127})\}")
_PREFIX = "tag:yaml.org,2002:"
_ALIAS_ADVICE = "expected quotes around text that starts with * or &"
_TAG_ADVICE = "expected quotes around text that starts with ! (YAML tags are not used here)"


def dotted(location: Location) -> str:
    """A location as people write it, on one line: stratum.ports.0.bind."""
    parts = (str(part)[:64] for part in location)
    return ".".join(part if part.isprintable() else ascii(part) for part in parts)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it stands (`line` counts from 1, `file` is None for the file that was asked for) and what was
    expected there. Never holds a value, because the value may be a password."""

    location: Location
    line: int
    expected: str
    file: Path | None = None


@dataclass(slots=True)
class Document:
    """The values of a file, the line of each location, and what was wrong with its form. `unusable` are locations
    whose value is a problem already; None stands there. `files` has the file of each location that an included file
    brought."""

    values: dict[str, Any] = field(default_factory=dict)
    unusable: set[Location] = field(default_factory=set)
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    files: dict[Location, Path] = field(default_factory=dict)

    def line_of(self, location: Location) -> int:
        """The line of a location, or of the nearest thing around it that the file has."""
        return self.lines.get(self._nearest(location), 1)

    def problem_at(self, location: Location, expected: str) -> Problem:
        """A mistake at a location, or where the nearest thing around it stands."""
        return Problem(location, self.line_of(location), expected, self.files.get(self._nearest(location)))

    def _nearest(self, location: Location) -> Location:
        for length in range(len(location), 0, -1):
            if location[:length] in self.lines:
                return location[:length]
        return ()


def read_document(path: Path) -> Document:
    """The file's values and lines. Never raises: an unreadable file is a document with one problem."""
    document = Document()
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        return _refused(document, 1, f"expected a readable file: {error.strerror or error}")
    if len(data) > MAX_FILE_BYTES:
        return _refused(document, 1, f"expected a file of at most {MAX_FILE_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _refused(document, data.count(b"\n", 0, error.start) + 1, "expected UTF-8 text")
    return read_text(text)


def read_text(text: str) -> Document:
    """Like `read_document`, for text at hand."""
    document = Document()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # YAML 1.2 allows it: the later one counts
            root = YAML(typ="rt", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return _refused(document, mark.line + 1 if mark is not None else 1, _yaml_problem(error))
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return _refused(document, line, "expected YAML without control characters")
    except YAMLError:
        return _refused(document, 1, "expected valid YAML")
    except RecursionError:
        return _refused(document, 1, f"expected at most {MAX_DEPTH} levels of nesting")
    if not isinstance(root, nodes.MappingNode):
        return _refused(document, 1, "expected a mapping of keys and values")
    _Builder(document).build(root)
    return document


def scalar_from_text(text: str) -> Any:
    """The value that a piece of YAML stands for (`8` a number, `true` a boolean, `[1, 2]` a list), as `--set` takes it.
    Text that is no YAML is taken as it is."""
    document = read_text("value: " + text)
    if document.problems or set(document.values) != {"value"}:
        return text
    return document.values["value"]


class _Builder:
    """Turns the node tree into plain values, noting lines and refusing what a configuration never needs."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._entries = 0

    def build(self, root: nodes.MappingNode) -> None:
        self._document.lines[()] = root.start_mark.line + 1
        self._document.values = self._mapping(root, ())

    def _problem(self, location: Location, node: nodes.Node, expected: str) -> None:
        self._document.problems.append(Problem(location, node.start_mark.line + 1, expected))

    def _no_value(self, location: Location, node: nodes.Node, expected: str) -> None:
        self._document.unusable.add(location)
        self._problem(location, node, expected)

    def _value(self, node: nodes.Node, location: Location) -> Any:
        self._entries += 1
        if len(location) > MAX_DEPTH or self._entries > MAX_ENTRIES:
            if self._entries <= MAX_ENTRIES + 1:
                self._no_value(location, node, f"expected at most {MAX_DEPTH} levels and {MAX_ENTRIES} entries")
            self._document.unusable.add(location)
            return None
        if isinstance(node, nodes.MappingNode) and _tag(node) == "map":
            return self._mapping(node, location)
        if isinstance(node, nodes.SequenceNode) and _tag(node) == "seq":
            return self._sequence(node, location)
        if isinstance(node, nodes.ScalarNode):
            try:
                return _scalar(node)
            except ValueError as error:
                self._no_value(location, node, str(error))
                return None
        self._no_value(location, node, _TAG_ADVICE)
        return None

    def _mapping(self, node: nodes.MappingNode, location: Location) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, nodes.ScalarNode) or _tag(key_node) in ("merge", "null"):
                self._problem(location, key_node, "expected a plain word as key (merge keys << are not supported)")
                continue
            key = str(key_node.value)
            here = (*location, key)
            if key in values:
                self._problem(here, key_node, f"duplicate key, first used on line {self._document.lines[here]}")
                continue
            self._document.lines[here] = key_node.start_mark.line + 1
            values[key] = self._value(value_node, here)
        return values

    def _sequence(self, node: nodes.SequenceNode, location: Location) -> list[Any]:
        values = []
        for place, item in enumerate(node.value):
            here = (*location, place)
            self._document.lines[here] = item.start_mark.line + 1
            values.append(self._value(item, here))
        return values


def _tag(node: nodes.Node) -> str:
    return str(node.tag).removeprefix(_PREFIX)


def _scalar(node: nodes.ScalarNode) -> Any:
    """Text, number, boolean or None. Dates and times stay text. Raises ValueError with advice for anything else."""
    tag, text = _tag(node), str(node.value)
    if tag in ("str", "timestamp"):
        return _with_environment(text)
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    if tag == "int":
        return _whole_number(text)
    if tag == "float":
        return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    raise ValueError(_TAG_ADVICE)


def _with_environment(text: str) -> str:
    """`${NAME}` stands for the environment's word of that name, `$${` for `${`. The result is text, whatever it looks
    like. Raises ValueError for a name that the environment does not have, which never shows a value."""
    return _VARIABLE.sub(_variable, text)


def _variable(found: re.Match[str]) -> str:
    name = found["name"]
    if name is None:
        return "${"
    if name not in os.environ:
        raise ValueError(f"expected the environment variable {name}, which is not set (write $${{ for a plain ${{)")
    return os.environ[name]


def _whole_number(text: str) -> int:
    """YAML 1.2 integers: decimal, 0x and 0o; `010` is ten."""
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2], 10)
    if len(digits) > 100:
        raise ValueError("expected a number of at most 100 digits")
    return sign * int(digits[2:] if base != 10 else digits, base)


def _yaml_problem(error: MarkedYAMLError) -> str:
    """What YAML itself objects to, without quoting the file: a password beginning with * reads as an alias."""
    problem = error.problem or "a mistake"
    if "alias" in problem or "anchor" in problem:
        return _ALIAS_ADVICE
    if "tag" in problem:
        return _TAG_ADVICE
    if "'\\t'" in problem:
        return "expected spaces: YAML takes no tab before a key"
    return f"expected valid YAML: {problem}"


def _refused(document: Document, line: int, expected: str) -> Document:
    document.problems.append(Problem((), line, expected))
    return document


def with_override(values: Any, path: Sequence[str], new_value: Any) -> Any:
    """A copy of `values` with the value at a dotted path replaced, made where it is missing; list places are numbers,
    the place behind the last one appends. Raises ValueError saying what was expected."""
    if not path:
        return new_value
    key, rest = path[0], path[1:]
    if values is None and key == "0":
        values = []
    if isinstance(values, list):
        if not (key.isascii() and key.isdigit()) or int(key) > len(values):
            raise ValueError(f"expected a place from 0 to {len(values)} in the list, not {key!r}")
        copy = [*values] if int(key) < len(values) else [*values, None]
        copy[int(key)] = with_override(copy[int(key)], rest, new_value)
        return copy
    if values is not None and not isinstance(values, Mapping):
        raise ValueError(f"expected a key of the configuration; {key!r} stands below a plain value")
    return {**(values or {}), key: with_override((values or {}).get(key), rest, new_value)}
