"""The rules before they meet a pool: they are well-formed, each alert has its page, fires when it should and only then,
and names no metric that the pool does not have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from alert_cases import FAST, HOURLY, SLOW, AlertCase
from support.rule_files import NAME, PREFIX, PROMETHEUS, ROOT, SERIES, alert_rules, groups, promtool, write_yaml


def test_monitoring_prometheus_takes_the_configuration() -> None:
    code, said = promtool("check", "config", "prometheus.yml", cwd=PROMETHEUS)
    assert code == 0, said


def test_monitoring_every_alert_has_severity_summary_and_its_page() -> None:
    page = (ROOT / "docs" / "operating" / "alerts.md").read_text()
    sections = {title: text for title, text in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.M | re.S)}
    names = [rule["alert"] for rule in alert_rules()]
    assert len(names) == len(set(names)) >= 16 and set(names) == set(sections)
    table = page[: page.index("\n## ")]
    for rule in alert_rules():
        name = rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook_url"] == f"docs/operating/alerts.md#{name.lower()}"
        assert "**Means**" in sections[name] and "**Do**" in sections[name], name
        row = next(line for line in table.splitlines() if f"[{name}]" in line)
        column = 0 if f"[{name}]" in row.split("|")[1] else 1
        assert ("page", "ticket")[column] == rule["labels"]["severity"], name


def test_monitoring_rules_ask_for_nothing_that_the_pool_does_not_tell() -> None:
    recorded = {rule["record"] for group in groups("recording.yml") for rule in group["rules"]}
    rules = [rule for name in ("recording.yml", "alerts.yml") for group in groups(name) for rule in group["rules"]]
    asked = {name for rule in rules for name in NAME.findall(rule["expr"])}
    assert asked <= SERIES | recorded
    assert recorded >= {name for name in asked if ":" in name}


def test_monitoring_every_alert_has_a_case() -> None:
    assert {case.alert for case in FAST + SLOW + HOURLY} == {rule["alert"] for rule in alert_rules()}


def _test_of(case: AlertCase, series: Any, expected: list[dict[str, Any]], interval: str) -> dict[str, Any]:
    return {
        "name": f"{case.alert} {'fires' if expected else 'is quiet'}",
        "interval": interval,
        "input_series": [
            {"series": name if name.startswith("up{") else PREFIX + name, "values": values}
            for name, values in series.items()
        ],
        "promql_expr_test": [
            {
                "expr": 'count without (alertstate) (ALERTS{alertstate="firing"})',
                "eval_time": case.at,
                "exp_samples": expected,
            }
        ],
    }


@pytest.mark.parametrize(("cases", "interval"), [(FAST, "15s"), (SLOW, "10m"), (HOURLY, "1h")])
def test_monitoring_each_alert_fires_when_it_should_and_only_then(
    cases: tuple[AlertCase, ...], interval: str, tmp_path: Path
) -> None:
    """One run of promtool over all histories, in simulated time."""
    tests = []
    for case in cases:
        labels = {"alertname": case.alert, "severity": case.severity, **case.labels}
        text = "{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
        tests.append(_test_of(case, case.fires, [{"labels": text, "value": 1}], interval))
        tests.append(_test_of(case, case.quiet, [], interval))
    order = [group["name"] for name in ("recording.yml", "alerts.yml") for group in groups(name)]
    content = {
        "rule_files": [str(PROMETHEUS / "recording.yml"), str(PROMETHEUS / "alerts.yml")],
        "evaluation_interval": interval, "group_eval_order": order, "tests": tests,
    }  # fmt: skip
    code, said = promtool("test", "rules", str(write_yaml(tmp_path / "cases.yml", content)), cwd=tmp_path)
    assert code == 0, said
