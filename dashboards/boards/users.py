"""Board 1: what users of the server experience."""

from grafana_foundation_sdk.models import units

from dashboards.boards.expressions import (
    failed_answers,
    late_first_tokens,
    late_pieces,
    quantiles,
    rate,
)
from dashboards.boards.panels import PER_S, Panel, board, lines, number

AT_A_GLANCE: list[Panel] = [
    number(
        "Answers that came",
        f"1 - {failed_answers('$__range')}",
        asks="How many questions got their answer, in the time above? A failure is the engine's, "
        "the log's or the books'. Objective: 99.5 %.",
        unit=units.PercentUnit,
        floor=0.995,
        decimals=2,
    ),
    number(
        "First token within 2.5 s",
        f"1 - ({late_first_tokens('$__range')})",
        asks="How many answers began soon, in the time above? Objective: 95 %.",
        unit=units.PercentUnit,
        floor=0.95,
        decimals=2,
    ),
    number(
        "Next piece within 0.5 s",
        f"1 - ({late_pieces('$__range')})",
        asks="Once begun, how steadily did answers flow, in the time above? Objective: 99 %.",
        unit=units.PercentUnit,
        floor=0.99,
        decimals=2,
    ),
    number(
        "Open sessions",
        "sum(kosmosx_sessions_active{here})",
        asks="How many sessions are open now, on all servers?",
        unit=units.Short,
    ),
    number(
        "Live turns",
        "sum(kosmosx_turns_live{here})",
        asks="How many answers are being written now?",
        unit=units.Short,
    ),
    number(
        "Without a token yet",
        "sum(kosmosx_turns_waiting{here})",
        asks="How many of the live turns wait for their first token: in the engine's queue or in "
        "their prefill?",
        unit=units.Short,
    ),
]

WAITING: list[Panel] = [
    lines(
        "Time to first token",
        quantiles("gen_ai_server_time_to_first_token_seconds"),
        asks="How long do users look at nothing? From a turn's admission until its first token can "
        "be read. If this rises and the engine's queue too (board: engine and log), engines are "
        "missing. The points are examples: their trace_id is in the logs and the traces.",
        unit=units.Seconds,
        limit=2.5,
        exemplars=True,
    ),
    lines(
        "Gap between two pieces of text",
        quantiles("kosmosx_inter_token_gap_seconds"),
        asks="Does the text flow or stutter? What a reader waits between two pieces.",
        unit=units.Seconds,
        limit=0.5,
        exemplars=True,
    ),
    lines(
        "Whole answers",
        quantiles("gen_ai_server_request_duration_seconds"),
        asks="How long does a whole answer take? It grows with the answer's length: read it with "
        "the time per token.",
        unit=units.Seconds,
    ),
    lines(
        "Time per token",
        quantiles("gen_ai_server_time_per_output_token_seconds"),
        asks="How fast does the engine write, one answer at a time?",
        unit=units.Seconds,
    ),
]

ANSWERED: list[Panel] = [
    lines(
        "How turns end",
        {"{{outcome}}": rate("kosmosx_turns_total{here}", "outcome")},
        asks="What becomes of the turns? `stop` and `length` are whole answers; `cancelled` and "
        "`steered` are the user's will; `budget` is a spent budget; `error` is ours.",
        unit=PER_S,
        stacked=True,
    ),
    lines(
        "Budgets of errors, how fast they are spent",
        {
            "answers that failed": f"({failed_answers('1h')}) / 0.005",
            "late first tokens": f"({late_first_tokens('1h')}) / 0.05",
            "late pieces": f"({late_pieces('1h')}) / 0.01",
        },
        asks="Is an objective in danger? 1 spends exactly what the objective allows; at 14.4 a "
        "month's budget is gone in two days, and an alert rings.",
        unit=units.Short,
        limit=14.4,
    ),
    lines(
        "Refusals",
        {"{{code}}": rate("kosmosx_refusals_total{here}", "code")},
        asks="Who is turned away, and why? The codes are those that the client got. Codes of load "
        "(server_unavailable, store_unavailable, log_unavailable) count as failed answers.",
        unit=PER_S,
        stacked=True,
    ),
    lines(
        "Failed HTTP requests",
        {
            "{{http_route}} {{http_response_status_code}}": rate(
                "http_server_request_duration_seconds_count"
                '{here, http_response_status_code=~"5..", http_route!~"/health/.*"}',
                "http_route, http_response_status_code",
            )
        },
        asks="Which route answers with 5xx? Probes that find a server not ready are left out.",
        unit=PER_S,
        stacked=True,
    ),
]

PRESENT: list[Panel] = [
    lines(
        "Open sessions",
        {"{{instance}}": "sum by (instance) (kosmosx_sessions_active{here})"},
        asks="How many sessions does each server have, and are they spread?",
        unit=units.Short,
        stacked=True,
        width=8,
    ),
    lines(
        "Connections",
        {"{{transport}}": "sum by (transport) (kosmosx_connections_open{here})"},
        asks="How do clients come: over WebSockets, or HTTP with its streams?",
        unit=units.Short,
        stacked=True,
        width=8,
    ),
    lines(
        "HTTP requests",
        {"{{http_route}}": rate("http_server_request_duration_seconds_count{here}", "http_route")},
        asks="Which routes are used, and how much?",
        unit=PER_S,
        stacked=True,
        width=8,
    ),
]

BOARD = board(
    "kosmosx-users",
    "Kosmos-X: users' experience",
    {
        "At a glance": AT_A_GLANCE,
        "How long do users wait?": WAITING,
        "Do they get their answers?": ANSWERED,
        "How many are here?": PRESENT,
    },
    about="Do users get answers, soon and steadily? Objectives and alerts are in docs/runbooks.",
)
