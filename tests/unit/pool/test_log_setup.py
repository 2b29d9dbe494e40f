"""One event is one line, whatever it was told with."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from pool.log_setup import HumanLines, JsonLines

HOSTILE = "rig\n2026-01-01 00:00:00,000 CRITICAL parapool wallet empty\r\x1b[2J\u2028\u202e"


def record(text: str, *arguments: object, trace: bool = False) -> logging.LogRecord:
    exc_info = None
    if trace:
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            exc_info = sys.exc_info()
    return logging.LogRecord("parapool.stratum", logging.WARNING, __file__, 1, text, arguments, exc_info)


@pytest.mark.parametrize("form", [HumanLines(), JsonLines()])
def test_log_of_a_hostile_name_is_one_line(form: logging.Formatter) -> None:
    line = form.format(record("banned agent=%s", HOSTILE))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line and "\u202e" not in line
    assert "WARNING parapool.stratum banned agent=rig\\n2026" in line or json.loads(line)["text"].endswith(HOSTILE)


def test_log_for_people_indents_a_trace_so_that_no_line_of_it_looks_like_an_event() -> None:
    first, *rest = HumanLines().format(record("broke", trace=True)).splitlines()
    assert first.endswith("WARNING parapool.stratum broke")
    assert rest and all(line.startswith("    ") for line in rest)
    assert "CRITICAL parapool wallet empty" in "\n".join(rest)


def test_log_for_machines_is_json_with_its_trace() -> None:
    event = json.loads(JsonLines().format(record("height=%d äöü", 7, trace=True)))
    assert (event["level"], event["area"], event["text"]) == ("warning", "parapool.stratum", "height=7 äöü")
    assert event["time"].endswith("Z") and len(event["time"]) == 24
    assert "ValueError" in event["trace"]


@pytest.mark.parametrize("form", [HumanLines(), JsonLines()])
def test_log_takes_a_message_that_says_it_has_no_trace(form: logging.Formatter) -> None:
    """asyncio's, of a session that nobody closed."""
    record = logging.makeLogRecord({"name": "asyncio", "levelname": "ERROR", "msg": "Unclosed client session"})
    record.exc_info = False  # type: ignore[assignment]
    assert "Unclosed client session" in form.format(record) and "Traceback" not in form.format(record)
