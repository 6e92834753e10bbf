import re

from kosmosx_stream.telemetry import names
from kosmosx_stream.telemetry.names import METRICS


def test_each_name_is_one_metrics() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS) > 30
    assert len({metric.prometheus for metric in METRICS}) == len(METRICS)


def test_prometheus_can_have_them_all() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.prometheus), metric
        for label in metric.labels:
            assert re.fullmatch(r"[a-z][a-z0-9_]*", label.prometheus), label


def test_units_and_totals_are_in_their_names() -> None:
    assert names.TURNS.prometheus == "kosmosx_turns_total"
    assert names.COMMIT_DURATION.prometheus == "kosmosx_commit_duration_seconds"
    assert names.TIME_TO_FIRST_TOKEN.prometheus == "gen_ai_server_time_to_first_token_seconds"
    assert names.SESSIONS_ACTIVE.prometheus == "kosmosx_sessions_active"


def test_histograms_have_rising_bounds_and_nothing_else_has_any() -> None:
    for metric in METRICS:
        assert bool(metric.bounds) == (metric.kind == "histogram"), metric
        assert list(metric.bounds) == sorted(set(metric.bounds)), metric
