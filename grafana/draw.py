"""Draws the dashboards from a Prometheus' data without a Grafana, for docs/operating/monitoring.md and for a look from a
machine that has none: `python grafana/draw.py http://127.0.0.1:9090 --minutes 60 --out FOLDER` (needs the extra `plots`).

What Grafana would show, plainer: the same panels in the same places, lines, numbers, tables and states.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

matplotlib.use("Agg")

FOLDER = Path(__file__).parent / "dashboards"
POINTS = 240
CROWDED = 8
ROW_INCHES = 0.34
WIDTH_INCHES = 15.0
SCALES = {"s": "s", "bytes": "B", "percentunit": "", "H/s": "H/s", "ops": "/s", "short": ""}


def ask(server: str, path: str, **parameters: str | float) -> list[dict[str, Any]]:
    """A query's result. Raises OSError when nobody answers."""
    data = urllib.parse.urlencode(parameters).encode()
    with urllib.request.urlopen(f"{server}/api/v1/{path}", data, timeout=30) as answer:
        result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return result


def filled(expression: str, interval_s: int) -> str:
    """A panel's query with Grafana's variables replaced: everything, and a rate over four looks."""
    rate = f"{max(4 * interval_s, 10)}s"
    return expression.replace("$chain", ".*").replace("$instance", ".*").replace("$__rate_interval", rate)


