"""Files that hold a secret, and who else on this machine may read them.

A file that is wide open is refused rather than warned of: whoever reads a node's password has the node and its wallet,
and nobody reads a warning at the start.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pool.config.lines import Location


def open_to_all(path: Path) -> str | None:
    """What is expected of a file that everybody on this machine can read; None where that is not so, or not to be seen:
    a file that is missing or out of this process's reach is told of by whoever reads it."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if mode & stat.S_IROTH:
        return f"expected a file that not everybody on this machine can read: chmod o-r {path}"
    return None


def secret_file_problem(section: Any, key: str) -> str | None:
    """The same of the file that a section of plain values names under a key, if it names one."""
    value = section.get(key) if isinstance(section, Mapping) else None
    return open_to_all(Path(value)) if isinstance(value, str) and value and "\x00" not in value else None


def notification_mistakes(values: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """The URL of a place that is told of events holds its token."""
    places = values.get("notifications")
    for number, place in enumerate(places if isinstance(places, list) else []):
        problem = secret_file_problem(place, "url_file")
        if problem is not None:
            yield ("notifications", number, "url_file"), problem
