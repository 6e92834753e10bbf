"""`kosmosx stripe …` and `kosmosx reconcile`: what an operator does about the bill."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from kosmosx_stream import billing, bootstrap
from kosmosx_stream.commands.command_line import AccountId, DataDir, read_settings
from kosmosx_stream.commands.operating import stop
from kosmosx_stream.settings import Settings
from metering.errors import NotFound, StoreUnavailable
from metering.outbox import OutboxHealth, OutboxRow
from metering.prices import PriceBook, PricesInvalid
from metering.reconciliation import MeterHour, Verdict
from metering.sink import SinkFailed
from metering.store import Store
from metering.usage import METERS, Meter

if TYPE_CHECKING:
    from stripe import StripeClient

T = TypeVar("T")

stripe = typer.Typer(no_args_is_help=True, help="Bills through Stripe.")

Link = Annotated[
    str | None, typer.Argument(help="Stripe's customer (cus_…); by default a new one.")
]
Dedicated = Annotated[
    list[str] | None,
    typer.Option("--dedicated", help="Subscribe to capacity by the month: tokens, images."),
]


@stripe.command("setup")
def set_up(data_dir: DataDir = None) -> None:
    """Make meters, products and prices for the price book at Stripe. Again changes nothing."""
    settings = read_settings(data_dir=data_dir)
    book = _book(settings)

    async def work(client: "StripeClient") -> None:
        from metering.stripe.catalogue import set_up  # noqa: PLC0415

        await set_up(client, book, typer.echo)
        typer.echo(f"Stripe has all of price book {book.version}, in {settings.stripe_mode} mode.")

    _at_stripe(settings, work)


@stripe.command("link")
def link(
    account: AccountId,
    customer: Link = None,
    data_dir: DataDir = None,
    *,
    subscribe: Annotated[
        bool, typer.Option("--subscribe", help="Subscribe the customer to the price book.")
    ] = False,
    dedicated: Dedicated = None,
) -> None:
    """Have a customer of Stripe's pay for an account: from now on, and what it owes until now."""
    settings = read_settings(data_dir=data_dir)
    book, meters = _book(settings), _meters(dedicated or [])

    async def work(client: "StripeClient") -> None:
        async with bootstrap.opened_store(settings) as store:
            customer_id = await _customer(client, store, account, customer)
            waited = await store.outbox.link_customer(account, customer_id, time.time())
        typer.echo(f"{customer_id} pays for {account}; {waited} rows waited for that")
        if subscribe or meters:
            from metering.stripe.customers import subscribe as make  # noqa: PLC0415

            typer.echo(f"subscription {await make(client, customer_id, book, meters)}")

    _at_stripe(settings, work)


@stripe.command("status")
def status(data_dir: DataDir = None) -> None:
    """What is owed and not at Stripe, and why. Exits with 1 if somebody has to look."""
    settings = read_settings(data_dir=data_dir)
    health, rows = _run(_status(settings))
    for line in _health_lines(health):
        typer.echo(line)
    for row in rows:
        typer.echo(f"  {row.state:<9}  {row.id}  {row.units} {row.meter}  {row.note}")
    if health.dead or health.expired or health.mismatched_hours:
        raise typer.Exit(1)


def reconcile(data_dir: DataDir = None) -> None:
    """Compare each closed hour with Stripe's summaries; send what got lost. 1 if more is wrong."""
    settings = read_settings(data_dir=data_dir)
    _key(settings)
    verdicts = _run(_reconcile(settings))
    for hour, verdict in verdicts:
        at = datetime.fromtimestamp(hour.hour, UTC)
        typer.echo(
            f"{verdict.outcome:<8}  {at:%Y-%m-%d %H:00}  {hour.customer_id}  {hour.meter}"
            f"  sent {verdict.expected}, Stripe has {verdict.found}"
        )
    typer.echo(f"{len(verdicts)} hours compared")
    if any(verdict.outcome == "mismatch" for _, verdict in verdicts):
        raise typer.Exit(1)


async def _customer(
    client: "StripeClient", store: Store, account_id: str, given: str | None
) -> str:
    from metering.stripe.customers import create_customer, require_customer  # noqa: PLC0415

    account = await store.accounts.account(account_id)
    if given is not None:
        await require_customer(client, given)
        return given
    known = await store.outbox.customer(account_id)
    return known or await create_customer(client, account_id, account.name)


async def _status(settings: Settings) -> tuple[OutboxHealth, list[OutboxRow]]:
    async with bootstrap.opened_store(settings) as store:
        return await store.outbox.health(), await store.outbox.attention()


async def _reconcile(settings: Settings) -> list[tuple[MeterHour, Verdict]]:
    async with (
        bootstrap.opened_store(settings) as store,
        billing.connected(settings, store) as found,
    ):
        assert found is not None, "the key was there a moment ago"
        return await found.reconciler.reconcile()


def _health_lines(health: OutboxHealth) -> list[str]:
    since = health.oldest_pending_at
    age = "" if since is None else f", the oldest used {datetime.fromtimestamp(since, UTC)}"
    return [
        f"to send     {health.pending}{age}",
        f"unlinked    {health.unlinked} (their accounts have no customer)",
        f"ambiguous   {health.ambiguous} (unanswered; reconciling settles them)",
        f"dead        {health.dead} (Stripe refuses them)",
        f"expired     {health.expired} (too old for the meters; they go onto an invoice)",
        f"mismatched  {health.mismatched_hours} hours, {health.mismatched_units} units",
    ]


def _at_stripe(settings: Settings, work: Callable[["StripeClient"], Awaitable[None]]) -> None:
    """Do something with Stripe; what it refuses ends the command with its own words."""
    from stripe import StripeError  # noqa: PLC0415

    from metering.stripe.catalogue import CatalogueConflict  # noqa: PLC0415
    from metering.stripe.client import connected  # noqa: PLC0415
    from metering.stripe.customers import CustomerUnusable  # noqa: PLC0415

    key = _key(settings)

    async def with_client() -> None:
        async with connected(key, settings.stripe_url) as client:
            await work(client)

    try:
        _run(with_client())
    except (CatalogueConflict, CustomerUnusable) as error:
        raise stop(str(error)) from None
    except StripeError as error:
        raise stop(f"Stripe: {error}") from None


def _run(work: Coroutine[None, None, T]) -> T:
    """Do it; what goes wrong with the books or at Stripe ends the command with a line."""
    try:
        return asyncio.run(work)
    except NotFound as error:
        raise stop(f"there is no {error}") from None
    except StoreUnavailable as error:
        raise stop(f"the books: {error}") from None
    except SinkFailed as error:
        raise stop(f"Stripe: {error}") from None


def _key(settings: Settings) -> str:
    if settings.stripe_api_key is None:
        raise stop("STRIPE_API_KEY: expected Stripe's secret key", 2)
    return settings.stripe_api_key.get_secret_value()


def _book(settings: Settings) -> PriceBook:
    try:
        return bootstrap.load_prices(settings)
    except PricesInvalid as error:
        raise stop(str(error), 2) from None


def _meters(names: list[str]) -> frozenset[Meter]:
    for name in names:
        if name not in METERS:
            raise typer.BadParameter(f"expected one of {', '.join(METERS)}, got '{name}'")
    return frozenset(meter for meter in METERS if meter in names)
