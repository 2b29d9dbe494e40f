"""The picture of a comparison: how far each miner's income spreads under each scheme, and one run over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pool.simulation.replay import SLICES
from pool.simulation.variance import Outcome

CURVES = 3
"""Miners whose income over time is drawn: the biggest, the middle one and the smallest."""


BARS = 40
"""Miners whose spread is drawn, the biggest first."""


class NoPlotsError(Exception):
    """The library that draws is not installed."""


def plot(outcomes: Sequence[Outcome], path: Path) -> None:
    """Writes the picture; its form is that of the file's name (.png, .svg, .pdf). Raises NoPlotsError, OSError, and
    ValueError for a form that cannot be written.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise NoPlotsError("plots need matplotlib: pip install parapool[plots]") from error
    matplotlib.use("Agg")  # a file, never a window
    from matplotlib.figure import Figure

    miners = list(outcomes[0].spreads)
    barred = miners[:BARS]
    figure = Figure(figsize=(12, 6), layout="constrained")
    bars, lines = figure.subplots(1, 2)
    width = 0.8 / len(outcomes)
    for number, outcome in enumerate(outcomes):
        places = [place + (number - (len(outcomes) - 1) / 2) * width for place in range(len(barred))]
        heights = [100 * outcome.spreads[miner].relative for miner in barred]
        bars.bar(places, heights, width, label=outcome.scheme.upper(), color=f"C{number}")
    bars.set_title("Spread of income (standard deviation, % of the mean)")
    bars.set_xticks(range(len(barred)), [_short(miner) for miner in barred], rotation=60, ha="right")
    bars.legend()
    for style, miner in zip(("-", "--", ":"), _some(miners), strict=False):
        for number, outcome in enumerate(outcomes):
            label = f"{_short(miner)}, {outcome.scheme.upper()}"
            lines.plot(range(SLICES), outcome.curves[miner], style, color=f"C{number}", label=label)
    lines.set_title("Income over the first run (smallest units)")
    lines.set_xlabel(f"time ({SLICES} equal parts of the shares)")
    lines.legend()
    figure.savefig(path, dpi=120)


def _some(miners: Sequence[str]) -> list[str]:
    places = (0, len(miners) // 2, len(miners) - 1)[:CURVES]
    return list(dict.fromkeys(miners[place] for place in places))


def _short(miner: str) -> str:
    return miner if len(miner) <= 16 else f"{miner[:8]}…{miner[-6:]}"
