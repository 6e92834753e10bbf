"""The composition root: the parts, the routes, and the order in which they start and stop."""

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware

from conversation.redis_attendance import RedisAttendance
from conversation.redis_connection import connect
from conversation.redis_durability import check_settings
from conversation.redis_erasure import RedisErasure
from conversation.redis_history import RedisHistory
from conversation.redis_log import RedisEventLog
from conversation.redis_news import conversation_news
from kosmosx_stream import billing, bootstrap
from kosmosx_stream.access.attempts import Attempts
from kosmosx_stream.access.client_secrets import ClientSecrets
from kosmosx_stream.access.key_news import KeyNews
from kosmosx_stream.access.key_use import note_uses
from kosmosx_stream.account_deletion import AccountDeletion
from kosmosx_stream.admission.admission import Admission
from kosmosx_stream.admission.image_fetcher import ImageFetcher
from kosmosx_stream.admission.images import DEFAULT_LIMITS, Fetch, ImageLoader
from kosmosx_stream.admission.sealing import Seal
from kosmosx_stream.cancelling import meanwhile
from kosmosx_stream.conversation_watch import ConversationWatch
from kosmosx_stream.engines import factory
from kosmosx_stream.engines.checkpoint import Checkpoint
from kosmosx_stream.engines.port import Engine
from kosmosx_stream.formats.chat_format import ChatFormat
from kosmosx_stream.formats.chat_template.format import TemplateFormat
from kosmosx_stream.ids import new_id
from kosmosx_stream.introspection import observing
from kosmosx_stream.key_watch import KeyWatch
from kosmosx_stream.kosmosx.prompt import Kosmos2Format
from kosmosx_stream.limits.connections import Connections
from kosmosx_stream.limits.plans import Plans
from kosmosx_stream.limits.rate_limits import RateLimits
from kosmosx_stream.limits.spending import Spending
from kosmosx_stream.redis_watch import RedisWatch
from kosmosx_stream.services import ServedModel, Services
from kosmosx_stream.settings import Settings
from kosmosx_stream.shared_books import keep_telling
from kosmosx_stream.telemetry.sending import make_telemetry, sending
from kosmosx_stream.telemetry.telemetry import Telemetry
from kosmosx_stream.transports.cross_origin import CrossOrigin
from kosmosx_stream.transports.endpoint import exception_handlers
from kosmosx_stream.transports.observed import Observed
from kosmosx_stream.transports.routes import routes, secret_paths
from kosmosx_stream.turns.hub import Hub
from kosmosx_stream.turns.models import Model
from kosmosx_stream.turns.reservations import Reservations
from kosmosx_stream.turns.response_log import ResponseLog
from kosmosx_stream.turns.runner import Runner
from kosmosx_stream.turns.sweeper import Sweeper
from metering.access_tokens import AccessTokens
from metering.authenticator import Authenticator
from metering.issuing import Issuer
from metering.prices import PriceBook
from metering.signing import ReceiptSigner

logger = logging.getLogger(__name__)

SILENCE_S = 30.0
"""A reader of what lives elsewhere gives up when nothing comes for so long, e.g. in a prefill."""

YOUNG_OBJECTS = 30_000
"""The collector looks for cycles among so many new ones. A turn makes no cycles, and is some 150
objects while it is answered: 700, as is usual, would be reached by every fifth."""

Progress = Callable[[str], None]


def create_app(settings: Settings, progress: Progress = logger.info) -> Starlette:
    """The ASGI application. It listens at once, and is ready when the model is loaded.

    `app.state.on_ready()` and `app.state.on_failure(reason)` are called when loading ended;
    `await app.state.drain()` before connections are closed; `app.state.hurry()` makes it wait for
    nobody. `app.state.start_engine(settings)` is what starts the main engine.
    """
    telemetry = make_telemetry(settings)
    app = Starlette(
        routes=routes(),
        exception_handlers=exception_handlers(),
        middleware=[
            Middleware(Observed, telemetry=telemetry),
            Middleware(CrossOrigin, paths=secret_paths(), allowed_origins=settings.allowed_origins),
        ],
        lifespan=partial(_lifespan, settings=settings, progress=progress),
    )
    app.state.telemetry = telemetry
    app.state.start_engine = factory.running
    app.state.on_ready = lambda: None
    app.state.on_failure = logger.critical
    return app


