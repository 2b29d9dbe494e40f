"""The tables as pictures: simulated values with the reference's as crosses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pool.simulation.bk_tables import AttackCell, HonestRow
from pool.simulation.plot import NoPlotsError

PANELS = ("orphaned", "CV", "late/block", "leaders/height")


def plot_bk(honest: Sequence[HonestRow], attack: Sequence[AttackCell], path: Path) -> None:
    """Writes the picture; its form is that of the file's name. Raises NoPlotsError, OSError, ValueError."""
    try:
        import matplotlib
    except ImportError as error:
        raise NoPlotsError("plots need matplotlib: pip install parapool[plots]") from error
    matplotlib.use("Agg")  # a file, never a window
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 8), layout="constrained")
    axes = figure.subplots(2, 3).flat
    for panel, name in zip(axes, PANELS, strict=False):
        for number, interval_s in enumerate(sorted({row.oracle.interval_s for row in honest}, reverse=True)):
            rows = [row for row in honest if row.oracle.interval_s == interval_s]
            values = [next(value for value in row.values if value.name == name) for row in rows]
            ks = [row.oracle.k for row in rows]
            label = f"{interval_s} s per block"
            panel.plot(ks, [value.ours for value in values], "o-", color=f"C{number}", label=label)
            panel.plot(ks, [value.oracle for value in values], "x", color="black", markersize=9)
        panel.set_title(name)
        panel.set_xlabel("k")
        panel.legend()
    panel = figure.axes[len(PANELS)]
    for number, share in enumerate(sorted({cell.share for cell in attack})):
        cells = [cell for cell in attack if cell.share == share]
        ks = [cell.k for cell in cells]
        panel.plot(ks, [cell.value.ours for cell in cells], "o-", color=f"C{number}", label=f"attacker {share:.0%}")
        panel.plot(ks, [cell.value.oracle for cell in cells], "x", color="black", markersize=9)
        panel.axhline(share, color=f"C{number}", linestyle=":")
    panel.set_title("withholding: part of the rewards (dotted: fair)")
    panel.set_xscale("log", base=2)
    panel.set_xlabel("k")
    if attack:
        panel.legend()
    figure.axes[-1].axis("off")
    figure.suptitle("B_k: simulated (o) and reference tables (x)")
    figure.savefig(path, dpi=120)
