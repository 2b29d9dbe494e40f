"""`pool doctor`: everything looked at before miners depend on it, as a table or as JSON."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from pool.cli.options import EXIT_NO, EXIT_OK, config_option, load_config, set_option
from pool.progress import on_stderr

if TYPE_CHECKING:
    from pool.doctor.finding import Finding

LEAST_WIDTH = 120
"""Of the table where there is no terminal: a file or a pipe wraps nothing."""

STYLES = {"good": "green", "note": "yellow", "wrong": "bold red", "unchecked": "dim"}


@click.command(short_help="Check everything before miners depend on it.")
@config_option()
@set_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
def doctor(config_file: str, overrides: tuple[str, ...], as_json: bool) -> NoReturn:
    """Check nodes, wallets, books and ports, and try the very job that miners would get. Nothing is changed.

    Asks every node whether it answers, is on its network, synced, connected, on time, and takes blocks; the parent
    whether it would accept our block; solves a copy of the job at the easiest target and lets independent verifiers
    judge each chain's proof. Takes seconds, 30 at most. A running pool is not disturbed. Exit code 0: nothing is
    wrong; 1: the table says what to do. Every check: docs/operating/doctor.md.

    \b
    Examples:
      pool doctor -c /etc/parapool/pool.yaml
      pool doctor -c /etc/parapool/pool.yaml --json
    """
    config = load_config(config_file, overrides)
    import asyncio

    from pool.doctor.doctor import examine
    from pool.doctor.finding import all_good

    with _quiet_logs(), on_stderr("doctor") as tell:
        findings = asyncio.run(examine(config, tell))
    good = all_good(findings)
    click.echo(as_object(findings) if as_json else as_table(findings))
    sys.exit(EXIT_OK if good else EXIT_NO)


def as_object(findings: Sequence[Finding]) -> str:
    """`good`, and the findings in the table's order."""
    from pool.doctor.finding import all_good

    items = [{**finding._asdict(), "result": finding.result.value} for finding in findings]
    return json.dumps({"good": all_good(findings), "findings": items}, indent=1)


def as_table(findings: Sequence[Finding]) -> str:
    """One line per finding and a summary. Colours on a terminal only."""
    from io import StringIO

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from chains.node_rpc import one_line

    on_terminal = sys.stdout.isatty()
    width = max(LEAST_WIDTH, Console().width) if not on_terminal else None
    out = StringIO()
    console = Console(file=out, width=width or Console().width, force_terminal=on_terminal, highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("of", "check", "result"):
        table.add_column(title, no_wrap=True)
    table.add_column("found", overflow="fold", ratio=1)
    table.add_column("what to do", overflow="fold", ratio=1)
    for finding in findings:
        result = Text(finding.result.value, style=STYLES[finding.result.value])
        subject, check, found, remedy = (
            Text(one_line(text)) for text in (finding.subject, finding.check, finding.found, finding.remedy)
        )
        table.add_row(subject, check, result, found, remedy)
    console.print(table)
    console.print(Text(summary(findings)), end="")
    return out.getvalue()


def summary(findings: Sequence[Finding]) -> str:
    """How many of each result, and which are wrong: the table may have left the screen."""
    counts = [(name, sum(finding.result.value == name for finding in findings)) for name in STYLES]
    words = ", ".join(f"{count} {name}" for name, count in counts if count)
    wrong = [f"{finding.subject} {finding.check}" for finding in findings if finding.result.value == "wrong"]
    return f"{words}: {', '.join(wrong)}" if wrong else words


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """What the parts log while they are tried stands in the table in better words."""
    area = logging.getLogger("parapool")
    before = area.propagate, area.level
    area.propagate, area.level = False, logging.CRITICAL + 1
    quiet = logging.NullHandler()
    area.addHandler(quiet)
    try:
        yield
    finally:
        area.removeHandler(quiet)
        area.propagate, area.level = before
