"""Whatever went wrong, as the one kind of error that clients are told of."""

import logging

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


def to_api_error(error: Exception) -> ApiError:
    """The error to answer with; what nobody expected is logged here, and only here."""
    match error:
        case ApiError():
            return error
        case books.NotFound() | ports.NotFound() | HTTPException(status_code=404):
            return NotFound("There is no such thing here.", code="not_found")
        case ports.Conflict():
            return conversation_locked()
        case books.StoreUnavailable() | ports.LogUnavailable():
            return Unavailable("The store cannot be reached. Try again.", code="store_unavailable")
        case _:
            logger.error("a request failed", exc_info=error)
            return ServerError("The server had an error. Try again.", code="server_error")
