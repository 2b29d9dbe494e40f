"""Telling how far long work is: nothing of quick work, a line that is written over on a terminal, plain lines else."""

from __future__ import annotations

import logging
import sys
import threading

import pytest

from pool import progress
from pool.progress import CLEAR_LINE, PIPE_S, QUIET_S, Progress, in_log, on_stderr


class Clock:
    """Time in the test's hand."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock()


def test_progress_of_quick_work_is_not_told(clock: Clock) -> None:
    lines: list[str] = []
    work = Progress("audit", lines.append, now_s=clock)
    for number in range(10):
        clock.now_s += QUIET_S / 11
        work.tell("blocks", number, 10)
    assert (lines, work.wrote) == ([], False)


def test_progress_of_long_work_is_told_every_now_and_then(clock: Clock) -> None:
    lines: list[str] = []
    work = Progress("audit", lines.append, now_s=clock)
    for number in range(0, 5000, 100):
        clock.now_s += 0.5
        work.tell("blocks", number, 5000)
    assert lines == [
        "audit: 300 of 5,000 blocks (6 %), 2 s",
        "audit: 2,300 of 5,000 blocks (46 %), 12 s",
        "audit: 4,300 of 5,000 blocks (86 %), 22 s",
    ]
    assert PIPE_S == 10.0


def test_progress_says_what_it_knows(clock: Clock) -> None:
    work = Progress("replay", lambda line: None, now_s=clock)
    assert work.line() == "replay: 0 s"
    work.tell("looking")
    assert work.line() == "replay: looking, 0 s"
    work.tell("shares", 12_000)
    assert work.line() == "replay: 12,000 shares, 0 s"
    work.tell("shares", 0, 0)
    assert work.line() == "replay: 0 shares, 0 s"


def test_progress_ticks_while_the_work_is_in_one_long_call() -> None:
    told = threading.Event()
    work = Progress("database upgrade", lambda line: told.set(), every_s=0.01, quiet_s=0.0)
    before = threading.active_count()
    with work.ticking():
        assert told.wait(20), "nobody called tell"
    assert threading.active_count() == before


def test_progress_on_a_terminal_is_written_over_and_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "QUIET_S", 0.0)
    monkeypatch.setenv("COLUMNS", "40")
    with on_stderr("audit") as tell:
        tell("blocks" + 100 * "x", 1, 2)
    told = capsys.readouterr().err
    assert told.startswith(f"{CLEAR_LINE}audit: 1 of 2 blocksxxx") and told.endswith(CLEAR_LINE)
    assert len(told) == 39 + 2 * len(CLEAR_LINE)


def test_progress_on_a_pipe_is_plain_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "QUIET_S", 0.0)
    with on_stderr("audit") as tell:
        tell("blocks", 1, 2)
        tell("blocks", 2, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("audit: 1 of 2 blocks (50 %), "), "the next one is ten seconds away"


def test_progress_that_is_quick_leaves_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with on_stderr("audit") as tell:
        tell("blocks", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_progress_in_the_log_says_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("parapool.test")
    caplog.set_level(logging.INFO, log.name)
    with in_log("database upgrade", log) as quick:
        quick.tell("schema 0001 done")
    assert caplog.messages == []
    monkeypatch.setattr(progress, "QUIET_S", 0.0)
    with pytest.raises(OSError, match="full"), in_log("database upgrade", log) as slow:
        slow.tell("schema 0001 done")
        raise OSError("full")
    told = [message.rpartition(", ")[0] for message in caplog.messages]
    assert told == ["database upgrade: schema 0001 done", "database upgrade: over"]