@contextlib.asynccontextmanager
async def _lifespan(
    app: Starlette, *, settings: Settings, progress: Progress
) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        telemetry: Telemetry = app.state.telemetry
        await stack.enter_async_context(sending(telemetry, settings))
        services = await _start_services(stack, settings, telemetry, progress)
        app.state.services = services
        await stack.enter_async_context(observing(services))
        app.state.drain = services.hub.drain.run
        app.state.hurry = services.hub.drain.hurry
        await stack.enter_async_context(meanwhile(_run_model(app, services, progress)))
        yield


async def _start_services(
    stack: contextlib.AsyncExitStack, settings: Settings, telemetry: Telemetry, progress: Progress
) -> Services:
    """Everything but the model."""
    bootstrap.prepare_data_dir(settings)
    store = await stack.enter_async_context(bootstrap.opened_store(settings))
    redis, watch = await _open_redis(stack, settings)
    progress("memory and log are up")
    log = RedisEventLog(redis, retention_s=settings.retention_s)
    history = RedisHistory(redis, retention_s=settings.retention_s)
    attendance = RedisAttendance(redis, new_id("inst"))
    responses = ResponseLog(
        log,
        store.ledger,
        attendance,
        telemetry.meters,
        silence_s=SILENCE_S,
        keep_unstored_s=settings.unstored_retention_s,
        grace_s=settings.disconnect_grace_s,
    )
    price_book = bootstrap.load_prices(settings)
    plans = Plans(store, price_book, RateLimits(redis))
    hub = Hub(
        log=log,
        attendance=attendance,
        ledger=store.ledger,
        responses=responses,
        spending=Spending(store.budgets, hold_s=settings.hold_s),
        owe=plans.owe,
        settings=settings,
        telemetry=telemetry,
    )
    await stack.enter_async_context(hub.running())
    sweeper = Sweeper(ledger=store.ledger, hub=hub, settings=settings)
    await stack.enter_async_context(meanwhile(sweeper.run()))
    pepper = bootstrap.load_pepper(settings)
    access_tokens = AccessTokens(pepper, life_s=settings.access_token_s)
    authenticator = Authenticator(store.accounts, pepper, access_tokens, time.monotonic, time.time)
    identities = await stack.enter_async_context(bootstrap.opened_identities(settings, store))
    key_watch = KeyWatch(authenticator, KeyNews(redis), hub.sessions, check_s=settings.key_check_s)
    account_deletion = AccountDeletion(store, RedisErasure(redis), hub.sessions, key_watch)
    conversation_watch = ConversationWatch(conversation_news(redis))
    await stack.enter_async_context(
        meanwhile(
            note_uses(authenticator),
            key_watch.run(),
            conversation_watch.run(),
            account_deletion.run(),
        )
    )
    return Services(
        settings=settings,
        telemetry=telemetry,
        authenticator=authenticator,
        identities=identities,
        access_tokens=access_tokens,
        attempts=Attempts(redis, pepper),
        key_watch=key_watch,
        conversation_watch=conversation_watch,
        account_deletion=account_deletion,
        issuer=Issuer(store.accounts, pepper),
        client_secrets=ClientSecrets(redis, store.accounts, pepper),
        store=store,
        history=history,
        responses=responses,
        redis_watch=watch,
        reservations=Reservations(log, kept_s=settings.idempotency_s),
        hub=hub,
        price_book=price_book,
        plans=plans,
        billing=await stack.enter_async_context(billing.running(settings, store)),
        sockets=Connections(settings.max_connections_per_key, called="WebSockets open"),
        requests=Connections(settings.max_requests_per_key, called="requests under way"),
        seal=Seal(pepper),
        signer=ReceiptSigner(pepper),
    )


