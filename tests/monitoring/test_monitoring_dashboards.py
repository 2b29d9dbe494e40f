"""The dashboards before they meet a Prometheus: current, in Grafana's schema, explained, and of metrics that exist."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import combinations
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from support.dashboards import FOLDER, ROOT, boards, panels, queries
from support.rule_files import NAME, SERIES, groups, read_yaml

RECORDED = {rule["record"] for group in groups("recording.yml") for rule in group["rules"]}
NAMES = ["chains", "miners", "money", "pool", "process"]


def test_monitoring_dashboards_are_current() -> None:
    done = subprocess.run([sys.executable, "grafana/build.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path.stem for path in sorted(FOLDER.glob("*"))] == [f"parapool-{name}" for name in NAMES]


@pytest.mark.parametrize("board", boards(), ids=NAMES)
def test_monitoring_a_dashboard_is_of_grafanas_schema(board: dict[str, Any]) -> None:
    """Read by the SDK's models and written again, nothing is lost but what Prometheus adds to annotations."""
    again = json.loads(json.dumps(Dashboard.from_json(json.loads(json.dumps(board))), cls=JSONEncoder))
    for annotation in board["annotations"]["list"]:
        assert annotation.keys() >= {"expr", "titleFormat", "datasource"}
        for key in ("titleFormat", "step", "useValueForTime"):
            del annotation[key]
    assert again == board
    assert board["templating"]["list"][0]["type"] == "datasource" and board["uid"].startswith("parapool-")


@pytest.mark.parametrize("board", boards(), ids=NAMES)
def test_monitoring_every_panel_says_what_is_normal_and_what_to_do(board: dict[str, Any]) -> None:
    titles = [panel["title"] for panel in panels(board)]
    assert len(titles) == len(set(titles)) >= 10
    for panel in panels(board):
        normal, _, advice = panel["description"].partition("\n\n")
        assert normal.startswith("**Normal:** ") and advice.startswith("**Do:** "), panel["title"]
        assert normal.endswith(".") and advice.endswith((".", "?")), panel["title"]
        assert panel["targets"] and panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.parametrize("board", boards(), ids=NAMES)
def test_monitoring_panels_do_not_cover_each_other(board: dict[str, Any]) -> None:
    for one, two in combinations([panel["gridPos"] for panel in board["panels"]], 2):
        apart = (
            one["x"] + one["w"] <= two["x"] or two["x"] + two["w"] <= one["x"]
            or one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"]
        )  # fmt: skip
        assert apart and one["x"] + one["w"] <= 24


def test_monitoring_panels_ask_for_nothing_that_the_pool_does_not_tell() -> None:
    asked = {name for query in queries() for name in NAME.findall(query.expression)}
    assert asked <= SERIES | RECORDED and len(asked) > 50


def test_monitoring_annotations_are_blocks_reorganisations_and_restarts() -> None:
    for board in boards():
        assert [a["name"] for a in board["annotations"]["list"]] == ["Blocks found", "Reorganisations", "Restarts"]


def test_monitoring_provisioning_names_the_place_of_the_dashboards() -> None:
    provisioning = ROOT / "grafana" / "provisioning"
    (provider,) = read_yaml(provisioning / "dashboards" / "parapool.yml")["providers"]
    assert provider["type"] == "file" and provider["options"]["path"].startswith("/var/lib/grafana/")
    (source,) = read_yaml(provisioning / "datasources" / "parapool.yml")["datasources"]
    assert source["type"] == "prometheus" and source["isDefault"]
