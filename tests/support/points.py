"""How many of the points at which something may go wrong a test tries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

ALL_POINTS = bool(os.environ.get("PARAPOOL_ALL_POINTS"))
"""Set by `make nightly`."""

T = TypeVar("T")


def some(points: Sequence[T], every: int) -> Sequence[T]:
    """The first one and each so many further on; all of them at night."""
    return points if ALL_POINTS else points[::every]
