"""The kinds of panels and the frame that the three boards share: their look, in one place.

Expressions are PromQL as Grafana sends it, with one shorthand: `{here}` stands for the servers
that were chosen above the board, `{here, kind="x"}` for these and more.
"""

from collections.abc import Mapping

from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as StatPanel
from grafana_foundation_sdk.builders.timeseries import Panel as TimeseriesPanel
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    Dashboard as Board,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

TAG = "kosmosx"
EVERYWHERE = "kosmosx_build_info"
"""A metric that every server has."""
HERE = 'job=~"$job", instance=~"$instance"'
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 8
LOW_HEIGHT = 4
GOOD, BAD = "green", "red"
PER_S, TOKENS_PER_S = "suffix:/s", "suffix:tok/s"
"""Units that Grafana has no name for."""

Queries = Mapping[str, str]
"""What a line is called (`{{label}}` is the label's value), and its expression."""

Panel = TimeseriesPanel | StatPanel


def lines(
    title: str,
    queries: Queries,
    *,
    asks: str,
    unit: str,
    width: int = 12,
    limit: float | None = None,
    stacked: bool = False,
    exemplars: bool = False,
) -> TimeseriesPanel:
    """Values over time; above `limit` they are too many, too slow or too old."""
    panel = (
        TimeseriesPanel()
        .title(title)
        .description(asks)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .height(HEIGHT)
        .span(width)
        .fill_opacity(30 if stacked else 8)
        .show_points(VisibilityMode.NEVER)
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
        .legend(
            VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs([])
        )
    )
    if stacked:
        panel.stacking(StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if limit is not None:
        panel.thresholds(_above(limit)).thresholds_style(
            GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        )
    for query in _targets(queries):
        panel.with_target(query.range().exemplar(exemplars))
    return panel


def number(
    title: str,
    expression: str,
    *,
    asks: str,
    unit: str,
    width: int = 4,
    limit: float | None = None,
    floor: float | None = None,
    decimals: int | None = None,
) -> StatPanel:
    """The value now, or over the whole time (`$__range`); red from `limit` on, or below `floor`."""
    panel = (
        StatPanel()
        .title(title)
        .description(asks)
        .datasource(SOURCE)
        .unit(unit)
        .height(LOW_HEIGHT)
        .span(width)
        .no_value("none")
        .graph_mode(BigValueGraphMode.AREA)
        .color_mode(BigValueColorMode.VALUE)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    if decimals is not None:
        panel.decimals(decimals)
    if limit is not None:
        panel.thresholds(_above(limit))
    elif floor is not None:
        panel.thresholds(_steps(BAD, floor, GOOD))
    else:
        panel.thresholds(ThresholdsConfig().steps([Threshold(value=None, color="text")]))
    (query,) = _targets({"": expression})
    return panel.with_target(query.instant() if "$__range" in expression else query.range())


def board(uid: str, title: str, rows: Mapping[str, list[Panel]], *, about: str) -> Board:
    """A board of rows of panels."""
    frame = (
        Dashboard(title)
        .uid(uid)
        .description(about)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .refresh("30s")
        .time("now-3h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(
            DashboardLink("Boards")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .icon("external link")
            .keep_time(True)
            .include_vars(True)
        )
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_choice("job", f"label_values({EVERYWHERE}, job)"))
        .with_variable(_choice("instance", f'label_values({EVERYWHERE}{{job=~"$job"}}, instance)'))
    )
    number_of_panel = 0
    for row_title, panels in rows.items():
        number_of_panel += 1
        frame.with_row(Row(row_title).id(number_of_panel))
        for panel in panels:
            number_of_panel += 1
            frame.with_panel(panel.id(number_of_panel))
    return frame.build()


def _targets(queries: Queries) -> list[Dataquery]:
    return [
        Dataquery()
        .expr(expression.replace("{here", "{" + HERE))
        .legend_format(legend or "__auto")
        .ref_id(chr(ord("A") + index))
        .datasource(SOURCE)
        for index, (legend, expression) in enumerate(queries.items())
    ]


def _above(limit: float) -> ThresholdsConfig:
    return _steps(GOOD, limit, BAD)


def _steps(below: str, limit: float, above: str) -> ThresholdsConfig:
    return (
        ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=None, color=below), Threshold(value=limit, color=above)])
    )


def _choice(name: str, query: str) -> QueryVariable:
    """A variable of many values, all of them at first."""
    return (
        QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query({"query": query, "refId": name})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(text="All", value="$__all", selected=True))
    )
