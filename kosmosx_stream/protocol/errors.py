"""The one tree of errors that clients see, and how each transport says them.

| error               | HTTP | type                  |
|---------------------|------|-----------------------|
| InvalidRequest      | 400  | invalid_request_error |
| AuthenticationError | 401  | invalid_request_error |
| PermissionDenied    | 403  | invalid_request_error |
| NotFound            | 404  | invalid_request_error |
| Conflict            | 409  | invalid_request_error |
| PayloadTooLarge     | 413  | invalid_request_error |
| Unprocessable       | 422  | invalid_request_error |
| RateLimited         | 429  | rate_limit_error      |
| QuotaExceeded       | 429  | insufficient_quota    |
| ServerError         | 500  | server_error          |
| Unavailable         | 503  | server_error          |

Types and the usual codes are OpenAI's. All codes, by what they are about:

- keys: missing_api_key invalid_api_key expired_api_key insufficient_scope key_not_found key_ended
  too_many_keys invalid_client_secret client_secret_expired
  client_secret_used client_secret_not_allowed origin_not_allowed conversation_not_allowed
  session_not_allowed
- accounts: email_taken invalid_email weak_password wrong_password registration_closed
  no_password sign_in_required too_many_attempts server_busy
- bodies: invalid_json invalid_type invalid_value missing_required_parameter unknown_parameter
  unsupported_parameter mutually_exclusive_parameters integer_below_min_value
  integer_above_max_value time_has_passed decimal_below_min_value decimal_above_max_value
  string_above_max_length object_above_max_properties array_above_max_length empty_array
  empty_string too_large request_too_large incomplete_body unsupported_encoding
- input: unsupported_input_item invalid_image invalid_image_url unsupported_image image_too_large
  image_timeout image_url_unavailable too_many_images context_length_exceeded model_not_found
- connections: headers_too_large (431) request_timeout (408) too_many_connections (429)
- tools and formats: unsupported_tool tool_not_found duplicate_name invalid_schema
- what is not there: not_found response_not_found completion_not_found previous_response_not_found
  conversation_not_found item_not_found session_not_found
- what is in another state: conflict conversation_locked items_pending session_closed
  idempotency_key_in_use idempotency_key_reused invalid_idempotency_key
- WebSockets: invalid_message invalid_stream_id websocket_stream_limit_reached
  websocket_connection_limit_reached
- budgets and plans: insufficient_quota budget_locked too_many_sessions
- Stripe's events: invalid_signature invalid_event wrong_mode webhook_not_configured
- load: rate_limit_exceeded server_unavailable store_unavailable log_unavailable server_error
- logs: log_version_unknown (a server of another version wrote it) log_regressed (it ends before the
  event after which it was to be read)

Beside them stand those of `response.steer.failed` (`protocol/steering.py`) and of failed responses:
server_error invalid_prompt conversation_conflict. OpenAI's other codes of failed responses are of
what is checked here before a response begins (pictures), or does not exist here (policies, vector
stores). A response is incomplete for `max_output_tokens` or `steered`; nothing filters content.
"""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from kosmosx_stream.protocol import frames
from kosmosx_stream.protocol.rate_limits import RateLimit


