"""The way to Stripe, as a server runs it: the dispatcher, the reconciler, and what Stripe tells.

Nothing of it is there without Stripe's key. Its client takes a while to import, so it is then.
"""

import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from kosmosx_stream.cancelling import meanwhile
from kosmosx_stream.settings import Settings
from metering.dispatcher import Dispatcher, Pace
from metering.reconciler import Reconciler
from metering.sink import Sink
from metering.store import Store

if TYPE_CHECKING:
    import stripe

logger = logging.getLogger(__name__)


class WebhookNotConfigured(Exception):
    """Events cannot be checked without their secret."""


class Billing:
    """What is sent to Stripe, compared with it, and taken from it."""

    def __init__(self, settings: Settings, store: Store, client: "stripe.StripeClient") -> None:
        from metering.stripe.invoices import StripeInvoices  # noqa: PLC0415
        from metering.stripe.summaries import StripeSummaries  # noqa: PLC0415

        self._settings = settings
        self._client = client
        self._subscriptions = store.subscriptions
        self.dispatcher = Dispatcher(
            store.outbox,
            _sink(settings, client),
            StripeInvoices(client),
            time.time,
            Pace(interval_s=settings.stripe_interval_s, delay_s=settings.stripe_delay_s),
        )
        self.reconciler = Reconciler(store.outbox, StripeSummaries(client), time.time)

    async def refusal(self) -> str | None:
        """Why Stripe does not take our requests; None if it does."""
        import stripe  # noqa: PLC0415

        try:
            await self._client.v1.billing.meters.list_async({"limit": 1})
        except stripe.StripeError as error:
            return f"{type(error).__name__}: {error.user_message or error}"
        return None

    async def take_event(self, body: bytes, signature: str | None) -> None:
        """Take an event that says that it is Stripe's; one that was taken before changes nothing.

        Raises:
            WebhookNotConfigured: there is no secret to check it with.
            metering.stripe.webhook.SignatureInvalid: it is not Stripe's.
            metering.stripe.webhook.EventInvalid: it cannot be read.
            metering.stripe.mode.WrongMode: it is of the other mode.
        """
        from metering.stripe.webhook import explain, read_event  # noqa: PLC0415

        if self._settings.stripe_webhook_secret is None:
            raise WebhookNotConfigured
        secrets = self._settings.stripe_webhook_secret.get_secret_value().split(",")
        event = read_event(body, signature, secrets, self._settings.stripe_mode)
        taken = await self._subscriptions.take_event(event.id, time.time(), event.subscription)
        if taken and event.reports_errors:
            logger.error("billing: Stripe: %s", await explain(self._client, event.id))
            self.reconciler.want()


@contextlib.asynccontextmanager
async def connected(settings: Settings, store: Store) -> AsyncIterator[Billing | None]:
    """The way to Stripe, nothing running on it yet; None without a key."""
    if settings.stripe_api_key is None:
        yield None
        return
    from metering.stripe import client as stripe_client  # noqa: PLC0415

    key = settings.stripe_api_key.get_secret_value()
    async with stripe_client.connected(key, settings.stripe_url) as client:
        yield Billing(settings, store, client)


@contextlib.asynccontextmanager
async def running(settings: Settings, store: Store) -> AsyncIterator[Billing | None]:
    """As `connected`, and what there is to send is sent until the end."""
    async with connected(settings, store) as billing:
        if billing is None:
            yield None
            return
        async with meanwhile(billing.dispatcher.run(), billing.reconciler.run()):
            yield billing


def _sink(settings: Settings, client: "stripe.StripeClient") -> Sink:
    from metering.stripe.sink import StripeSink  # noqa: PLC0415
    from metering.stripe.stream import StripeStream  # noqa: PLC0415

    return StripeStream(client) if settings.stripe_stream else StripeSink(client)