async def _open_redis(
    stack: contextlib.AsyncExitStack, settings: Settings
) -> tuple[Redis, RedisWatch]:
    """Where memory and log are, and what sees that they keep what they acknowledge."""
    redis = connect(await stack.enter_async_context(bootstrap.redis_url(settings)))
    stack.push_async_callback(redis.aclose)
    for finding in await check_settings(redis, settings.redis_durability):
        logger.warning("redis: %s", finding)
    watch = RedisWatch(redis, settings.redis_durability)
    await stack.enter_async_context(meanwhile(watch.run()))
    if settings.redis_url is not None:
        await stack.enter_async_context(meanwhile(keep_telling(redis, settings)))
    return redis, watch


def _chat_format(model: Path, *, pictures: bool) -> ChatFormat:
    """The words of the model in this folder: Kosmos-2's, or those of its own chat template.

    `pictures`: whether the engine takes any.
    """
    checkpoint = Checkpoint.read(model)
    if checkpoint.kosmos2:
        return Kosmos2Format.from_checkpoint(model)
    placeholder = checkpoint.placeholder[0] if checkpoint.placeholder and pictures else None
    return TemplateFormat.from_checkpoint(model, checkpoint.ends, placeholder)


def _fetch(settings: Settings) -> Fetch | None:
    if not settings.image_urls:
        return None
    max_bytes = DEFAULT_LIMITS.max_bytes
    return ImageFetcher(max_bytes=max_bytes, allowed_hosts=settings.image_url_hosts).fetch


async def _run_model(app: Starlette, services: Services, progress: Progress) -> None:
    """Load the model, open the gate for turns, and hold the model until cancelled."""
    settings, loading = services.settings, services.settings
    try:
        async with contextlib.AsyncExitStack() as stack:
            images = await stack.enter_async_context(ImageLoader(fetch=_fetch(settings)))
            served = {}
            for loading, book in _models(settings, services.price_book):
                progress(factory.announcement(loading))
                start = app.state.start_engine if loading is settings else factory.running
                engine = await stack.enter_async_context(start(loading))
                served[loading.model_name] = await _serve(engine, services, images, loading, book)
            services.hub.models.serve(
                {name: _turns_of(model, services) for name, model in served.items()}
            )
            services.served = served
            # What is here stays: the collector would go through it again with every few turns.
            gc.collect()
            gc.freeze()
            gc.set_threshold(YOUNG_OBJECTS)
            app.state.on_ready()
            await asyncio.Event().wait()
    except Exception as error:
        logger.exception("the model failed")
        app.state.on_failure(factory.complaint(loading, error))


def _models(settings: Settings, book: PriceBook) -> list[tuple[Settings, PriceBook]]:
    """What is served, at which prices: the model, and the cheaper one if there is one."""
    cheaper, its_book = settings.fallback, book.of_fallback()
    if cheaper is None or its_book is None:
        return [(settings, book)]
    return [(settings, book), (cheaper, its_book)]


async def _serve(
    engine: Engine,
    services: Services,
    images: ImageLoader,
    settings: Settings,
    book: PriceBook,
) -> ServedModel:
    """The engine's gate, with the words of its model."""
    chat_format = await asyncio.to_thread(
        _chat_format, settings.model, pictures=engine.image_tokens > 0
    )
    admission = Admission(
        engine=engine,
        chat_format=chat_format,
        history=services.history,
        images=images,
        prices=book,
        seal=services.seal,
        settings=settings,
    )
    return ServedModel(engine=engine, chat_format=chat_format, admission=admission)


def _turns_of(served: ServedModel, services: Services) -> Model:
    patience_s = services.settings.engine_patience_s
    meters = services.telemetry.meters
    runner = Runner(served.engine, services.history, meters, patience_s=patience_s)
    return Model(runner, served.chat_format)
