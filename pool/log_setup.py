"""How the log is written: lines for people, or one JSON object per line for machines. One event is one line either way,
whatever strangers send: control characters are written out, so that no name of a worker can make a line of its own.

A trace is the exception for people: it follows its line, indented, so that no part of it looks like an event.
"""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Literal

LogFormat = Literal["human", "json"]

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters, other line ends, and what turns the direction of text round."""

TRACE_INDENT = "    "


def set_up_log(log_format: LogFormat, level: str) -> None:
    """For the whole process, to standard error. `level` is the least that is written."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == "json" else HumanLines())
    handler.setLevel(level.upper())
    # What is not written may still be told elsewhere (pool/notifications.py).
    logging.basicConfig(level=min(logging.INFO, handler.level), handlers=[handler], force=True)


class HumanLines(logging.Formatter):
    """`2026-01-31 12:00:00,000 WARNING parapool.chain node down chain=namecoin …`, in local time."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        head = f"{stamp},{int(record.msecs):03d} {record.levelname} {record.name}"
        line = f"{head} {one_line(record.getMessage())}"
        trace = _trace(self, record)
        if trace is None:
            return line
        return "\n".join([line, *(TRACE_INDENT + _unseen(text) for text in trace.splitlines())])


class JsonLines(logging.Formatter):
    """`time` in UTC (ISO 8601), `level`, `area`, `text`, and `trace` where an error was caught."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        event = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "area": record.name,
            "text": record.getMessage(),
        }
        trace = _trace(self, record)
        if trace is not None:
            event["trace"] = trace
        return json.dumps(event, ensure_ascii=True)


def one_line(text: str) -> str:
    """The text with everything that could end the line, or hide in it, written out as an escape."""
    return _unseen(text.rstrip("\n"))


def _unseen(text: str) -> str:
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    # asyncio's own messages, such as of a connection that nobody closed, say `exc_info=False`.
    if not record.exc_info or record.exc_info[0] is None:
        return None
    return formatter.formatException(record.exc_info)
