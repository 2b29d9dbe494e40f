"""docs/reliability.md against the tests: every promise has its row, and every test named there is one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
PROMISES = 33

ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
TEST = re.compile(r"\[(test_\w+)\]\(([^)]+)\)")


def _named_tests(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {
        node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test_")
    }  # fmt: skip


def test_reliability_every_promise_has_a_row_with_a_figure_or_a_reason() -> None:
    rows = ROW.findall(PAGE.read_text())
    assert [int(number) for number, *_ in rows] == list(range(1, PROMISES + 1))
    for number, promise, kept_by, figure in rows:
        assert promise.strip() and kept_by.strip() and figure.strip(), f"promise {number}"


def test_reliability_every_test_that_is_named_exists() -> None:
    named = TEST.findall(PAGE.read_text())
    assert len(named) > PROMISES
    wrong = [name for name, link in named if name not in _named_tests((PAGE.parent / link).resolve())]
    assert wrong == []


def test_reliability_no_test_is_named_without_its_file() -> None:
    text = PAGE.read_text()
    assert set(re.findall(r"\btest_[a-z]\w+(?!\w*\.py)\b", TEST.sub("", text))) == set()
