"""The documents against the program: links lead somewhere, commands exist, alarms are explained, pictures are whole."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest
from click.testing import CliRunner

from pool.cli.commands import commands
from pool.verify import verify_file

ROOT = Path(__file__).parents[2]
NOT_OURS = {".git", ".venv", "node_modules", ".bcoin", "data", "build", "dist", ".pytest_cache", ".hypothesis"}
SOURCES = ("pool", "chains", "stratum")

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"``.+?``|`[^`]*`")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
# A command as it is typed: at the start of a line or of a code span, perhaps with a prompt or its folder before it.
COMMAND = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?pool (-.+|[a-z-]+(?: .+)?)$")
PLACEHOLDER = re.compile(r"%(?:\.\d+)?[sdrg]")


def files(pattern: str) -> list[Path]:
    return sorted(p for p in ROOT.rglob(pattern) if not NOT_OURS & set(p.relative_to(ROOT).parts))


MARKDOWN = files("*.md")
PICTURES = files("*.svg")
NAMES = [str(path.relative_to(ROOT)) for path in MARKDOWN]


def prose(path: Path) -> str:
    """The text without code, in which links count."""
    return CODE.sub("", FENCE.sub("", path.read_text()))


def anchors(path: Path) -> set[str]:
    """The headings' anchors as GitHub makes them: lower case, no punctuation, hyphens, a number for a second one."""
    found: dict[str, int] = {}
    names = set()
    for title in HEADING.findall(FENCE.sub("", path.read_text())):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").lower()
        name = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = found[name] = found.get(name, -1) + 1
        names.add(f"{name}-{count}" if count else name)
    return names


def shown_commands() -> Iterator[tuple[str, str]]:
    """(file, words behind `pool`) of every command that a document shows."""
    for path in MARKDOWN:
        text = path.read_text()
        lines = [line for block in FENCE.findall(text) for line in block.splitlines()]
        lines += [span.strip("`") for span in CODE.findall(FENCE.sub("", text))]
        for line in lines:
            match = COMMAND.match(line.strip())
            if match is not None:
                yield str(path.relative_to(ROOT)), match[1]


def parsed_sources() -> Iterator[tuple[str, ast.Module]]:
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def as_format(node: ast.AST) -> str | None:
    """A plain or an f-string as a %-format; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(as_format(part) or "%s" for part in node.values)
    return None


def alarms() -> set[tuple[str, str]]:
    """(file, format) of every text in the program that begins with `alarm:`."""
    found = set()
    for file, tree in parsed_sources():
        parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            text = as_format(node)
            if text is not None and id(node) not in parts and text.startswith("alarm:"):
                found.add((file, text))
    return found


def logged_errors() -> set[tuple[str, str]]:
    """(file, format) of every message that the program logs as an error or worse."""
    found = set()
    for file, tree in parsed_sources():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            owner, text = node.func.value, as_format(node.args[0])
            logs = isinstance(owner, ast.Name) and owner.id in ("log", "logger")
            if logs and node.func.attr in ("error", "critical", "exception"):
                assert text is not None, f"{file}:{node.lineno}: the message is no plain text"
                found.add((file, text))
    return found - {(file, text) for file, text in found if text == "%s"}  # its text is made elsewhere


def pattern_of(message: str) -> str:
    """What finds a message on the page: any words for its values, the pairs at its end left out."""
    sentence = re.split(r" \w+=%", message)[0]
    return ".+?".join(re.escape(part) for part in PLACEHOLDER.split(sentence))


def test_docs_there_are_documents_and_pictures() -> None:
    assert {"README.md", "docs/start.md", "docs/architecture.md", "docs/operating/log.md"} <= set(NAMES)
    assert PICTURES


@pytest.mark.parametrize("path", MARKDOWN, ids=NAMES)
def test_docs_every_relative_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    broken = []
    for target in LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        leads = file.is_relative_to(ROOT) and file.exists() and (not anchor or anchor in anchors(file))
        if not leads:
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("path", MARKDOWN, ids=NAMES)
def test_docs_name_no_place_outside_of_the_repository(path: Path) -> None:
    """What the text refers to is here; absolute paths are those of an operator's machine."""
    allowed = ("/var/lib/", "/etc/", "/tmp/", "/backup/", "/opt/parapool")
    paths = re.findall(r"(?<![\w./~<:)-])/(?:work|home|root|opt|usr|mnt|srv|Users)/\S*", path.read_text())
    assert [found for found in paths if not found.startswith(allowed)] == []


