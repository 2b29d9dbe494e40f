"""Dashboards and rules over what is not there: no pool at all, metrics that nothing was told of yet, and a pool of an
older version. Panels are empty then, and no alert says more than it knows. In promtool's simulated time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from support.dashboards import queries
from support.rule_files import NAME, PREFIX, PROMETHEUS, groups, promtool, write_yaml

POOL = 'instance="p",job="parapool"'
ALPHA = POOL + ',chain="alpha"'
# Version 0.1.0 told these, here of a pool that is well, and no other: series in promtool's form, steps of a minute.
OLDER: Mapping[str, str] = {
    f'connections_total{{{POOL},result="accepted"}}': "5x120",
    f'connections_closed_total{{{POOL},reason="peer"}}': "4x120",
    f'shares_total{{{POOL},result="accepted",reason=""}}': "0+60x120",
    f'shares_total{{{POOL},result="rejected",reason="stale"}}': "1x120",
    f"accepted_work_total{{{POOL}}}": "0+1000000x120",
    f"job_age_seconds{{{POOL}}}": "5x120",
    f"jobs_total{{{POOL}}}": "0+2x120",
    f"tip_height{{{ALPHA}}}": "100+1x120",
    f"chain_up{{{ALPHA}}}": "1x120",
    f'chain_state{{{ALPHA},state="ok"}}': "1x120",
    f"aux_in_tree{{{ALPHA}}}": "1x120",
    f'blocks_total{{{ALPHA},state="immature"}}': "3x120",
    f'block_submit_total{{{ALPHA},result="accepted"}}': "3x120",
    f"solves_unseen_fraction{{{ALPHA}}}": "0x120",
    f"solves_expected_total{{{ALPHA}}}": "0+1x120",
    f"solves_seen_total{{{ALPHA}}}": "0+1x120",
    f"spool_bytes{{{POOL}}}": "10000x120",
    f"spool_pending_shares{{{POOL}}}": "0x120",
    f"share_fsync_seconds{{{POOL}}}": "0.002x120",
    f"consumer_lag_shares{{{POOL}}}": "0x120",
    f"bans_total{{{POOL}}}": "0x120",
    f"reactor_lag_seconds{{{POOL}}}": "0.001x120",
}
AT = "2h"


def _evaluated(folder: Path, series: Mapping[str, str], expressions: Iterable[str]) -> tuple[int, str]:
    """promtool's verdict that each expression has no sample at the end of these histories."""
    content = {
        "rule_files": [str(PROMETHEUS / "recording.yml"), str(PROMETHEUS / "alerts.yml")],
        "evaluation_interval": "1m",
        "group_eval_order": [group["name"] for name in ("recording.yml", "alerts.yml") for group in groups(name)],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [{"expr": text, "eval_time": AT, "exp_samples": []} for text in expressions],
            }
        ],
    }
    return promtool("test", "rules", str(write_yaml(folder / "rules.yml", content)), cwd=folder)


def _filled(expression: str) -> str:
    return expression.replace("$chain", ".*").replace("$instance", ".*").replace("$__rate_interval", "5m")


FIRING = 'count by (alertname) (ALERTS{alertstate="firing"})'


def with_prefix(series: Mapping[str, str]) -> dict[str, str]:
    return {PREFIX + name: values for name, values in series.items()}


def test_monitoring_without_any_data_every_panel_is_empty_and_none_is_an_error(tmp_path: Path) -> None:
    code, said = _evaluated(tmp_path, {}, {_filled(query.expression) for query in queries()})
    assert code == 0, said


def test_monitoring_without_any_data_no_alert_fires(tmp_path: Path) -> None:
    code, said = _evaluated(tmp_path, {}, [FIRING])
    assert code == 0, said


def test_monitoring_of_an_older_pool_its_metrics_are_shown_and_the_other_panels_are_empty(tmp_path: Path) -> None:
    series = with_prefix(OLDER) | {f"up{{{POOL}}}": "1x120"}
    expressions = {_filled(query.expression) for query in queries()}
    code, said = _evaluated(tmp_path, series, expressions)
    assert code == 1 and "err:" not in said and "parse error" not in said, said
    shown = {text.replace('\\"', '"') for text in re.findall(r'^ +expr: "(.*)", time: ', said, re.MULTILINE)}
    told = {name.partition("{")[0] for name in series}
    answerable = {text for text in expressions if (names := set(NAME.findall(text))) and names <= told}
    assert {text for text in answerable if "> 0 or" not in text and "!~" not in text} == shown
    assert len(shown) > 20, "the rest asks for what was not told yet, or for reorganisations and refused blocks"


def test_monitoring_of_an_older_pool_that_is_well_no_alert_fires(tmp_path: Path) -> None:
    series = with_prefix(OLDER) | {f"up{{{POOL}}}": "1x120"}
    code, said = _evaluated(tmp_path, series, [FIRING])
    assert code == 0, said


@pytest.mark.parametrize(
    ("metric", "values", "alert"),
    [
        (f"chain_up{{{ALPHA}}}", "1x60 0x60", "ChainDown"),
        (f"job_age_seconds{{{POOL}}}", "5x60 900x60", "NoFreshWork"),
    ],
)
def test_monitoring_of_an_older_pool_that_is_not_well_the_alerts_it_can_raise_still_fire(
    metric: str, values: str, alert: str, tmp_path: Path
) -> None:
    series = with_prefix({**OLDER, metric: values}) | {f"up{{{POOL}}}": "1x120"}
    _, said = _evaluated(tmp_path, series, [FIRING])
    assert f'{{alertname="{alert}"' in said
