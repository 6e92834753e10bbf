"""PromQL that more than one panel needs: rates, quantiles, and what misses the three objectives.

The objectives are those of `alerts-users.yaml`, whose recorded series say the same.
"""

from collections.abc import Sequence

FAULTS = "server_error|server_unavailable|store_unavailable|log_unavailable|server_busy"
"""Codes of refusals that are the server's fault, not the client's."""
NO_FAULTS = "|invalid_prompt|conversation_conflict"
"""How turns end that did not fail, or not by the server's fault."""

_TURNS = "gen_ai_server_request_duration_seconds_count{here}"
_TURNS_FAILED = f'gen_ai_server_request_duration_seconds_count{{here, error_type!~"{NO_FAULTS}"}}'
_TURNED_AWAY = f'kosmosx_refusals_total{{here, code=~"{FAULTS}"}}'


def rate(metric: str, by: str = "") -> str:
    """How many a second, over all servers; `by` names the labels that stay."""
    return f"sum{_by(by)} (rate({metric}[$__rate_interval]))"


def quantiles(histogram: str, quantiles: Sequence[float] = (0.5, 0.95, 0.99)) -> dict[str, str]:
    """Of a histogram's values, over all servers, each by its name."""
    buckets = f"sum by (le) (rate({histogram}_bucket{{here}}[$__rate_interval]))"
    return {f"p{q * 100:g}": f"histogram_quantile({q}, {buckets})" for q in quantiles}


def failed_answers(window: str) -> str:
    """The share of questions that got no answer by the server's fault."""
    failed = f"sum(increase({_TURNS_FAILED}[{window}]) or increase({_TURNED_AWAY}[{window}]))"
    asked = f"sum(increase({_TURNS}[{window}]) or increase({_TURNED_AWAY}[{window}]))"
    return f"({failed} or vector(0)) / ({asked} > 0)"


def late_first_tokens(window: str) -> str:
    """The share of answers whose first token took longer than the objective's 2.5 s."""
    return _above("gen_ai_server_time_to_first_token_seconds", "2.5", window)


def late_pieces(window: str) -> str:
    """The share of pieces of text that kept their reader waiting for more than 0.5 s."""
    return _above("kosmosx_inter_token_gap_seconds", "0.5", window)


def _above(histogram: str, bound: str, window: str) -> str:
    soon = f'sum(increase({histogram}_bucket{{here, le="{bound}"}}[{window}]))'
    return f"1 - {soon} / (sum(increase({histogram}_count{{here}}[{window}])) > 0)"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
