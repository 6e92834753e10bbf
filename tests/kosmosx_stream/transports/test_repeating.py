"""What may be asked for again by itself, and what was billed."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from kosmosx_stream.protocol.errors import ApiError, Unavailable
from kosmosx_stream.telemetry.telemetry import Telemetry
from kosmosx_stream.transports.endpoint import exception_handlers
from kosmosx_stream.transports.repeating import once_billed


def should_retry(error: ApiError) -> str | None:
    """What OpenAI's clients are told of the failure."""
    app = Starlette()
    app.state.telemetry = Telemetry.off()
    answer = exception_handlers()[ApiError](Request({"type": "http", "app": app}), error)
    assert answer.status_code == error.status
    return answer.headers.get("x-should-retry")


@pytest.mark.parametrize(("repeatable", "told"), [(False, "false"), (True, None)])
def test_what_was_billed_is_not_asked_for_again(*, repeatable: bool, told: str | None) -> None:
    """With a key it may be: it gets the same response."""
    with pytest.raises(Unavailable) as failed, once_billed(repeatable=repeatable):
        raise Unavailable("The log cannot be reached.", code="log_unavailable")
    assert should_retry(failed.value) == told


def test_a_refusal_may_be_repeated() -> None:
    assert should_retry(Unavailable("Draining.", code="server_unavailable")) is None
