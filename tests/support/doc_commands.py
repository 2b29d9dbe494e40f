"""The commands that the documents show, with what they show below each: everything a reader would type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = (
    "README.md", "docs/*.md", "docs/concepts/*.md", "docs/operating/*.md", "docs/protocol/*.md", "docs/reference/*.md",
    "deploy/**/README*.md",
)  # fmt: skip

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\s*$")
_HEREDOC = re.compile(r"<<'(\w+)'\s*$")
_SHELL = ("sh", "bash", "shell", "console")
# A block without a language and without prompts is of commands when its first line begins with one of these.
_TYPED = re.compile(
    r"(pool|make|apt|cp|mkdir|promtool|systemctl|sqlite3|touch|curl|alembic|deploy/\S+\.sh|\.venv/\S+) "
)


@dataclass(slots=True)
class DocCommand:
    """One command: `text` as it is typed, without its prompt; `shown` are the lines that the document has below it;
    `before` are functions that the same block defines first."""

    file: str
    line: int
    text: str
    before: str = ""
    shown: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


def documents() -> list[str]:
    """The documents that a reader types from, those that show commands."""
    paths = sorted({path for place in PLACES for path in ROOT.glob(place)})
    return [name for path in paths if list(commands_of(name := str(path.relative_to(ROOT))))]


def commands_of(file: str) -> Iterator[DocCommand]:
    """The commands of a document in their order."""
    for language, first, lines in _blocks((ROOT / file).read_text().splitlines()):
        yield from _commands(file, language, first, lines)


def _blocks(lines: list[str]) -> Iterator[tuple[str, int, list[str]]]:
    """Language, number of the first line and the lines of each fenced block."""
    opened: tuple[str, str, int] | None = None
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if opened is None and fence is not None:
            opened = (fence["indent"], fence["language"], number + 1)
        elif opened is not None and line.strip() == "```":
            indent, language, first = opened
            yield language, first, [text.removeprefix(indent) for text in lines[first - 1 : number - 1]]
            opened = None
    assert opened is None, f"a block is not closed: line {opened}"


def _commands(file: str, language: str, first: int, lines: list[str]) -> Iterator[DocCommand]:
    if language and language not in _SHELL:
        return
    prompt = next((sign for sign in ("$ ", "# ") if lines and lines[0].startswith(sign)), "")
    if not prompt and not language and not (lines and _TYPED.match(lines[0])):
        return
    command: DocCommand | None = None
    before, ends_with = "", ""
    for number, line in enumerate(lines, first):
        if command is not None and ends_with:
            command.text += "\n" + line
            ends_with = "" if line == ends_with else ends_with
        elif command is not None and command.text.endswith("\\"):
            command.text = command.text[:-1] + line.strip()
        elif line.startswith(prompt) and line.strip() and (prompt or not line.startswith("#")):
            text = line.removeprefix(prompt)
            if re.match(r"\w+\(\) *{", text):
                before += text + "\n"
                continue
            if command is not None:
                yield command
            command = DocCommand(file, number, text, before)
            heredoc = _HEREDOC.search(text)
            ends_with = heredoc[1] if heredoc else ""
        elif command is not None:
            command.shown.append(line)
    if command is not None:
        yield command
