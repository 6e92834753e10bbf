"""Board 3: what is used, what it costs, and whether the bill arrives."""

from grafana_foundation_sdk.models import units

from dashboards.boards.expressions import rate
from dashboards.boards.panels import PER_S, TOKENS_PER_S, Panel, board, lines, number

USD_PER_H = "sum(rate(kosmosx_cost_micro_usd_total{here}[$__rate_interval])) * 3600 / 1e6"
OF_BOOKS = "All servers on the same books say the same: the largest is shown."

AT_A_GLANCE: list[Panel] = [
    number(
        "Used per hour",
        USD_PER_H,
        asks="What is used now, by the price book, in dollars an hour?",
        unit=units.Dollars,
        decimals=2,
    ),
    number(
        "Used in this time",
        "sum(increase(kosmosx_cost_micro_usd_total{here}[$__range])) / 1e6",
        asks="What was used in the time above? The ledger is what counts: this is its echo, and "
        "misses what a server counted after its last scrape.",
        unit=units.Dollars,
        decimals=2,
    ),
    number(
        "Oldest units not at Stripe",
        "max(kosmosx_outbox_oldest_pending_age_seconds{here})",
        asks="How late is the bill? Minutes are by design (KOSMOSX_STRIPE_DELAY_S).",
        unit=units.Seconds,
        limit=3600,
    ),
    number(
        "Dead rows",
        'max(kosmosx_outbox_rows{here, state="dead"})',
        asks="How many rows does Stripe refuse for good? Nobody pays for them until you look.",
        unit=units.Short,
        limit=1,
    ),
    number(
        "Units that differ",
        "max(kosmosx_reconcile_delta{here})",
        asks="By how many units do Stripe and we disagree, after reconciling?",
        unit=units.Short,
        limit=1,
    ),
    number(
        "Rows of nobody",
        "max(kosmosx_outbox_unlinked{here})",
        asks="How many rows wait for their account to be linked to a customer? All of them, as "
        "long as you do not bill through Stripe.",
        unit=units.Short,
    ),
]

USED: list[Panel] = [
    lines(
        "Money per hour",
        {
            "used": USD_PER_H,
            "a day before": USD_PER_H.replace("interval]", "interval] offset 1d"),
        },
        asks="How much is used, and is it as yesterday?",
        unit=units.Dollars,
        width=8,
    ),
    lines(
        "Tokens",
        {
            "{{gen_ai_token_type}}": rate("kosmosx_tokens_total{here}", "gen_ai_token_type"),
            "input, from the cache": rate("kosmosx_tokens_cached_total{here}"),
        },
        asks="What is it used for? Input from the prefix cache is part of the input.",
        unit=TOKENS_PER_S,
        width=8,
    ),
    lines(
        "Pictures and boxes",
        {
            "images": rate("kosmosx_images_total{here}"),
            "boxes": rate("kosmosx_detections_total{here}"),
        },
        asks="How many pictures are asked about, and how many boxes are drawn on them?",
        unit=PER_S,
        width=8,
    ),
    lines(
        "Cost of a turn",
        {
            "mean": "sum(rate(kosmosx_cost_micro_usd_total{here}[$__rate_interval])) / 1e6 / "
            "(sum(rate(kosmosx_turns_total{here}[$__rate_interval])) > 0)"
        },
        asks="Do turns get dearer: longer, or with more pictures?",
        unit=units.Dollars,
        width=8,
    ),
    lines(
        "Budgets and limits",
        {
            "budget spent: refused": rate(
                'kosmosx_refusals_total{here, code="insufficient_quota"}'
            ),
            "budget spent: cut short": rate('kosmosx_turns_total{here, outcome="budget"}'),
            "too fast for the plan": rate(
                'kosmosx_refusals_total{here, code="rate_limit_exceeded"}'
            ),
        },
        asks="How often does a budget or a plan's rate end the use? The accounts are in the logs.",
        unit=PER_S,
        width=16,
    ),
]

BILLED: list[Panel] = [
    lines(
        "Rows that Stripe does not have",
        {"{{state}}": "max by (state) (kosmosx_outbox_rows{here})"},
        asks="What is owed and not billed? `pending` goes in minutes; `ambiguous` waits for "
        f"reconciling; `dead` and `expired` want a look. {OF_BOOKS}",
        unit=units.Short,
        width=8,
    ),
    lines(
        "Oldest units not at Stripe",
        {"age": "max(kosmosx_outbox_oldest_pending_age_seconds{here})"},
        asks=f"Does the bill arrive in time? {OF_BOOKS}",
        unit=units.Seconds,
        limit=3600,
        width=8,
    ),
    lines(
        "What differs from Stripe",
        {
            "units": "max(kosmosx_reconcile_delta{here})",
            "hours": "max(kosmosx_reconcile_mismatched_hours{here})",
        },
        asks=f"Does Stripe have what we sent? {OF_BOOKS}",
        unit=units.Short,
        limit=1,
        width=8,
    ),
    lines(
        "Compared with Stripe",
        {"{{instance}}": "max by (instance) (kosmosx_reconcile_age_seconds{here})"},
        asks="How long ago did each server last compare all that was sent? A round comes every "
        "quarter of an hour; one server's is enough.",
        unit=units.Seconds,
        limit=3 * 3600,
        width=8,
    ),
    lines(
        "Settlements",
        {"{{outcome}}": rate("kosmosx_settlements_total{here}", "outcome")},
        asks="Do turns get into the ledger? `repeated` is harmless; `failed` is tried again; "
        "`late` came after its session was closed: it is billed, and not on that receipt.",
        unit=PER_S,
        stacked=True,
        width=8,
    ),
    lines(
        "Books answer",
        {"{{instance}}": "min by (instance) (kosmosx_books_up{here})"},
        asks="When could which server not reach the books? 1 could, 0 could not.",
        unit=units.Short,
        width=8,
    ),
]

BOARD = board(
    "kosmosx-money",
    "Kosmos-X: money",
    {
        "At a glance": AT_A_GLANCE,
        "What is used?": USED,
        "Does the bill arrive?": BILLED,
    },
    about="What is used, what it costs, and whether Stripe has it. Never bill from here: the "
    "ledger's rows are what counts.",
)
