"""A hashrate over time as the path of a small picture: steps from left to right, gaps where nothing is on record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000, 100
"""The picture's own coordinates; the page stretches it to its place."""

HEADROOM = 0.05


@dataclass(frozen=True, slots=True)
class Plot:
    """`line` and `area` are SVG paths. The figures are over the points that are on record, None without any."""

    line: str
    area: str
    top: int
    newest: int | None
    mean: int | None
    highest: int | None
    lowest: int | None


def plot(points: Sequence[int | None]) -> Plot:
    known = [point for point in points if point is not None]
    highest = max(known, default=0)
    scale = HEIGHT * (1 - HEADROOM) / highest if highest else 0.0
    line: list[str] = []
    area: list[str] = []
    step = WIDTH / max(1, len(points))
    start: float | None = None
    for number, point in enumerate(points):
        left, right = number * step, (number + 1) * step
        if point is None:
            if start is not None:
                area.append(f"V{HEIGHT}H{start:.1f}Z")
            start = None
            continue
        y = HEIGHT - point * scale
        if start is None:
            start = left
            line.append(f"M{left:.1f} {y:.1f}")
            area.append(f"M{left:.1f} {HEIGHT}V{y:.1f}")
        else:
            line.append(f"V{y:.1f}")
            area.append(f"V{y:.1f}")
        line.append(f"H{right:.1f}")
        area.append(f"H{right:.1f}")
    if start is not None:
        area.append(f"V{HEIGHT}H{start:.1f}Z")
    if not known:
        return Plot("", "", 0, None, None, None, None)
    newest = points[-1]
    return Plot("".join(line), "".join(area), highest, newest, sum(known) // len(known), highest, min(known))