def legend(form: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        form = form.replace("{{" + name + "}}", value)
    return form.replace("{{reason}}", "").strip()


def number(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{100 * value:.1f} %"
    for size, sign in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size and unit != "s":
            return f"{value / size:.1f} {sign}{SCALES[unit]}"
    return f"{value:.3g} {SCALES[unit]}".strip()


class Drawing:
    """One dashboard on one sheet."""

    def __init__(self, board: dict[str, Any], server: str, minutes: float, interval_s: int) -> None:
        self.board = board
        self.server = server
        self.interval_s = interval_s
        self.end_s = time.time()
        self.begin_s = self.end_s - 60 * minutes
        rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
        self.height = rows * ROW_INCHES + 0.6
        self.rows = rows
        self.figure = Figure(figsize=(WIDTH_INCHES, self.height), facecolor="white")
        self.figure.text(0.01, 1 - 0.35 / self.height, board["title"], fontsize=15, weight="bold")

    def save(self, path: Path) -> None:
        for panel in self.board["panels"]:
            place = panel["gridPos"]
            if panel["type"] == "row":
                self.figure.text(0.01, self._top(place["y"] + 0.75), panel["title"], fontsize=11, color="#444", weight="bold")
            else:
                self._panel(panel, place)
        self.figure.savefig(path, dpi=80)

    def _top(self, y: float) -> float:
        return 1 - (0.6 + y * ROW_INCHES) / self.height

    def _panel(self, panel: dict[str, Any], place: dict[str, int]) -> None:
        axes = self.figure.add_axes((
            place["x"] / 24 + 0.045, self._top(place["y"] + place["h"] - 1.35),
            place["w"] / 24 - 0.06, (place["h"] - 2.6) * ROW_INCHES / self.height,
        ))  # fmt: skip
        axes.set_title(panel["title"].replace(": $chain", ", all chains"), fontsize=9, loc="left")
        axes.tick_params(labelsize=7)
        draw = {"stat": self._number, "table": self._table, "state-timeline": self._states}.get(panel["type"], self._lines)
        draw(axes, panel)

    def _series(self, panel: dict[str, Any]) -> list[tuple[str, list[float], list[float]]]:
        found = []
        step = max(self.interval_s, math.ceil((self.end_s - self.begin_s) / POINTS))
        for target in panel["targets"]:
            query = filled(target["expr"], self.interval_s)
            for series in ask(self.server, "query_range", query=query, start=self.begin_s, end=self.end_s, step=step):
                times = [(float(at) - self.end_s) / 60 for at, _ in series["values"]]
                values = [float(value) for _, value in series["values"]]
                found.append((legend(target["legendFormat"], series["metric"]), times, values))
        return found

    def _lines(self, axes: Any, panel: dict[str, Any]) -> None:
        unit = panel["fieldConfig"]["defaults"]["unit"]
        series = self._series(panel)
        edges = {name: (times, values) for name, times, values in series if name.startswith("95 %")}
        if len(edges) == 2:
            times, upper = edges["95 % upper"]
            axes.fill_between(times, edges["95 % lower"][1], upper, alpha=0.15, color="gray", label="95 % band")
        crowded = len(series) > CROWDED  # then what is 0 all the time is left out
        for name, times, values in series:
            if name not in edges and not (crowded and not any(values)):
                axes.plot(times, values, linewidth=1.1, label=name or "value")
        custom = panel["fieldConfig"]["defaults"].get("custom", {})
        if custom.get("scaleDistribution", {}).get("type") == "log" and series:
            axes.set_yscale("log")
        elif series:
            flat = not any(value for _, _, values in series for value in values)
            axes.set_ylim(bottom=min(0, axes.get_ylim()[0]) if not flat else 0, top=1 if flat else None)
        axes.yaxis.set_major_formatter(lambda value, _: number(value, unit))
        axes.set_xlim((self.begin_s - self.end_s) / 60, 0)
        axes.grid(alpha=0.25)
        if series:
            axes.legend(fontsize=6, loc="upper left", ncols=3, framealpha=0.6)
        else:
            self._nothing(axes)

    def _number(self, axes: Any, panel: dict[str, Any]) -> None:
        found = ask(self.server, "query", query=filled(panel["targets"][0]["expr"], self.interval_s), time=self.end_s)
        text = number(float(found[0]["value"][1]), panel["fieldConfig"]["defaults"]["unit"]) if found else "no data"
        axes.axis("off")
        axes.text(0.5, 0.45, text, ha="center", va="center", fontsize=18, color="#2a7f3e")

    def _table(self, axes: Any, panel: dict[str, Any]) -> None:
        found = ask(self.server, "query", query=filled(panel["targets"][0]["expr"], self.interval_s), time=self.end_s)
        axes.axis("off")
        rows = [(" ".join(v for k, v in sample["metric"].items() if k not in ("__name__", "instance", "job")), sample["value"][1]) for sample in found]
        rows = [row for row in rows if float(row[1]) != 0][:14]
        if not rows:
            self._nothing(axes)
        for index, (words, value) in enumerate(rows):
            axes.text(0.02, 0.95 - index / 14, f"{words}: {value}", fontsize=7.5, va="top")

    def _states(self, axes: Any, panel: dict[str, Any]) -> None:
        series = self._series(panel)
        for place, (_, times, values) in enumerate(series):
            colors = ["#73bf69" if value else "#e02f44" for value in values]
            axes.scatter(times, [place] * len(times), c=colors, marker="s", s=28)
        axes.set_yticks(range(len(series)), [name for name, _, _ in series])
        axes.set_xlim((self.begin_s - self.end_s) / 60, 0)
        axes.set_ylim(-0.7, max(0.7, len(series) - 0.3))
        if not series:
            self._nothing(axes)

    @staticmethod
    def _nothing(axes: Any) -> None:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", fontsize=9, color="gray", transform=axes.transAxes)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the dashboards from a Prometheus' data.")
    parser.add_argument("server", help="Prometheus, http://host:port")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--interval", type=int, default=15, help="its scrape interval, seconds")
    parser.add_argument("--out", type=Path, default=Path())
    arguments = parser.parse_args()
    for path in sorted(FOLDER.glob("*.json")):
        out = arguments.out / f"dashboard-{path.stem.removeprefix('parapool-')}.png"
        Drawing(json.loads(path.read_text()), arguments.server.rstrip("/"), arguments.minutes, arguments.interval).save(out)
        print(out)


if __name__ == "__main__":
    main()
