"""Looks at everything that a server needs, before it starts or beside it, and says what to do.

It changes nothing but what every start would: the data folder, and the tables of an empty database.
"""

import importlib.util
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Literal, cast

import httpx
import msgspec
from msgspec.structs import replace
from redis.asyncio import Redis

from conversation.ports import LogUnavailable
from conversation.redis_connection import connect, reply
from conversation.redis_durability import UnsuitableRedis, check_settings, check_writable
from kosmosx_stream import billing, bootstrap
from kosmosx_stream.embedded_valkey import EmbeddedValkeyError, find_binary
from kosmosx_stream.engines import factory
from kosmosx_stream.engines.checkpoint import Checkpoint
from kosmosx_stream.model_folder import ModelNotFoundError, model_folder
from kosmosx_stream.settings import Settings
from kosmosx_stream.telemetry.collector_probe import refusal_of
from metering.errors import StoreTooNew, StoreUnavailable
from metering.outbox import OutboxHealth
from metering.prices import PricesInvalid

Verdict = Literal["ok", "warning", "failure"]

FREE_DISK_BYTES = 2 * 2**30
FREE_MEMORY_BYTES = 4 * 2**30
CLOCK_OFF_S = 1.0
OVERDUE_S = 3600.0
ENGINE_TIMEOUT_S = 5.0
CPU_FEATURES = ("avx2", "avx512f", "amx_tile")


