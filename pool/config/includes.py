"""`include`: one configuration out of several files, each key with the file and line where it stands.

A file's own keys come first, then those of the files it includes, in the order in which it names them (a pattern's
files by their names). Sections are merged key by key, lists go on where the file before left off, and a plain value
stands in one file only. An included file may include others. What is wrong in a file is told with that file's name.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pool.config.lines import Document, Location, Problem, dotted, read_document

KEY = "include"
# A pool has some ten chains. The limits stop a pattern over the wrong folder, and files that name each other.
MAX_FILES = 100
MAX_LEVELS = 5

_LIST_EXPECTED = "expected a list of files or patterns, such as [chains/*.yaml]"


def read_files(path: Path) -> tuple[Document, list[Path]]:
    """The values of a file with all it includes, and the files in the order of reading, `path` first. Never raises:
    a file that cannot be read is a problem of the document, which then has no `lines`, because what that file would
    have brought is not to be told as missing."""
    reader = _Reader()
    document = reader.read(path)
    if reader.incomplete:
        document.lines.clear()
    return document, reader.files


def parts_of(path: Path) -> dict[Path, list[str]]:
    """The sections, and the chains by name, that each file of a configuration brings; the file asked for is first."""
    document, files = read_files(path)
    parts: dict[Path, list[str]] = {file: [] for file in files}
    for location in document.lines:
        depth = 2 if location[:1] == ("chains",) else 1
        if len(location) == depth and location[0] != KEY:
            parts[document.files.get(location, path)].append(dotted(location))
    return parts


class _Reader:
    """One reading. `incomplete` once a file could not be taken in; `files` are those that were tried, in order."""

    def __init__(self) -> None:
        self.incomplete = False
        self.files: list[Path] = []
        self._named_at: dict[str, str] = {}  # by the file's real path

    def read(self, path: Path, above: tuple[str, ...] = ()) -> Document:
        """A file with all that it includes; `above` are the real paths of the files that led to it."""
        self.files.append(path)
        document = read_document(path)
        if not document.lines:
            self.incomplete = True
            return document
        levels = (*above, os.path.realpath(path))
        included = _included(document)
        if included is None:
            self.incomplete = True
            document.problems.append(document.problem_at((KEY,), _LIST_EXPECTED))
            return document
        if above:  # the whole keeps the list of the file that was asked for
            document.values.pop(KEY, None)
        for place, pattern in enumerate(included):
            location: Location = (KEY, place)
            named_at = f"{path}:{document.line_of(location)}"
            try:
                for file in _matching(path.parent, pattern):
                    self._take_note(file, levels, named_at)
                    _merge(document, path, self.read(file, levels), file)
            except _RefusedError as refused:
                self.incomplete = True
                document.problems.append(Problem(location, document.line_of(location), str(refused)))
        return document

    def _take_note(self, file: Path, above: tuple[str, ...], named_at: str) -> None:
        """Raises _RefusedError for a file that is not to be read here."""
        real, shown = os.path.realpath(file), _shown(str(file))
        if real in above:
            circle = " → ".join(_shown(os.path.basename(name)) for name in (*above[above.index(real) :], real))
            raise _RefusedError(f"expected files that do not include themselves, this is a circle: {circle}")
        if real in self._named_at:
            raise _RefusedError(f"expected each file once, {shown} is included at {self._named_at[real]} already")
        if len(above) > MAX_LEVELS or len(self.files) > MAX_FILES:
            raise _RefusedError(f"expected at most {MAX_LEVELS} levels and {MAX_FILES} files, {shown} is beyond them")
        try:
            with file.open("rb"):
                self._named_at[real] = named_at
        except OSError as error:
            raise _RefusedError(f"expected a readable file: {shown}: {error.strerror or error}") from error


class _RefusedError(Exception):
    """Why a file is not included."""


def _included(document: Document) -> list[str] | None:
    """What a file includes, nothing without the key; None for what is no list of names."""
    included = document.values.get(KEY, [])
    good = isinstance(included, list) and all(
        isinstance(name, str) and name and "\x00" not in name for name in included
    )
    return included if good else None


def _matching(folder: Path, pattern: str) -> Iterator[Path]:
    """The files that a name or a pattern means, seen from the folder of the file that names it. Raises _RefusedError
    for a pattern that means nothing: a misspelt folder must not take its chains out."""
    if (folder / pattern).exists() or not glob.has_magic(pattern):
        yield folder / pattern
        return
    names = sorted(name for name in glob.glob(pattern, root_dir=folder) if not (folder / name).is_dir())
    if not names:
        raise _RefusedError(f"expected at least one file like {_shown(str(folder / pattern))}")
    for name in names:
        yield folder / name


def _merge(document: Document, path: Path, other: Document, file: Path) -> None:
    """Put what `file` brought into the document of `path`, which is there before it."""
    moved: dict[Location, int] = {}  # the lists that go on, and by how many places

    def merged(here: Any, there: Any, location: Location) -> Any:
        if here is None and (there is None or isinstance(there, dict | list)):
            return there
        if there is None and isinstance(here, dict | list):
            return here
        if isinstance(here, dict) and isinstance(there, dict):
            both = [key for key in there if key in here]
            return {**here, **there, **{key: merged(here[key], there[key], (*location, key)) for key in both}}
        if isinstance(here, list) and isinstance(there, list):
            moved[location] = len(here)
            return here + there
        first = document.problem_at(location, "")
        text = f"duplicate key, first used at {first.file or path}:{first.line}"
        document.problems.append(_with_file(other.problem_at(location, text), file))
        return here

    document.values = merged(document.values, other.values, ())
    for location, line in other.lines.items():
        place = _moved(location, moved)
        if place not in document.lines:
            document.lines[place] = line
            document.files[place] = other.files.get(location, file)
    document.unusable |= {_moved(location, moved) for location in other.unusable}
    for problem in other.problems:
        document.problems.append(_with_file(replace(problem, location=_moved(problem.location, moved)), file))


def _with_file(problem: Problem, file: Path) -> Problem:
    return problem if problem.file is not None else replace(problem, file=file)


def _moved(location: Location, moved: dict[Location, int]) -> Location:
    """A location of one file in the whole, where lists of several follow each other."""
    for length in range(1, len(location)):
        place = location[length]
        if location[:length] in moved and isinstance(place, int):
            return (*location[:length], place + moved[location[:length]], *location[length + 1 :])
    return location


def _shown(text: str) -> str:
    """A name as it may stand in one line."""
    return text if text.isprintable() else ascii(text)
