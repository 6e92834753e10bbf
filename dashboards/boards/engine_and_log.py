"""Board 2: the engine, the log, and the servers between them."""

from grafana_foundation_sdk.models import units

from dashboards.boards.expressions import quantiles, rate
from dashboards.boards.panels import PER_S, TOKENS_PER_S, Panel, board, lines, number

AT_A_GLANCE: list[Panel] = [
    number(
        "Servers that take turns",
        "sum(kosmosx_ready{here})",
        asks="How many servers would answer a turn that is said now?",
        unit=units.Short,
        floor=1,
    ),
    number(
        "Engines that do not answer",
        "count(kosmosx_engine_ready{here} == 0) or vector(0)",
        asks="How many servers wait for their engine, to load or to come back?",
        unit=units.Short,
        limit=1,
    ),
    number(
        "Servers without their Redis",
        "count(kosmosx_redis_up{here} == 0) or vector(0)",
        asks="How many servers cannot write to the log? Nothing can be said without it.",
        unit=units.Short,
        limit=1,
    ),
    number(
        "Redis may lose what it took",
        "count(kosmosx_redis_durable{here} == 0) or vector(0)",
        asks="How many servers refuse turns because Redis, as it is set, may lose what it took?",
        unit=units.Short,
        limit=1,
    ),
    number(
        "Output",
        rate("kosmosx_tokens_committed_total{here}"),
        asks="How many tokens a second do all servers write?",
        unit=TOKENS_PER_S,
    ),
    number(
        "Restarts in 24 h",
        "sum(changes(process_start_time_seconds{here}[24h]))",
        asks="How often did servers start anew under the same address?",
        unit=units.Short,
    ),
]

ENGINE: list[Panel] = [
    lines(
        "Engine answers",
        {"{{instance}}": "min by (instance) (kosmosx_engine_ready{here})"},
        asks="When was which server without its engine? 1 answers; 0 loads or is lost.",
        unit=units.Short,
        width=8,
    ),
    lines(
        "Turns in the engine",
        {
            "live": "sum(kosmosx_turns_live{here})",
            "without a token yet": "sum(kosmosx_turns_waiting{here})",
        },
        asks="Is the engine full? If the second line follows the first, turns queue: more engines, "
        "or a longer look at what fills their cache.",
        unit=units.Short,
        width=8,
    ),
    lines(
        "Output tokens",
        {"{{instance}}": rate("kosmosx_tokens_committed_total{here}", "instance")},
        asks="How much does each server write?",
        unit=TOKENS_PER_S,
        stacked=True,
        width=8,
    ),
    lines(
        "Turns that lost their engine",
        {"{{instance}}": rate("kosmosx_engine_losses_total{here}", "instance")},
        asks="Under how many turns did the engine die? They wait for it to come back, and go on.",
        unit=PER_S,
        width=8,
    ),
    lines(
        "vLLM: requests",
        {
            "running {{instance}}": "sum by (instance) (vllm:num_requests_running)",
            "waiting {{instance}}": "sum by (instance) (vllm:num_requests_waiting)",
        },
        asks="What does each vLLM run, and what waits in it? Empty without vLLM's own metrics: "
        "with another engine, or where its servers are not scraped.",
        unit=units.Short,
        width=8,
    ),
    lines(
        "vLLM: cache",
        {
            "KV cache in use {{instance}}": "max by (instance) (vllm:kv_cache_usage_perc)",
            "prompt tokens from the prefix cache {{instance}}": "sum by (instance) "
            "(rate(vllm:prefix_cache_hits_total[$__rate_interval])) / (sum by (instance) "
            "(rate(vllm:prefix_cache_queries_total[$__rate_interval])) > 0)",
        },
        asks="Is the memory for keys and values full (then requests wait or are preempted), and "
        "does the prefix cache work? Empty as its neighbour.",
        unit=units.PercentUnit,
        width=8,
    ),
]

