"""Every name that leaves the server: metrics, their labels, spans, and attributes. Pure.

Where OpenTelemetry's semantic conventions have a name, it is theirs: those for HTTP, which are
stable, and those for generative AI, which are not; they are here so that a change of theirs is a
change of this file. A metric has its OpenTelemetry name, which is sent over OTLP, and the one that
Prometheus knows it by, which follows from it. No label ever holds what a client chose, an account,
a session or a response: the number of series is bounded by this file.
"""

from typing import Literal

import msgspec

Kind = Literal["counter", "gauge", "histogram"]

FAST_S = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
"""Bounds in seconds for what happens at every step."""
TIME_PER_TOKEN_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
)  # fmt: skip
"""As GenAI's conventions advise, and finer below."""
FIRST_TOKEN_S = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0,
)  # fmt: skip
"""As GenAI's conventions advise, and further up: a prompt may wait for its engine."""
REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
WRITES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


class Label(msgspec.Struct, frozen=True):
    """What tells the series of a metric apart."""

    name: str
    """OpenTelemetry's."""
    values: str
    """Which there are, in words."""

    @property
    def prometheus(self) -> str:
        return self.name.replace(".", "_")


_UNITS = {"s": "seconds", "By": "bytes"}


class Metric(msgspec.Struct, frozen=True):
    """One metric; a histogram with the upper bounds of its buckets."""

    name: str
    kind: Kind
    unit: str
    """In UCUM, as OpenTelemetry has it; what is in braces is counted."""
    description: str
    labels: tuple[Label, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def prometheus(self) -> str:
        """The name of its family in Prometheus: with its unit, and `_total` if it counts."""
        parts = [self.name.replace(".", "_")]
        if self.unit in _UNITS:
            parts.append(_UNITS[self.unit])
        if self.kind == "counter":
            parts.append("total")
        return "_".join(parts)


# -- labels ------------------------------------------------------------------------------------

OPERATION = Label("gen_ai.operation.name", "`chat`")
PROVIDER = Label("gen_ai.provider.name", "`kosmosx`")
MODEL = Label(
    "gen_ai.request.model",
    "the name of the model, or of the cheaper one (`KOSMOSX_FALLBACK_MODEL`)",
)
TOKEN_TYPE = Label("gen_ai.token.type", "`input`, `output`")
ERROR_TYPE = Label("error.type", "empty, or the code of the failed turn's error")
METHOD = Label("http.request.method", "GET, POST, ..., `_OTHER`")
ROUTE = Label("http.route", "a path of the API with its placeholders; `other` for what is no path")
STATUS = Label("http.response.status_code", "200, 404, ...; 0 where the client left before it")
TRANSPORT = Label("transport", "`http`, `websocket`")
OUTCOME = Label(
    "outcome", "`stop`, `length`, `cancelled`, `budget`, `error`, `warmed`, `steered`: `EndReason`"
)
CODE = Label("code", "an error code of the protocol (`protocol/errors.py`)")
COMMIT_FAILURE = Label("reason", "`fenced`, `conflict`, `unavailable`")
ADOPTED = Label(
    "outcome",
    "`continued` (goes on here), `ended` (with an error: nobody could), `settled` (had ended)",
)
SETTLED = Label(
    "outcome",
    "`recorded`, `repeated` (was in the books), `late` (its session was closed), `failed` "
    "(is tried again)",
)
ROW_STATE = Label("state", "`pending`, `ambiguous`, `dead`, `expired`")
VERSION = Label("version", "of the server")

GEN_AI = (OPERATION, PROVIDER, MODEL)

# -- users' experience -------------------------------------------------------------------------

SESSIONS_ACTIVE = Metric(
    "kosmosx.sessions.active", "gauge", "{session}", "Sessions that are open on this instance."
)
CONNECTIONS_OPEN = Metric(
    "kosmosx.connections.open",
    "gauge",
    "{connection}",
    "WebSockets that are open, and HTTP requests under way (with those that stream).",
    (TRANSPORT,),
)
TURNS_LIVE = Metric(
    "kosmosx.turns.live", "gauge", "{turn}", "Turns that have begun here and are not settled."
)
TURNS_WAITING = Metric(
    "kosmosx.turns.waiting",
    "gauge",
    "{turn}",
    "The queue: live turns without a token yet, in the engine's queue or in their prefill.",
)
TURNS = Metric(
    "kosmosx.turns", "counter", "{turn}", "Turns that were settled, by how they ended.", (OUTCOME,)
)
TIME_TO_FIRST_TOKEN = Metric(
    "gen_ai.server.time_to_first_token",
    "histogram",
    "s",
    "From a turn's admission until its first token is committed, i.e. can be read.",
    GEN_AI,
    FIRST_TOKEN_S,
)
TIME_PER_OUTPUT_TOKEN = Metric(
    "gen_ai.server.time_per_output_token",
    "histogram",
    "s",
    "Mean time per token after the first one, of each turn with two tokens or more.",
    GEN_AI,
    TIME_PER_TOKEN_S,
)
REQUEST_DURATION = Metric(
    "gen_ai.server.request.duration",
    "histogram",
    "s",
    "From a turn's admission to its end, wherever it was generated.",
    (*GEN_AI, ERROR_TYPE),
    REQUEST_S,
)
INTER_TOKEN_GAP = Metric(
    "kosmosx.inter_token.gap",
    "histogram",
    "s",
    "Between two commits of one turn's tokens: what its reader waits between two pieces of text.",
    (),
    FAST_S,
)
FOLLOW_LAG = Metric(
    "kosmosx.follow.lag",
    "histogram",
    "s",
    "From a commit until a reader on this instance has handed its events to the connection; a slow "
    "client is in it.",
    (),
    FAST_S,
)
REFUSALS = Metric(
    "kosmosx.refusals",
    "counter",
    "{refusal}",
    "Requests and commands that were refused.",
    (CODE, TRANSPORT),
)
HTTP_DURATION = Metric(
    "http.server.request.duration",
    "histogram",
    "s",
    "HTTP requests to the last byte of their answers; a stream lasts as long as its turn.",
    (METHOD, ROUTE, STATUS),
    REQUEST_S,
)

# -- engine and log ----------------------------------------------------------------------------

READY = Metric(
    "kosmosx.ready", "gauge", "1", "1 if a turn that is said now would be answered (readiness)."
)
DRAINING = Metric("kosmosx.draining", "gauge", "1", "1 once the instance is about to leave.")
ENGINE_READY = Metric(
    "kosmosx.engine.ready", "gauge", "1", "1 if the engine answers; 0 while it loads or is lost."
)
ENGINE_LOSSES = Metric(
    "kosmosx.engine.losses",
    "counter",
    "{turn}",
    "Turns under which the engine died; they wait for it to come back.",
)
COMMIT_DURATION = Metric(
    "kosmosx.commit.duration",
    "histogram",
    "s",
    "One group commit to the log: a round trip to Redis and its fsync.",
    (),
    FAST_S,
)
COMMIT_WRITES = Metric(
    "kosmosx.commit.writes",
    "histogram",
    "{write}",
    "Writes that went in one group commit.",
    (),
    WRITES,
)
COMMIT_PENDING = Metric(
    "kosmosx.commit.pending", "gauge", "{write}", "Writes that wait for the next group commit."
)
COMMIT_FAILURES = Metric(
    "kosmosx.commit.failures",
    "counter",
    "{write}",
    "Writes that the log did not take: their turns go on elsewhere.",
    (COMMIT_FAILURE,),
)
TOKENS_COMMITTED = Metric(
    "kosmosx.tokens.committed",
    "counter",
    "{token}",
    "Output tokens that were committed here, as they come; those held back for grammar, stop "
    "strings or boxes count when they are released.",
)
ADOPTIONS = Metric(
    "kosmosx.adoptions",
    "counter",
    "{turn}",
    "Turns of lost instances that this one took over.",
    (ADOPTED,),
)
TURNS_LOST = Metric(
    "kosmosx.turns.lost",
    "counter",
    "{turn}",
    "Turns that this instance had to leave to another one: handed over, fenced off, or the log "
    "could not be written.",
)
REDIS_UP = Metric(
    "kosmosx.redis.up", "gauge", "1", "1 if Redis took a write when it was last tried (every 10 s)."
)
REDIS_DURABLE = Metric(
    "kosmosx.redis.durable",
    "gauge",
    "1",
    "1 if Redis's settings keep what it acknowledges; no turn begins otherwise.",
)
LOOP_LAG = Metric(
    "kosmosx.event_loop.lag",
    "histogram",
    "s",
    "By how much the event loop was late, measured four times a second.",
    (),
    FAST_S,
)

# -- money -------------------------------------------------------------------------------------

TOKENS = Metric(
    "kosmosx.tokens",
    "counter",
    "{token}",
    "Tokens of settled turns, as the ledger has them.",
    (TOKEN_TYPE,),
)
TOKENS_CACHED = Metric(
    "kosmosx.tokens.cached",
    "counter",
    "{token}",
    "The input tokens of settled turns that came from the prefix cache; they are among the input.",
)
IMAGES = Metric("kosmosx.images", "counter", "{image}", "Images that settled turns brought.")
DETECTIONS = Metric(
    "kosmosx.detections", "counter", "{box}", "Boxes that settled turns were given."
)
COST = Metric(
    "kosmosx.cost.micro_usd",
    "counter",
    "{micro_usd}",
    "What settled turns cost, in millionths of a dollar, as the ledger has it.",
)
SETTLEMENTS = Metric(
    "kosmosx.settlements",
    "counter",
    "{turn}",
    "Attempts to write a turn into the ledger. `late` and `failed` want a look.",
    (SETTLED,),
)
BOOKS_UP = Metric(
    "kosmosx.books.up", "gauge", "1", "1 if the books answered when they were last asked (15 s)."
)
OUTBOX_ROWS = Metric(
    "kosmosx.outbox.rows",
    "gauge",
    "{row}",
    "Rows of the outbox that Stripe does not have. All instances on the same books say the same: "
    "take the maximum, not the sum.",
    (ROW_STATE,),
)
OUTBOX_UNLINKED = Metric(
    "kosmosx.outbox.unlinked", "gauge", "{row}", "Pending rows of accounts without a customer."
)
OUTBOX_AGE = Metric(
    "kosmosx.outbox.oldest_pending.age",
    "gauge",
    "s",
    "How long ago the oldest units were used that are not sent; 0 if none are.",
)
RECONCILE_HOURS = Metric(
    "kosmosx.reconcile.mismatched_hours",
    "gauge",
    "{hour}",
    "Hours in which Stripe has something else than was sent.",
)
RECONCILE_DELTA = Metric(
    "kosmosx.reconcile.delta", "gauge", "{unit}", "By how many units, all hours together."
)
RECONCILE_AGE = Metric(
    "kosmosx.reconcile.age",
    "gauge",
    "s",
    "How long ago this instance last compared with Stripe all that can be compared, or began to "
    "try; 0 where nothing is sent to Stripe.",
)
BUILD = Metric("kosmosx.build.info", "gauge", "1", "Always 1.", (VERSION,))

METRICS = tuple(each for each in tuple(globals().values()) if isinstance(each, Metric))
"""All of them. `process_*` and `python_gc_*` of prometheus_client come beside them, and vLLM's own
(`vllm:*`) where it runs in the same process, and with several workers from their host. Its gap
between tokens is not counted; ours is."""

# -- spans -------------------------------------------------------------------------------------

SPAN_HTTP = "{method} {route}"
"""A request, e.g. `POST /v1/responses`; with `http.*` attributes."""
SPAN_SOCKET = "response.create"
"""A command on a WebSocket, until its answer was sent."""
SPAN_ADMISSION = "admission"
"""Images, history, window and prompt; what the key may have."""
SPAN_LEASE = "lease"
"""The session, the turn's place in the log and in its conversation, and its budget."""
SPAN_TURN = "chat {model}"
"""GenAI's: from the lease to the settlement, on one instance. An adopter's is a child of its
predecessor's, and links to it."""
SPAN_ENGINE = "engine"
"""From the prompt's way to the engine to the last token, which it has sent."""
SPAN_COMMIT = "commit"
"""From the first write that waited for the log to the last one that is in it: one span for all
commits of a turn, with their number and durations."""
SPAN_SETTLEMENT = "settlement"
"""The ledger's rows."""

FIRST_PIECE = "first_token"
"""On the turn's span: the first tokens are committed."""

# -- attributes --------------------------------------------------------------------------------

# Those of metrics are above. Spans may have what is unbounded; prompts and answers stay out.
RESPONSE_ID = "gen_ai.response.id"
CONVERSATION_ID = "gen_ai.conversation.id"
MAX_TOKENS = "gen_ai.request.max_tokens"
TEMPERATURE = "gen_ai.request.temperature"
TOP_P = "gen_ai.request.top_p"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
SESSION_ID = "session.id"
IMAGE_COUNT = "kosmosx.images"
ADOPTED_AT_ENTRY = "kosmosx.adopted_at_entry"
COMMIT_COUNT = "kosmosx.commits"
COMMIT_SECONDS = "kosmosx.commit.seconds"
"""In total, of the turn."""
COMMIT_LONGEST_S = "kosmosx.commit.longest_s"