class ApiError(Exception):
    """A refusal or a failure that a client is told of.

    `code` is for programs, `message` for people; `param` names the field at fault as
    `input[0].content[1].image_url`. `stream_id` is the lane of the command that was refused.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"

    def __init__(self, message: str, *, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.stream_id: str | None = None
        self.billed = False
        """Whether something was generated first: the same request must not be made again."""
        self.retry_after_s: int | None = None
        """When the same request may succeed, if that is known."""


class _Refusal(ApiError):
    type = "invalid_request_error"


class InvalidRequest(_Refusal):
    """The request itself is at fault."""

    status = 400


class AuthenticationError(_Refusal):
    """No key, or not a valid one."""

    status = 401


class PermissionDenied(_Refusal):
    """A valid key that may not do this; the message names the scope that it lacks."""

    status = 403


class NotFound(_Refusal):
    """No such thing, or it belongs to someone else."""

    status = 404


class Conflict(_Refusal):
    """The thing is not in a state for this; somebody else was first."""

    status = 409


class PayloadTooLarge(_Refusal):
    """More bytes than the server takes."""

    status = 413


class Unprocessable(_Refusal):
    """Well-formed, and at odds with what was asked before."""

    status = 422


class RateLimited(ApiError):
    """Too many at a time."""

    status = 429
    type = "rate_limit_error"

    def __init__(
        self,
        message: str,
        *,
        code: str,
        param: str | None = None,
        limits: tuple[RateLimit, ...] = (),
    ) -> None:
        super().__init__(message, code=code, param=param)
        self.limits = limits
        """What is left of each, where rates are limited."""


class QuotaExceeded(RateLimited):
    """The budget is spent; waiting does not help."""

    type = "insufficient_quota"


class ServerError(ApiError):
    """Our fault."""


class Unavailable(ApiError):
    """Not now: loading, draining, or a store that cannot be reached."""

    status = 503


class HandedOver(Unavailable):
    """The server goes down; others go on with what was live on it."""

    def __init__(self, after: int) -> None:
        """`after`: the sequence number of the last event that was read."""
        super().__init__(
            f"The server goes down. The response goes on elsewhere, after event {after}.",
            code="server_unavailable",
        )


def log_regressed(after: int, last: int | None) -> NotFound:
    """What was read once is not in the log any more: the store was restored from an older state.

    `last`: the event with which the log ends; None if it was set back while it was read or live.
    """
    end = "the log was set back" if last is None else f"the log ends with event {last}"
    return NotFound(
        f"There is no event {after} to go on after: {end}. If it was read, the store has lost it "
        "since; read the response from its beginning.",
        code="log_regressed",
        param="starting_after",
    )


def model_not_found(name: str, served: Sequence[str]) -> NotFound:
    """No such model; these are served."""
    names = " and ".join(f"'{each}'" for each in served)
    return NotFound(
        f"The model '{name}' does not exist; this server has {names}.",
        code="model_not_found",
        param="model",
    )


def response_not_found(response_id: str) -> NotFound:
    """There is no such response, or it is not this account's, or it was not to be stored."""
    return NotFound(
        f"Response with id '{response_id}' not found.",
        code="response_not_found",
        param="response_id",
    )


def conversation_locked() -> Conflict:
    """The refusal of a turn or an edit that would get in between."""
    return Conflict(
        "The conversation is in the middle of another turn, or was changed meanwhile. "
        "Try again when that turn has ended.",
        code="conversation_locked",
        param="conversation",
    )


def item_not_found(item_id: str, param: str = "item_id") -> NotFound:
    """There is no such item, or no more."""
    message = f"Item with id '{item_id[:128]}' not found."
    return NotFound(message, code="item_not_found", param=param)


def conversation_not_found(conversation_id: str | None) -> NotFound:
    """There is none, or it is another account's."""
    return NotFound(
        f"Conversation with id '{conversation_id}' not found.",
        code="conversation_not_found",
        param="conversation",
    )


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """The `error` object of HTTP bodies and WebSocket events."""

    message: str
    type: str
    param: str | None
    code: str


class HttpError(msgspec.Struct, frozen=True):
    """The body of a refusal."""

    error: ErrorBody


class SocketError(msgspec.Struct, frozen=True, kw_only=True, tag="error"):
    """A refused command, or a response that cannot be followed further."""

    status: int
    error: ErrorBody


class StreamError(msgspec.Struct, frozen=True, kw_only=True, tag="error"):
    """The end of a stream that cannot go on."""

    sequence_number: int
    code: str
    message: str
    param: str | None


def encode_http(error: ApiError) -> bytes:
    """The body of an HTTP response that goes out with `error.status`."""
    return msgspec.json.encode(HttpError(_body(error)))


def encode_websocket(error: ApiError, *, stream_id: str | None = None) -> bytes:
    """The JSON of a WebSocket frame (WebSocketErrorEvent): the nested form, with the status.

    It goes into the lane `stream_id`, or else into that of the refused command.
    """
    event = SocketError(status=error.status, error=_body(error))
    return frames.on_stream(msgspec.json.encode(event), stream_id or error.stream_id)


def encode_sse(error: ApiError, sequence: int) -> bytes:
    """A framed server-sent event: the flat form that OpenAI's clients parse in a stream.

    The specification's own ErrorStreamingEvent is nested, but a truthy top-level `error` makes the
    clients throw before they look at the type.
    """
    event = StreamError(
        sequence_number=sequence, code=error.code, message=error.message, param=error.param
    )
    return frames.sse_frame("error", msgspec.json.encode(event))


def _body(error: ApiError) -> ErrorBody:
    return ErrorBody(message=error.message, type=error.type, param=error.param, code=error.code)
