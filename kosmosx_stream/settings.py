"""All settings: one frozen object, read once. Order: command line, environment, defaults."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from metering.keys import PEPPER_BYTES
from metering.plans import PlanName
from metering.stripe.mode import Mode, check_mode

LAST_PORT = 65535
NANO_CHECKPOINT = Path(__file__).parent / "kosmosx" / "nano" / "checkpoint"


def _split(given: object) -> object:
    if not isinstance(given, str):
        return given
    return tuple(part.strip() for part in given.split(",") if part.strip())


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A list that stands in one environment variable: `a,b`."""


class Settings(BaseSettings):
    """Environment variables carry the prefix `KOSMOSX_`, e.g. `KOSMOSX_PORT=9000`."""

    model_config = SettingsConfigDict(
        env_prefix="KOSMOSX_",
        # As Compose has `${NAME:-}`.
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=LAST_PORT)
    """Port to listen on; 0 takes a free one."""
    workers: int = Field(default=1, ge=1, le=64)
    """Serving processes on this host. They share the port, one Valkey, one set of books and one
    engine; limits per key and per address are those of each of them."""
    data_dir: Path = Path("data")
    """Everything the server writes lies below this folder."""
    redis_url: SecretStr | None = Field(default=None, validation_alias="REDIS_URL")
    """Redis or Valkey for memory and log; by default the server starts an own Valkey."""
    redis_durability: Literal["always", "everysec", "none"] = "always"
    """What of an acknowledged write has to be on the store's disk: it, all but the last second or
    so, or nothing. With less than "always" a crash of the store may lose what was delivered."""
    database: Path | None = None
    """SQLite file of the books; by default in the data folder. Servers on one host may share it."""
    supabase_url: str | None = Field(default=None, validation_alias="SUPABASE_URL")
    """Supabase project with the books, instead of a file: for servers on several hosts."""
    supabase_service_key: SecretStr | None = Field(
        default=None, validation_alias="SUPABASE_SERVICE_KEY", validate_default=True
    )
    """The project's secret key (`sb_secret_...`), or the JWT of its role `service_role`."""
    key_pepper: SecretStr | None = Field(default=None, validate_default=True)
    """Secret mixed into the hashes of keys, of 16 bytes at least; by default made once and kept in
    the data folder."""
    registration: Literal["open", "closed"] | None = None
    """Whether anybody may register an account; by default only where the server listens on this
    machine alone."""
    default_plan: PlanName = "standard"
    """The plan of accounts that are registered; the operator's own have no limits."""
    max_registrations_per_hour: int = Field(default=20, ge=0)
    """Of one address; 0 is any number."""
    max_failed_sign_ins: int = Field(default=10, ge=0)
    """Of one address with one email in 15 minutes; ten times as many of either. 0 is any number."""
    access_token_s: float = Field(default=3600, ge=1)
    """How long one stays signed in."""

    prices: Path | None = None
    """Price book (TOML); by default the published one, `metering/prices.toml`."""
    stripe_mode: Mode = "test"
    """Whether bills are real: "live" takes live keys only, "test" takes test keys only."""
    stripe_api_key: SecretStr | None = Field(default=None, validation_alias="STRIPE_API_KEY")
    """Stripe's secret key; without one nothing is sent, and the ledger is complete all the same."""
    stripe_webhook_secret: SecretStr | None = Field(
        default=None, validation_alias="STRIPE_WEBHOOK_SECRET"
    )
    """What Stripe signs its events with: the secrets of all destinations, with commas between."""
    stripe_url: str | None = None
    """Where Stripe's API is, if not at Stripe: for tests."""
    stripe_stream: bool = False
    """Whether units go to Stripe by the hundred, for more than 1,000 a second."""
    stripe_interval_s: float = Field(default=5, gt=0)
    """How often units are looked for that can be sent."""
    stripe_delay_s: float = Field(default=360, ge=0)
    """Units are sent so long after their use: Stripe refuses what is 5 minutes ahead of its clock,
    so with the default this machine's may be ten minutes fast."""
    first_key: bool = True
    """Whether a new data folder gets an account with a first key, which is printed. Off where many
    servers share their books: each of them would make one."""

    model: Path = NANO_CHECKPOINT
    """Checkpoint to serve: its folder, or its name on the Hugging Face hub."""
    engine: Literal["vllm", "remote", "transformers", "deterministic"] = "vllm"
    """What runs the model. "remote" are vLLM servers elsewhere, at `engine_urls`; "transformers" is
    slow, and runs where vLLM cannot be installed;
    "deterministic" runs none: it says reproducible words, for tests of what is built on it."""
    engine_urls: CommaSeparated = Field(default=(), validate_default=True)
    """Where the remote engine's servers are: `http://a:8000,http://b:8000`."""
    engine_api_key: SecretStr | None = None
    """What the remote engine's servers were given as `--api-key`."""
    deterministic_rate: float = Field(default=0, ge=0)
    """Tokens a second of a deterministic answer; 0 is as fast as they can be taken."""
    deterministic_length: int = Field(default=64, ge=1)
    """Mean length of a deterministic answer in tokens."""
    model_name: str = "kosmos-x"
    """The name clients ask for."""
    fallback_model: Path | None = None
    """Checkpoint of a cheaper model, which answers where an account's budget has ended and its
    owner wants that; by default there is none. Its prices are in the price book."""
    fallback_model_name: str = "kosmos-x-mini"
    """The name of the cheaper model; it can be asked for by everybody."""
    fallback_engine: Literal["remote", "transformers", "deterministic"] = "remote"
    """What runs the cheaper model; see `engine`."""
    fallback_engine_urls: CommaSeparated = Field(default=(), validate_default=True)
    """Where the cheaper model's servers are, if they are remote."""
    max_model_len: int | None = Field(default=None, ge=16)
    """Context window in tokens; by default the model's own, at most 20,000. Kosmos-2 can be given
    more than it was made for, but answers well only as far as it was trained."""
    stream_interval_s: float = Field(default=0.05, ge=0, le=1)
    """While many are answered, vLLM's tokens of an answer gather so long and go out together; while
    a few are, for 0.01 at the most. Longer intervals cost less CPU."""
    max_output_tokens: int = Field(default=1024, ge=1)
    """Longest answer in tokens where the request names no limit."""

    retention_s: float = Field(default=30 * 86400, gt=0)
    """How long history and finished logs are kept after their last use, in seconds; to a
    hundredth of it."""
    unstored_retention_s: float = Field(default=600, gt=0)
    """How long the log of a response with `store: false` is kept after its end, in seconds."""
    idempotency_s: float = Field(default=86400, gt=0)
    """How long an `Idempotency-Key` stands for its response, in seconds: at most as long as its log
    is kept."""
    lease_ttl_s: float = Field(default=1, gt=0)
    """A live response whose owner was silent for so long is taken over, at most three times. An
    owner that only was slow loses time and no token: what it writes then is refused."""
    sweep_interval_s: float = Field(default=0.25, gt=0)
    """How often lapsed leases are looked for."""
    session_idle_s: float = Field(default=900, gt=0)
    """An open session without connection or turn for so long is closed."""
    disconnect_grace_s: float = Field(default=30, ge=0)
    """A response that nobody reads goes on for so long, then stops and is billed."""
    settle_timeout_s: float = Field(default=5, gt=0)
    """Longest wait for the ledger before an answer's last event is sent without it."""
    hold_s: float = Field(default=3600, gt=0)
    """What a turn set aside of its account's budget is free again after so long, if it never ended:
    more than the longest turn takes."""
    engine_patience_s: float = Field(default=60, ge=0)
    """How long a live turn waits for an engine that died to come back, before it fails."""
    send_timeout_s: float = Field(default=20, gt=0)
    """A client that takes nothing for so long is dropped; its log is kept."""
    keepalive_s: float = Field(default=15, gt=0)
    """A comment goes out on a silent SSE stream this often. The page expects one within 45 s."""
    drain_timeout_s: float = Field(default=25, ge=0)
    """On SIGTERM live turns have so long to finish."""
    first_message_timeout_s: float = Field(default=10, gt=0)
    """A WebSocket that says nothing for so long after connecting is closed."""
    key_check_s: float = Field(default=5, gt=0)
    """How often the keys of what is open are looked up, for news of revocations that got lost."""
    idle_timeout_s: float = Field(default=1800, gt=0)
    """A WebSocket on which nothing is said and nothing is generated for so long is closed."""
    max_connection_s: float = Field(default=3600, gt=0)
    """Age at which a WebSocket is closed, in seconds."""
    max_request_bytes: int = Field(default=48 * 2**20, ge=1024)
    """Largest request body or WebSocket message; four images of 8 MB fit in as base64."""
    max_header_bytes: int = Field(default=16 * 1024, ge=1024)
    """Largest request line with its headers."""
    request_timeout_s: float = Field(default=10, gt=0)
    """A connection has so long for a request's headers; its body then keeps a pace of 8 KiB/s."""
    max_connections_per_address: int = Field(default=200, ge=0)
    """Connections of one IP address; 0 is any number, for servers behind a proxy."""
    max_connections_per_key: int = Field(default=20, ge=0)
    """WebSockets of one key on one server; 0 is any number. Those of client secrets are counted by
    their session."""
    max_requests_per_key: int = Field(default=500, ge=0)
    """HTTP requests under way of one key on one server; 0 is any number. They are more than the
    WebSockets: a service answers all its users with one key."""
    max_in_flight: int = Field(default=16, ge=1)
    """Responses that one WebSocket may have live at a time; more of them wait."""
    max_lanes: int = Field(default=32, ge=1)
    """Distinct `stream_id`s that one WebSocket may use."""
    max_waiting: int = Field(default=16, ge=0)
    """Requests that may wait in one lane of a WebSocket; together at most `max_request_bytes`."""
    image_urls: bool = False
    """Whether pictures are fetched from https URLs, public addresses only, besides data: URLs."""
    image_url_hosts: CommaSeparated = ()
    """Hosts, each with all below it, that pictures are fetched from; by default any."""
    allowed_origins: CommaSeparated = ()
    """Origins besides the server's own from which browsers may open WebSockets."""

    log_format: Literal["text", "json"] = "text"
    """How the server's log is written. As JSON all of it goes to the standard error output too, one
    object a line; as text warnings only."""
    metrics: bool = True
    """Whether `/metrics` is there, for those who come to the server directly: what a proxy forwards
    gets a 404. Nobody is asked for a key; no account, session or text is in it."""
    metrics_address: str | None = None
    """Where metrics are served instead, e.g. `127.0.0.1:9464`: on a port of their own."""
    otlp_endpoint: str | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """A collector that takes OTLP over HTTP, e.g. `http://collector:4318`: traces and metrics are
    sent there. OpenTelemetry's other variables hold too (`OTEL_EXPORTER_OTLP_HEADERS`, ...)."""
    trace_ratio: float = Field(default=0.1, ge=0, le=1)
    """The part of the traces that is kept, where a client's `traceparent` says nothing of it."""

    @property
    def fallback(self) -> "Settings | None":
        """The same settings, for the cheaper model; None where there is none."""
        if self.fallback_model is None:
            return None
        served = {
            "model": self.fallback_model,
            "model_name": self.fallback_model_name,
            "engine": self.fallback_engine,
            "engine_urls": self.fallback_engine_urls,
            "max_model_len": None,
            "fallback_model": None,
        }
        return self.model_copy(update=served)

    @property
    def supabase_project(self) -> tuple[str, str] | None:
        """Its URL and its secret key; None where the books are in a file."""
        if self.supabase_url is None or self.supabase_service_key is None:
            return None
        return self.supabase_url, self.supabase_service_key.get_secret_value()

    @field_validator("supabase_url")
    @classmethod
    def _check_supabase(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None:
            return None
        url = _checked_url(url, "https://project.supabase.co")
        if info.data.get("database") is not None:
            raise ValueError("expected without KOSMOSX_DATABASE: the books are in one place")
        return url

    @field_validator("supabase_service_key")
    @classmethod
    def _check_service_key(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if (key is None) != (info.data.get("supabase_url") is None):
            raise ValueError("expected with SUPABASE_URL, and only there")
        return key

    @field_validator("key_pepper")
    @classmethod
    def _check_pepper(cls, pepper: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if pepper is None and info.data.get("supabase_url") is not None:
            raise ValueError("expected with SUPABASE_URL: a key is good on every host, or on none")
        if pepper is not None and len(pepper.get_secret_value().encode()) < PEPPER_BYTES:
            raise ValueError(f"expected at least {PEPPER_BYTES} bytes")
        return pepper

    @property
    def registration_open(self) -> bool:
        """Whether anybody may register an account."""
        if self.registration is None:
            return self.host in {"localhost", "::1"} or self.host.startswith("127.")
        return self.registration == "open"

    @field_validator("stripe_api_key")
    @classmethod
    def _check_stripe_key(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if key is not None and "stripe_mode" in info.data:
            check_mode(key.get_secret_value(), info.data["stripe_mode"])
        return key

    @field_validator("otlp_endpoint")
    @classmethod
    def _check_otlp(cls, url: str | None) -> str | None:
        return _checked_url(url, "http://host:4318") if url else None

    @field_validator("metrics_address")
    @classmethod
    def _check_metrics_address(cls, address: str | None) -> str | None:
        if address is not None:
            host, _, port = address.rpartition(":")
            if not host or not port.isdigit() or int(port) > LAST_PORT:
                raise ValueError(f"expected host:port, got '{address}'")
        return address

    @field_validator("fallback_model_name")
    @classmethod
    def _check_name(cls, name: str, info: ValidationInfo) -> str:
        if name == info.data.get("model_name"):
            raise ValueError("expected another name than KOSMOSX_MODEL_NAME")
        return name

    @field_validator("engine_urls")
    @classmethod
    def _check_urls(cls, urls: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if bool(urls) != (info.data.get("engine") == "remote"):
            raise ValueError("expected with the engine 'remote', and only there")
        return _servers(urls)

    @field_validator("fallback_engine_urls")
    @classmethod
    def _check_fallback_urls(cls, urls: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        served = info.data.get("fallback_model") is not None
        if bool(urls) != (served and info.data.get("fallback_engine") == "remote"):
            raise ValueError(
                "expected with KOSMOSX_FALLBACK_MODEL and the fallback engine 'remote' (the default"
                " one), and only there"
            )
        return _servers(urls)


def _servers(urls: tuple[str, ...]) -> tuple[str, ...]:
    urls = tuple(_checked_url(url, "http://host:port") for url in urls)
    if len(set(urls)) < len(urls):
        raise ValueError("expected each server once")
    return urls


def _checked_url(url: str, expected: str) -> str:
    """The URL of a server, without a slash at its end: paths are put behind it."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query:
        raise ValueError(f"expected {expected}, got '{url}'")
    return url.rstrip("/")