def test_docs_every_pool_command_exists() -> None:
    seen = set()
    for file, words in shown_commands():
        command: click.Command = commands
        left = shlex.split(words, comments=True)
        while isinstance(command, click.Group) and left and not left[0].startswith("-") and left[0] != "…":
            name = left.pop(0)
            assert name in command.commands, f"{file}: `pool {words}`: there is no {name!r}"
            command = command.commands[name]
            seen.add(name)
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        options |= {"-h", "--help"}
        for word in left:
            if re.match(r"--?[a-zA-Z]", word):
                assert word.partition("=")[0] in options, f"{file}: `pool {words}`: there is no {word}"
    assert {"run", "check-config", "mine", "verify", "devnet", "node"} <= seen


def test_docs_the_readme_is_one_screen_and_holds_both_commands() -> None:
    text = (ROOT / "README.md").read_text()
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for name in ("demo", "test"):
        assert f"make {name}" in text
        assert name in targets
    assert len(text.splitlines()) <= 50


def test_docs_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in MARKDOWN:
        code = "\n".join([*FENCE.findall(path.read_text()), *CODE.findall(FENCE.sub("", path.read_text()))])
        for name in re.findall(r"(?:^|[`$]) ?(?:[A-Z_]+=\S+ )*make ([a-z]+)\b", code, re.MULTILINE):
            assert name in targets, f"{path}: make {name}"


def test_docs_every_alarm_and_error_is_explained() -> None:
    """docs/operating/log.md has a row for each; where the program puts a value in, the page may have any words."""
    rows = [line for line in (ROOT / "docs/operating/log.md").read_text().splitlines() if line.startswith("| `")]
    messages = alarms() | logged_errors()
    assert len(messages) >= 15
    missing = [
        f"{file}: {message}"
        for file, message in sorted(messages)
        if not any(re.search(pattern_of(message), row) for row in rows)
    ]
    assert missing == [], "write a row in docs/operating/log.md: what happened, what to do"


def test_docs_every_alarm_on_the_page_exists() -> None:
    told = re.findall(r"^\| `(alarm: [^`]+)`", (ROOT / "docs/operating/log.md").read_text(), re.MULTILINE)
    patterns = [pattern_of(message) for _, message in alarms()]
    assert [line for line in told if not any(re.match(pattern, line) for pattern in patterns)] == []
    assert len(told) == len(patterns) >= 5


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_docs_a_picture_is_well_formed_and_says_what_it_shows(path: Path) -> None:
    root = ElementTree.fromstring(path.read_text())
    space = {"svg": "http://www.w3.org/2000/svg"}
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    left, top, width, height = (float(number) for number in root.attrib["viewBox"].split())
    assert (left, top) == (0, 0)
    assert width > 0 and height > 0
    for name in ("title", "desc"):
        assert (root.findtext(f"svg:{name}", namespaces=space) or "").strip()
    references = set(re.findall(r"url\(#([\w-]+)\)", path.read_text()))
    assert references <= {element.attrib["id"] for element in root.iter() if "id" in element.attrib}
    for text in root.iterfind(".//svg:text", space):
        assert 0 <= float(text.attrib["x"]) <= width
        assert 0 <= float(text.attrib["y"]) <= height


def test_docs_each_example_verifies_as_the_tutorial_says() -> None:
    examples = ROOT / "docs/examples"
    assert verify_file("auxpow", examples / "auxpow-namecoin.json") == (0, "ok")
    assert verify_file("mm2", examples / "mm2-proof.json") == (0, "ok")
    assert verify_file("mm2", examples / "mm2-wrong-side.json") == (1, "side-bits-not-prefix")


def test_docs_the_example_of_a_real_chain_needs_addresses_and_nothing_else() -> None:
    result = CliRunner().invoke(commands, ["check-config", "-c", str(ROOT / "deploy/bitcoin-namecoin.yaml")])
    mistakes = [line.partition(": ")[2] for line in result.output.splitlines()]
    assert result.exit_code == 1
    assert [line.partition(": ")[0] for line in mistakes] == ["chains.bitcoin.address", "chains.namecoin.address"]
    shown = (ROOT / "docs/start.md").read_text()
    for line in mistakes:
        assert line in shown


def test_docs_every_decision_is_in_the_index() -> None:
    index = (ROOT / "docs/adr/README.md").read_text()
    records = sorted(path.name for path in (ROOT / "docs/adr").glob("0*.md"))
    assert records
    assert re.findall(r"\]\((0[^)]+)\)", index) == records