class Finding(msgspec.Struct, frozen=True):
    """What was looked at, what was found, and what to do about it, if there is anything."""

    about: str
    verdict: Verdict
    found: str
    do: str = ""


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Look at one thing after the other. None keeps the others from being looked at."""
    checks: tuple[tuple[str, Callable[[Settings], Awaitable[Finding]]], ...] = (
        ("data folder", _data_folder),
        ("prices", _prices),
        ("redis", _redis),
        ("books", _books),
        ("model", _model),
        ("engine", _engine),
        ("stripe", _stripe),
        ("collector", _collector),
    )
    for about, check in checks:
        yield await _look(about, check(settings))
    if (cheaper := settings.fallback) is not None:
        for about, check in (("model", _model), ("engine", _engine)):
            finding = await _look(about, check(cheaper))
            # Each of their settings has its like for the cheaper model.
            do = finding.do.replace("KOSMOSX_", "KOSMOSX_FALLBACK_")
            yield replace(finding, about=f"fallback {about}", do=do)


async def _look(about: str, check: Awaitable[Finding]) -> Finding:
    try:
        return await check
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        return Finding(about, "failure", f"{type(error).__name__}: {error}")


async def _data_folder(settings: Settings) -> Finding:
    folder = settings.data_dir
    try:
        bootstrap.prepare_data_dir(settings)
    except OSError as error:
        return Finding(
            "data folder", "failure", str(error), "set KOSMOSX_DATA_DIR to a folder of your own"
        )
    if not os.access(folder, os.W_OK):
        return Finding(
            "data folder", "failure", f"{folder} cannot be written", "give it to this user"
        )
    free = shutil.disk_usage(folder).free
    found = f"{folder}, {_gib(free)} free"
    if free < FREE_DISK_BYTES:
        return Finding(
            "data folder",
            "warning",
            found,
            f"free some: below {_gib(FREE_DISK_BYTES)} the log may soon have no room",
        )
    return Finding("data folder", "ok", found)


async def _prices(settings: Settings) -> Finding:
    try:
        book = bootstrap.load_prices(settings)
    except PricesInvalid as error:
        return Finding("prices", "failure", str(error), "mend the file that KOSMOSX_PRICES names")
    return Finding("prices", "ok", f"version {book.version}")


async def _redis(settings: Settings) -> Finding:
    if settings.redis_url is None:
        return _embedded()
    redis = connect(settings.redis_url.get_secret_value())
    try:
        warnings = await check_settings(redis, settings.redis_durability)
        await check_writable(redis)
        took_s, off_s = await _clock(redis)
    except UnsuitableRedis as error:
        return Finding("redis", "failure", str(error), "change the server's settings")
    except LogUnavailable as error:
        do = "see that REDIS_URL is reached from here, and that it has room (disk, maxmemory)"
        return Finding("redis", "failure", str(error), do)
    finally:
        await redis.aclose()
    do = ""
    if abs(off_s) > CLOCK_OFF_S:
        warnings.append(f"its clock is {abs(off_s):.1f} s {'ahead' if off_s > 0 else 'behind'}")
        do = "synchronise the clocks (NTP): bills carry this machine's time"
    found = "; ".join((f"answers in {took_s * 1000:.1f} ms", *warnings))
    return Finding("redis", "warning" if warnings else "ok", found, do)


def _embedded() -> Finding:
    try:
        return Finding("redis", "ok", f"embedded: {find_binary()}")
    except EmbeddedValkeyError as error:
        return Finding("redis", "failure", str(error), "or set REDIS_URL")


async def _clock(redis: Redis) -> tuple[float, float]:
    """How long an answer takes, and how far its clock is ahead, in seconds."""
    before = time.time()
    seconds, microseconds = await reply(cast("Any", redis).time())
    after = time.time()
    return after - before, seconds + microseconds / 1e6 - (before + after) / 2


async def _books(settings: Settings) -> Finding:
    try:
        async with bootstrap.opened_store(settings):
            pass
    except StoreTooNew as error:
        return Finding("books", "failure", str(error), "run the newer version of this program")
    except StoreUnavailable as error:
        return Finding(
            "books", "failure", str(error), "see the message; for Supabase also supabase/migrations"
        )
    if settings.supabase_url is not None:
        return Finding("books", "ok", f"Supabase at {settings.supabase_url}")
    if settings.redis_url is not None:
        return Finding(
            "books",
            "warning",
            "SQLite, with a Redis that several hosts may share",
            "servers on several hosts need SUPABASE_URL: a SQLite file is for one host",
        )
    return Finding("books", "ok", "SQLite, for the servers of this host")


async def _model(settings: Settings) -> Finding:
    try:
        folder = model_folder(settings.model, weights=settings.engine != "remote")
    except ModelNotFoundError as error:
        return Finding("model", "failure", str(error), "set KOSMOSX_MODEL")
    checkpoint = Checkpoint.read(folder)
    kind = "Kosmos-2" if checkpoint.kosmos2 else "a chat model with a template of its own"
    found = f"{folder}: {kind}"
    caution = factory.caution(settings.model_copy(update={"model": folder}))
    if caution is not None:
        return Finding("model", "warning", f"{found}; {caution}")
    return Finding("model", "ok", found)


async def _engine(settings: Settings) -> Finding:
    match settings.engine:
        case "remote":
            return await _remote_engines(settings)
        case "deterministic":
            return Finding("engine", "warning", "deterministic: it says words without sense")
        case "vllm" | "transformers" as engine:
            module = "vllm" if engine == "vllm" else "torch"
            if importlib.util.find_spec(module) is None:
                return Finding(
                    "engine",
                    "failure",
                    f"{module} is not installed",
                    "install 'kosmosx-stream[cpu]', '[gpu]' or '[transformers]', or use an engine "
                    "elsewhere: KOSMOSX_ENGINE=remote",
                )
            return _accelerator(engine)


async def _remote_engines(settings: Settings) -> Finding:
    lost: list[str] = []
    async with httpx.AsyncClient(timeout=ENGINE_TIMEOUT_S) as client:
        for url in settings.engine_urls:
            try:
                (await client.get(f"{url}/health")).raise_for_status()
            except httpx.HTTPError as error:
                lost.append(f"{url}: {str(error) or type(error).__name__}")
    found = f"{len(settings.engine_urls) - len(lost)} of {len(settings.engine_urls)} servers answer"
    if not lost:
        return Finding("engine", "ok", found)
    verdict: Verdict = "failure" if len(lost) == len(settings.engine_urls) else "warning"
    return Finding("engine", verdict, f"{found}; {'; '.join(lost)}", "see KOSMOSX_ENGINE_URLS")


def _accelerator(engine: str) -> Finding:
    import torch  # noqa: PLC0415 - it takes seconds

    if torch.cuda.is_available():
        names = ", ".join(
            torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())
        )
        return Finding("engine", "ok", f"{engine} on {names}")
    features = [feature for feature in CPU_FEATURES if feature in _cpu_flags()]
    memory = _available_memory_bytes()
    found = f"{engine} on the CPU ({os.cpu_count()} cores, {' '.join(features) or 'no AVX2'})"
    if engine == "vllm" and "avx2" not in features:
        return Finding(
            "engine", "failure", found, "vLLM's CPU build needs AVX2: KOSMOSX_ENGINE=transformers"
        )
    if memory is not None and memory < FREE_MEMORY_BYTES:
        return Finding(
            "engine",
            "warning",
            f"{found}, {_gib(memory)} of memory free",
            f"vLLM and the bundled model want {_gib(FREE_MEMORY_BYTES)}",
        )
    return Finding("engine", "ok", found)


async def _collector(settings: Settings) -> Finding:
    if settings.otlp_endpoint is None:
        return Finding("collector", "ok", "no OTEL_EXPORTER_OTLP_ENDPOINT: no traces are kept")
    reason = await refusal_of(settings.otlp_endpoint)
    if reason is not None:
        do = "OTEL_EXPORTER_OTLP_ENDPOINT is the address for OTLP over HTTP, most often :4318"
        return Finding("collector", "warning", f"{settings.otlp_endpoint}: {reason}", do)
    kept = f"{settings.trace_ratio:.0%} of the traces are kept"
    return Finding("collector", "ok", f"{settings.otlp_endpoint} takes traces; {kept}")


async def _stripe(settings: Settings) -> Finding:
    if settings.stripe_api_key is None:
        return Finding("stripe", "ok", "no STRIPE_API_KEY: bills are kept, and nobody is charged")
    async with bootstrap.opened_store(settings) as store:
        async with billing.connected(settings, store) as connected:
            assert connected is not None
            reason = await connected.refusal()
        health = await store.outbox.health()
    if reason is not None:
        return Finding("stripe", "failure", reason, "see STRIPE_API_KEY and the network")
    warnings = list(_overdue(health, time.time()))
    if settings.stripe_webhook_secret is None:
        warnings.append("no STRIPE_WEBHOOK_SECRET: its error reports are not heard")
    if warnings:
        return Finding(
            "stripe",
            "warning",
            f"{settings.stripe_mode} mode; {'; '.join(warnings)}",
            "see `kosmosx stripe status`",
        )
    return Finding("stripe", "ok", f"{settings.stripe_mode} mode; {health.pending} waiting")


def _overdue(health: OutboxHealth, now: float) -> Iterator[str]:
    oldest = health.oldest_pending_at
    if oldest is not None and now - oldest > OVERDUE_S:
        yield f"the oldest unsent use is {(now - oldest) / 3600:.0f} h old"
    for count, what in (
        (health.dead, "refused by Stripe"),
        (health.ambiguous, "sent without an answer"),
        (health.expired, "too old to be sent"),
        (health.mismatched_hours, "hours that differ from Stripe's"),
    ):
        if count:
            yield f"{count} {what}"


def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    lines = (line.partition(":") for line in text.splitlines())
    return frozenset(
        flag
        for name, _, flags in lines
        if name.strip() in {"flags", "Features"}
        for flag in flags.split()
    )


def _available_memory_bytes() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next(
        (int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None
    )


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GiB"
