"""`POST /v1/stripe/webhook`: what Stripe tells. It has no key of ours; it signs what it sends."""

from typing import Any

from starlette.requests import Request

from kosmosx_stream.billing import WebhookNotConfigured
from kosmosx_stream.protocol.errors import InvalidRequest, NotFound
from kosmosx_stream.protocol.stripe_events import EventReceived
from kosmosx_stream.services import Services
from kosmosx_stream.transports.endpoint import read_body
from kosmosx_stream.transports.operation import operation
from metering.authenticator import Principal
from metering.stripe.mode import WrongMode

MAX_BYTES = 1 << 20


@operation(needs="nothing", body="StripeEvent", answer=EventReceived, refuses=(NotFound,))
async def receive(request: Request, services: Services, _nobody: Principal) -> Any:
    """`POST /v1/stripe/webhook`: take an event; Stripe repeats it for days, until it is taken."""
    if services.billing is None:
        raise _not_configured()
    # It brings Stripe's client with it, which is there if there is billing.
    from metering.stripe.webhook import EventInvalid, SignatureInvalid  # noqa: PLC0415

    body = await read_body(request, MAX_BYTES)
    try:
        await services.billing.take_event(body, request.headers.get("stripe-signature"))
    except WebhookNotConfigured as error:
        raise _not_configured() from error
    except SignatureInvalid as error:
        raise InvalidRequest(
            "The signature is none of the configured secrets', or more than five minutes old.",
            code="invalid_signature",
            param="Stripe-Signature",
        ) from error
    except WrongMode as error:
        raise InvalidRequest(f"{error}.", code="wrong_mode", param="livemode") from error
    except EventInvalid as error:
        raise InvalidRequest(f"This is no event: {error}.", code="invalid_event") from error
    return EventReceived()


def _not_configured() -> NotFound:
    return NotFound(
        "This server takes no events of Stripe's: STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET are"
        " needed.",
        code="webhook_not_configured",
    )
