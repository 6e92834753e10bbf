"""Whatever went wrong, as the one kind of error that clients are told of."""

import logging
import time

from starlette.exceptions import HTTPException

from conversation import ports
from kosmosx_stream.protocol.errors import (
    ApiError,
    NotFound,
    ServerError,
    Unavailable,
    conversation_locked,
)
from metering import errors as books

logger = logging.getLogger(__name__)

COMPLAIN_EVERY_S = 10.0
"""A store that is away refuses every request; its reason is logged so often."""
_complained_at: dict[str, float] = {}


def to_api_error(error: Exception) -> ApiError:
    """The error to answer with; its reason is logged here, if it is not the client's to know."""
    match error:
        case ApiError():
            return error
        case books.NotFound() | ports.NotFound() | HTTPException(status_code=404):
            return NotFound("There is no such thing here.", code="not_found")
        case ports.Conflict():
            return conversation_locked()
        case books.StoreUnavailable() | ports.LogUnavailable():
            _complain(f"{type(error).__name__}: {error}")
            return Unavailable("The store cannot be reached. Try again.", code="store_unavailable")
        case _:
            logger.error("a request failed", exc_info=error)
            return ServerError("The server had an error. Try again.", code="server_error")


def _complain(reason: str) -> None:
    now = time.monotonic()
    for each in [old for old, at in _complained_at.items() if now - at >= COMPLAIN_EVERY_S]:
        del _complained_at[each]
    if reason not in _complained_at:
        _complained_at[reason] = now
        logger.warning("requests are refused: %s", reason)
