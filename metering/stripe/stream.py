"""Meter events by the hundred, for much volume. Stripe checks them afterwards.

A stream needs a session, which lives for 15 minutes and has a token of its own.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import stripe

from metering.outbox import OutboxRow
from metering.sink import Accepted, Answer, Invalid
from metering.stripe.answers import answer_to
from metering.stripe.events import EVENT_NAMES, payload

RENEW_S = 600.0
"""Sessions are used for so long: well below their 15 minutes."""


class StripeStream:
    """The `Sink` port over `POST /v2/billing/meter_event_stream`.

    Args:
        client: of the account.
        monotonic: a clock in seconds.
    """

    batch = 100
    abreast = 100

    def __init__(
        self, client: stripe.StripeClient, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._billing = client.v2.billing
        self._monotonic = monotonic
        self._token: str | None = None
        self._opened_at = 0.0

    async def send(self, rows: Sequence[OutboxRow]) -> list[Answer]:
        try:
            token = await self._session()
            await self._billing.meter_event_stream.create_async(
                {
                    "events": [
                        {
                            "event_name": EVENT_NAMES[row.meter],
                            "identifier": row.id,
                            "timestamp": datetime.fromtimestamp(row.timestamp, UTC).isoformat(),
                            "payload": payload(row),
                        }
                        for row in rows
                    ]
                },
                {"api_key": token},
            )
        except stripe.StripeError as error:
            self._token = None  # It may have expired; another one costs a call.
            answer = answer_to(error)
        else:
            answer = Accepted()
        if isinstance(answer, Invalid) and len(rows) > 1:
            # One of them is; the others shall not die with it.
            middle = len(rows) // 2
            return [*await self.send(rows[:middle]), *await self.send(rows[middle:])]
        return [answer] * len(rows)

    async def _session(self) -> str:
        now = self._monotonic()
        if self._token is None or now - self._opened_at >= RENEW_S:
            opened = await self._billing.meter_event_session.create_async()
            self._token, self._opened_at = opened.authentication_token, now
        return self._token
