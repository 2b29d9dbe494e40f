"""The dashboards as they are checked in: their panels and queries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "grafana" / "dashboards"


class Query(NamedTuple):
    """One query of a panel or an annotation; `kind` is the panel's, or `annotation`."""

    board: str
    title: str
    kind: str
    expression: str
    legend: str


def boards() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    for board in boards():
        for panel in panels(board):
            for target in panel["targets"]:
                yield Query(board["uid"], panel["title"], panel["type"], target["expr"], target["legendFormat"])
        for annotation in board["annotations"]["list"]:
            yield Query(board["uid"], annotation["name"], "annotation", annotation["expr"], annotation["titleFormat"])
