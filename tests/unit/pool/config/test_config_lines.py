"""Reading YAML into plain values with the line of each: what the values are, and where a mistake is found."""

from __future__ import annotations

from typing import Any

import pytest

from pool.config.lines import Problem, dotted, read_text, scalar_from_text, with_override

TEXT = """\
a: 1

list:
  - x: 1
    y: 2
  - {x: 3,
     y: 4}
text: |
  several
  lines
last: end
"""


def test_config_lines_knows_the_line_of_every_key() -> None:
    document = read_text(TEXT)
    assert document.problems == []
    assert document.values == {
        "a": 1, "list": [{"x": 1, "y": 2}, {"x": 3, "y": 4}], "text": "several\nlines\n", "last": "end"
    }  # fmt: skip
    assert document.lines == {
        (): 1, ("a",): 1, ("list",): 3, ("list", 0): 4, ("list", 0, "x"): 4, ("list", 0, "y"): 5, ("list", 1): 6,
        ("list", 1, "x"): 6, ("list", 1, "y"): 7, ("text",): 8, ("last",): 11,
    }  # fmt: skip


def test_config_lines_gives_the_nearest_line_for_what_is_missing() -> None:
    document = read_text(TEXT)
    assert document.line_of(("list", 1, "z", "deeper")) == 6
    assert document.line_of(("nothing",)) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8), ("-8", -8), ("+8", 8), ("0x1f", 31), ("0o17", 15), ("010", 10), ("1_000", 1000), ("1.5", 1.5),
        ("1e3", 1000.0), (".5", 0.5), (".inf", float("inf")), ("-.inf", float("-inf")), ("true", True),
        ("False", False), ("yes", "yes"), ("off", "off"), ("null", None), ("~", None), ("", None), ("2026-01-01",
        "2026-01-01"), ("12:30:45", "12:30:45"), ("'8'", "8"), ("[1, a]", [1, "a"]), ("{a: 1}", {"a": 1}),
        ("127.0.0.1:3333", "127.0.0.1:3333"), ("a: b: c", "a: b: c"), ("[1", "[1"), ("!x y", "!x y"),
    ],
)  # fmt: skip
def test_config_lines_values_follow_yaml_1_2(text: str, value: Any) -> None:
    found = scalar_from_text(text)
    assert (found, type(found)) == (value, type(value))


def test_config_lines_reads_nan_as_a_number() -> None:
    found = scalar_from_text(".nan")
    assert isinstance(found, float)
    assert found != found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\n? [b]\n: 2\n", Problem((), 2, "expected a plain word as key (merge keys << are not supported)")),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", Problem(("c",), 3, "expected a plain word as key (merge keys << are not")),
        ("a:\n  ~: 1\n", Problem(("a",), 2, "expected a plain word as key")),
        ("a:\n  b: !x y\n", Problem(("a", "b"), 2, "expected quotes around text that starts with !")),
        ("a: !x {b: c}\n", Problem(("a",), 1, "expected quotes around text that starts with !")),
        ("a: " + "9" * 101 + "\n", Problem(("a",), 1, "expected a number of at most 100 digits")),
        ("a: 1\na: 2\na: 3\n", Problem(("a",), 2, "duplicate key, first used on line 1")),
    ],
)
def test_config_lines_notes_what_a_configuration_never_needs(text: str, problem: Problem) -> None:
    found = read_text(text).problems[0]
    assert (found.location, found.line) == (problem.location, problem.line)
    assert found.expected.startswith(problem.expected)


def test_config_lines_follows_aliases_but_not_without_end() -> None:
    assert read_text("a: &x {b: 1}\nc: *x\n").values == {"a": {"b": 1}, "c": {"b": 1}}
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 10):
        bomb += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"
    problems = read_text(bomb).problems
    assert [problem.expected for problem in problems] == ["expected at most 20 levels and 20000 entries"]
    circle = read_text("a: &a [*a]\n")
    assert len(circle.problems) == 1


def test_config_lines_writes_a_location_on_one_line() -> None:
    assert dotted(("stratum", "ports", 0, "bind")) == "stratum.ports.0.bind"
    assert dotted(("pool", "new\nline\x1b[31m")) == "pool.'new\\nline\\x1b[31m'"
    assert len(dotted(("x" * 10_000,))) == 64


def test_config_lines_lays_an_override_over_a_copy() -> None:
    values = {"list": [{"x": 1}], "a": {"b": 2}}
    assert with_override(values, ["list", "0", "x"], 5) == {"list": [{"x": 5}], "a": {"b": 2}}
    assert with_override(values, ["list", "1", "x"], 5)["list"] == [{"x": 1}, {"x": 5}]
    assert with_override(values, ["new", "0", "x"], 5)["new"] == [{"x": 5}]
    assert with_override(values, ["a", "c", "d"], 5)["a"] == {"b": 2, "c": {"d": 5}}
    assert values == {"list": [{"x": 1}], "a": {"b": 2}}


def test_config_lines_puts_in_what_the_environment_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POOL_PASSWORD", "s3cret: #'\"")
    monkeypatch.setenv("NUMBER", "12")
    document = read_text("a: ${POOL_PASSWORD}\nb: 'x-${NUMBER}-${NUMBER}'\nc: $${NUMBER}\nd: $NUMBER ${1}\n")
    assert document.problems == []
    assert document.values == {"a": "s3cret: #'\"", "b": "x-12-12", "c": "${NUMBER}", "d": "$NUMBER ${1}"}


def test_config_lines_names_the_variable_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_WORD", raising=False)
    [problem] = read_text("a: 1\nb:\n  c: x${NO_SUCH_WORD}\n").problems
    assert (problem.line, problem.location) == (3, ("b", "c"))
    assert problem.expected.startswith("expected the environment variable NO_SUCH_WORD, which is not set")
