"""Every expression of the boards and the alerts, parsed, and what it asks for by name."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import yaml
from promql_parser import AggregateExpr, BinaryExpr, Expr, VectorSelector

from kosmosx_stream.telemetry.names import METRICS, Metric

ROOT = Path(__file__).parents[2]
BOARDS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "dashboards").glob("*.json")}
ALERTS = {
    path.stem: yaml.safe_load(path.read_text())["groups"]
    for path in (ROOT / "dashboards").glob("alerts*.yaml")
}
RULES = [rule for groups in ALERTS.values() for group in groups for rule in group["rules"]]
WINDOWS = {"$__rate_interval": "1m", "$__range": "3h"}
"""What Grafana puts in, for example."""
TARGET_LABELS = {"namespace", "job", "instance"}
"""What Prometheus adds to everything that it scrapes."""
PROCESS = {
    "process_start_time_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
}
"""Of prometheus_client, which tells them of any process."""


class Selector(NamedTuple):
    """A metric that is asked for, and the labels that it must have."""

    metric: str
    matchers: dict[str, str]


def filled(expression: str) -> str:
    """As Grafana sends it when all servers are chosen."""
    for variable, value in WINDOWS.items():
        expression = expression.replace(variable, value)
    return expression.replace("$job", ".*").replace("$instance", ".*")


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels of a board, without the rows between them."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def board_expressions() -> Iterator[tuple[str, str]]:
    """Each with the place where it stands."""
    for name, board in BOARDS.items():
        for panel in panels(board):
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}: {target['legendFormat']}", target["expr"]


def rule_expressions() -> Iterator[tuple[str, str]]:
    for rule in RULES:
        yield rule.get("alert") or rule["record"], rule["expr"]


EXPRESSIONS = [*board_expressions(), *rule_expressions()]


def parsed(expression: str) -> Expr:
    return promql_parser.parse(filled(expression))


def nodes(expression: str) -> list[Expr]:
    """All parts of an expression."""
    found: list[Expr] = []
    promql_parser.walk(parsed(expression), found.append)  # type: ignore[func-returns-value]
    return found


def selectors(expression: str) -> list[Selector]:
    return [
        Selector(node.name or "", {each.name: each.value for each in node.matchers.matchers})
        for node in nodes(expression)
        if isinstance(node, VectorSelector)
    ]


def labels_named(expression: str) -> set[str]:
    """Labels that are grouped or joined by."""
    named: set[str] = set()
    for node in nodes(expression):
        if isinstance(node, AggregateExpr) and node.modifier:
            named |= set(node.modifier.labels)
        if isinstance(node, BinaryExpr) and node.modifier and node.modifier.matching:
            named |= set(node.modifier.matching.labels)
    return named


def family(series: str) -> Metric | None:
    """The server's metric that a series is of."""
    for metric in METRICS:
        if metric.kind == "histogram":
            if series in {f"{metric.prometheus}_{part}" for part in ("bucket", "count", "sum")}:
                return metric
        elif series == metric.prometheus:
            return metric
    return None


def labels_of(series: str) -> set[str]:
    """All labels that a series of the server can have."""
    metric = family(series)
    own = {label.prometheus for label in metric.labels} if metric else set()
    return own | TARGET_LABELS | ({"le"} if series.endswith("_bucket") else set())


def known_values(label: str, metric: Metric) -> set[str] | None:
    """The values that names.py says a label has; None if it names none."""
    (found,) = (each for each in metric.labels if each.prometheus == label)
    return set(re.findall(r"`([a-z_]+)`", found.values)) or None
