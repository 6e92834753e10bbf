"""Boards and alerts ask for what the server emits: metrics, labels, their values, and bounds."""

import importlib.util
import re
from pathlib import Path

import pytest

from kosmosx_stream.protocol import errors
from kosmosx_stream.telemetry import names
from tests.dashboards.expressions import (
    EXPRESSIONS,
    PROCESS,
    RULES,
    TARGET_LABELS,
    Selector,
    family,
    known_values,
    labels_named,
    labels_of,
    parsed,
    selectors,
)

RECORDED = {rule["record"] for rule in RULES if "record" in rule}
CODES = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", errors.__doc__ or ""))
"""The codes that the protocol's table of errors names."""
EVERY = pytest.mark.parametrize(
    "expression", [each for _, each in EXPRESSIONS], ids=[place for place, _ in EXPRESSIONS]
)


def from_elsewhere(metric: str) -> bool:
    return metric in PROCESS | RECORDED | {"up"} or metric.startswith("vllm:")


@EVERY
def test_it_is_promql(expression: str) -> None:
    assert parsed(expression)


@EVERY
def test_metrics_and_labels_are_there(expression: str) -> None:
    known = set(TARGET_LABELS)
    for selector in selectors(expression):
        assert family(selector.metric) or from_elsewhere(selector.metric), selector.metric
        assert set(selector.matchers) <= labels_of(selector.metric), selector
        known |= labels_of(selector.metric)
    assert labels_named(expression) <= known


@EVERY
def test_labels_have_the_values_that_are_asked_for(expression: str) -> None:
    for selector in selectors(expression):
        for label, pattern in selector.matchers.items():
            check_values(selector, label, pattern)


def check_values(selector: Selector, label: str, pattern: str) -> None:
    metric = family(selector.metric)
    if metric is None or label in TARGET_LABELS:
        return
    if label == "le":
        assert float(pattern) in metric.bounds, selector
        # Prometheus 3 writes whole numbers in another way than 2 does.
        assert float(pattern) % 1, selector
    elif label == names.STATUS.prometheus:
        assert re.fullmatch(pattern, "503"), selector
    elif label == names.ROUTE.prometheus:
        assert re.fullmatch(pattern, "/health/ready"), selector
    else:
        known = known_values(label, metric)
        if label in {names.CODE.prometheus, names.ERROR_TYPE.prometheus} or known is None:
            known = CODES
        assert {value for value in pattern.split("|") if value} <= known, selector


def test_vllm_s_names_are_vllm_s() -> None:
    """Public boards for vLLM ask for names that it does not have any more."""
    package = importlib.util.find_spec("vllm")
    assert package is not None
    assert package.origin is not None
    source = (Path(package.origin).parent / "v1/metrics/loggers.py").read_text()
    emitted = set(re.findall(r'name="(vllm:\w+)"', source))
    asked = {
        selector.metric
        for _, expression in EXPRESSIONS
        for selector in selectors(expression)
        if selector.metric.startswith("vllm:")
    }
    assert asked
    assert {name.removesuffix("_total") for name in asked} <= emitted


def test_a_wrong_name_or_value_would_be_found() -> None:
    with pytest.raises(AssertionError):
        test_metrics_and_labels_are_there("rate(kosmosx_turn_total[5m])")
    with pytest.raises(AssertionError):
        test_metrics_and_labels_are_there("sum by (reason) (kosmosx_turns_total)")
    with pytest.raises(AssertionError):
        test_labels_have_the_values_that_are_asked_for('kosmosx_turns_total{outcome="failed"}')
    with pytest.raises(AssertionError):
        test_labels_have_the_values_that_are_asked_for('kosmosx_refusals_total{code="too_busy"}')