LOG: list[Panel] = [
    lines(
        "Group commit",
        quantiles("kosmosx_commit_duration_seconds"),
        asks="How long does a write to the log take, with Redis's fsync? No token is seen before.",
        unit=units.Seconds,
        limit=0.1,
        width=8,
    ),
    lines(
        "Writes in a commit",
        {
            "mean": f"{rate('kosmosx_commit_writes_sum{here}')} / "
            f"({rate('kosmosx_commit_writes_count{here}')} > 0)",
            "waiting": "sum(kosmosx_commit_pending{here})",
        },
        asks="How many turns share a round trip? More as there is more to write; what waits is in "
        "the next one.",
        unit=units.Short,
        width=8,
    ),
    lines(
        "Commits",
        {"{{instance}}": rate("kosmosx_commit_duration_seconds_count{here}", "instance")},
        asks="How many round trips a second does each server make?",
        unit=PER_S,
        stacked=True,
        width=8,
    ),
    lines(
        "Writes that the log did not take",
        {"{{reason}}": rate("kosmosx_commit_failures_total{here}", "reason")},
        asks="Why did writes fail? `unavailable`: Redis was not there; `fenced`: another server "
        "has the turn, which is how it should be after a pause.",
        unit=PER_S,
        stacked=True,
        width=8,
    ),
    lines(
        "From the log to the connection",
        quantiles("kosmosx_follow_lag_seconds"),
        asks="How long until what is committed is handed to its reader? Slow clients are in it.",
        unit=units.Seconds,
        width=8,
    ),
    lines(
        "The log went back",
        {"readers": 'sum(kosmosx_refusals_total{here, code="log_regressed"}) or vector(0)'},
        asks="How many readers, since the servers' starts, asked for words that they had read and "
        "the log has no more? None, unless Redis was restored from an older state, or lost what it "
        "had acknowledged.",
        unit=units.Short,
        limit=1,
        width=8,
    ),
]

SERVERS: list[Panel] = [
    lines(
        "Adoptions",
        {"{{outcome}}": rate("kosmosx_adoptions_total{here}", "outcome")},
        asks="What became of the turns of servers that were lost? `continued` goes on after its "
        "last token, `ended` failed, `settled` had ended already.",
        unit=PER_S,
        stacked=True,
        width=8,
    ),
    lines(
        "Turns left to others",
        {"{{instance}}": rate("kosmosx_turns_lost_total{here}", "instance")},
        asks="Which server had to leave turns to another one: on a drain, fenced off after a "
        "pause, or without its log?",
        unit=PER_S,
        stacked=True,
        width=8,
    ),
    lines(
        "Ready and draining",
        {
            "ready {{instance}}": "max by (instance) (kosmosx_ready{here})",
            "draining {{instance}}": "max by (instance) (kosmosx_draining{here})",
        },
        asks="When did which server come and go?",
        unit=units.Short,
        width=8,
    ),
    lines(
        "Event loop late by",
        quantiles("kosmosx_event_loop_lag_seconds"),
        asks="Is a server short of processor time? All of its clients wait for so long at once.",
        unit=units.Seconds,
        limit=0.25,
        width=8,
    ),
    lines(
        "Processor",
        {"{{instance}}": rate("process_cpu_seconds_total{here}", "instance")},
        asks="How many cores does each server use? One is all that its event loop can have.",
        unit=units.Short,
        width=8,
    ),
    lines(
        "Memory",
        {"{{instance}}": "max by (instance) (process_resident_memory_bytes{here})"},
        asks="Does a server grow?",
        unit=units.BytesIEC,
        width=8,
    ),
]

BOARD = board(
    "kosmosx-engine-and-log",
    "Kosmos-X: engine and log",
    {
        "At a glance": AT_A_GLANCE,
        "Does the engine keep up?": ENGINE,
        "Does the log keep up, and keep everything?": LOG,
        "Are the servers well?": SERVERS,
    },
    about="Why users wait: the engine, the log in Redis, and the servers between them.",
)
