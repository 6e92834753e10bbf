"""What an error of Stripe's means for the units that were sent."""

import httpx
import stripe

from metering.sink import Accepted, Answer, Invalid, Refused, Unanswered, Unauthorised


def answer_to(error: stripe.StripeError) -> Answer:
    """Read an error: whether Stripe certainly did not take it, certainly has it, or may have it."""
    reason = str(error)[:500]
    match error:
        case stripe.AuthenticationError() | stripe.PermissionError():
            answer: Answer = Unauthorised(reason)
        case stripe.InvalidRequestError():
            answer = Accepted() if _says_that_it_has_it(error) else Invalid(reason)
        case stripe.RateLimitError() | stripe.TemporarySessionExpiredError():
            answer = Refused(reason, _retry_after_s(error))
        case stripe.APIConnectionError() if _never_connected(error):
            answer = Refused(f"no connection to Stripe: {error.__cause__}")
        case _:
            # A reply that was lost, 5xx, or 409: a call with the same idempotency key is under way.
            answer = Unanswered(reason)
    return answer


def _never_connected(error: stripe.StripeError) -> bool:
    return isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout)


def _says_that_it_has_it(error: stripe.StripeError) -> bool:
    """An identifier that Stripe has seen is refused with a 400: it has the event."""
    message = error.user_message or ""
    return error.code == "duplicate_meter_event" or "already exists with identifier" in message


def _retry_after_s(error: stripe.StripeError) -> float:
    # RFC 9110 10.2.3: seconds, or a date, which Stripe does not send.
    given = str((error.headers or {}).get("retry-after", ""))
    return float(given) if given.isdecimal() else 0.0
