"""What the dashboards are built of: a panel as data, and how it becomes Grafana's JSON.

Built with Grafana's own foundation SDK (grafana-foundation-sdk, schema of Grafana 11.6), so that what comes out is what
Grafana takes. Every panel says in its description what is normal and what to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import GraphDrawStyle, LegendDisplayMode, LegendPlacement, StackingMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    VariableHide,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
COLUMNS = 24
HEIGHT = 8

Kind = Literal["lines", "stacked", "number", "table", "states", "points"]


@dataclass(frozen=True)
class Panel:
    """`queries` are (PromQL, legend). `unit` is Grafana's id of a unit. `normal` and `do` make the description."""

    title: str
    queries: Sequence[tuple[str, str]]
    normal: str
    do: str
    unit: str = "short"
    kind: Kind = "lines"
    width: int = 12
    per_chain: bool = False
    logarithmic: bool = False

    @property
    def description(self) -> str:
        return f"**Normal:** {self.normal}\n\n**Do:** {self.do}"


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Board:
    """One dashboard. `variables` are labels to choose values of: chain, instance."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[str] = ()

    def panels(self) -> Iterable[Panel]:
        return (panel for row in self.rows for panel in row.panels)


ANNOTATIONS = (
    ("Blocks found", "green", "sum by (chain) (increase(parapool_found_blocks_total[$__rate_interval])) > 0", "{{chain}} found"),
    (
        "Reorganisations", "orange",
        "max by (chain) (resets(parapool_tip_height[5m])) > 0"
        ' or max by (chain) (delta(parapool_blocks_total{state="orphan"}[5m])) > 0',
        "{{chain}} reorganised",
    ),
    ("Restarts", "blue", "changes(parapool_process_start_time_seconds[5m]) > 0", "{{instance}} restarted"),
)  # fmt: skip


def to_json(board: Board) -> str:
    """The dashboard as it is checked in."""
    built = json.loads(json.dumps(_built(board), cls=JSONEncoder))
    for annotation, (_, _, expression, title) in zip(built["annotations"]["list"], ANNOTATIONS, strict=True):
        # Of the Prometheus data source; the SDK's schema knows no data source's own fields here.
        annotation |= {"expr": expression, "titleFormat": title, "step": "15s", "useValueForTime": False}
    return json.dumps(built, indent=1, sort_keys=True) + "\n"


def _built(board: Board) -> Any:
    builder = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags(["parapool"])
        .timezone("browser")
        .refresh("15s")
        .time("now-6h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(dashboard.DashboardLink("parapool").type("dashboards").tags(["parapool"]).as_dropdown(False).keep_time(True))
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus").hide(VariableHide.DONT_HIDE)
        )
    )
    for name in board.variables:
        builder = builder.with_variable(_variable(name))
    for title, color, _, _ in ANNOTATIONS:
        builder = builder.annotation(
            dashboard.AnnotationQuery().name(title).datasource(SOURCE).enable(True).icon_color(color).hide(False)
        )
    for row in board.rows:
        builder = builder.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            builder = builder.with_panel(_panel(panel))
    return builder.build()


def _variable(name: str) -> dashboard.QueryVariable:
    metric = {"chain": "parapool_chain_up", "instance": "parapool_process_start_time_seconds"}[name]
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(f"label_values({metric}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _panel(panel: Panel) -> Any:
    builder: Any = {
        "number": stat.Panel, "table": table.Panel, "states": statetimeline.Panel,
    }.get(panel.kind, timeseries.Panel)()  # fmt: skip
    builder = (
        builder.title(panel.title).description(panel.description).datasource(SOURCE).unit(panel.unit)
        .span(panel.width).height(HEIGHT if panel.kind != "number" else 5)
    )  # fmt: skip
    for index, (expression, legend) in enumerate(panel.queries):
        query = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + index))
        if panel.kind in ("table", "number"):
            query = query.instant()
        if panel.kind == "table":
            query = query.format(PromQueryFormat.TABLE)
        builder = builder.with_target(query)
    if panel.kind == "states":
        red_below_one = dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE)
        steps = [Threshold(color="red", value=None), Threshold(color="green", value=1.0)]
        builder = builder.thresholds(red_below_one.steps(steps)).color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    if panel.kind in ("lines", "stacked", "points"):
        builder = _graph(builder, panel)
    if panel.per_chain:
        builder = builder.repeat("chain")
    return builder


def _graph(builder: Any, panel: Panel) -> Any:
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    builder = builder.legend(legend.show_legend(True).calcs(["lastNotNull"]))
    if panel.kind == "stacked":
        builder = builder.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(30).min(0)
    if panel.kind == "points":
        builder = builder.draw_style(GraphDrawStyle.POINTS).point_size(4)
    if panel.logarithmic:
        log10 = common.ScaleDistributionConfig().log(10.0)
        builder = builder.scale_distribution(log10)
    # A band: the two edges are drawn thin and filled between.
    if any(legend == "95 % upper" for _, legend in panel.queries):
        for edge, below in (("95 % upper", "95 % lower"), ("95 % lower", None)):
            values = [DynamicConfigValue("custom.lineWidth", 0), DynamicConfigValue("custom.fillOpacity", 15)]
            if below is not None:
                values.append(DynamicConfigValue("custom.fillBelowTo", below))
            else:
                values[1] = DynamicConfigValue("custom.fillOpacity", 0)
            builder = builder.override_by_name(edge, values)
    return builder
