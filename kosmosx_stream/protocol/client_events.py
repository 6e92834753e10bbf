"""What clients say on a WebSocket, decoded: a request in its lane, and commands."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from kosmosx_stream.protocol.errors import ApiError, InvalidRequest
from kosmosx_stream.protocol.fields import Fields, decode_object, invalid_value, unsupported
from kosmosx_stream.protocol.inputs import InputItem, InputMessage, read_input
from kosmosx_stream.protocol.requests import CreateResponse, read_create

STREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,256}")

_CLIENT_EVENTS = (
    "response.create",
    "response.steer",
    "kosmosx:response.cancel",
    "kosmosx:session.close",
)


IDEMPOTENCY_KEY = "kosmosx:idempotency_key"
"""The field of `response.create` that does what the header `Idempotency-Key` does."""


class CreateOnStream(msgspec.Struct, frozen=True):
    """`response.create` on a WebSocket, in a lane or in the unnamed one.

    `asked` is what its `idempotency_key` stands for, as JSON: all but the key and the lane.
    """

    request: CreateResponse
    stream_id: str | None = None
    idempotency_key: str | None = None
    asked: bytes = b""


class SteerResponse(msgspec.Struct, frozen=True):
    """`response.steer`: input for a response that is under way.

    `given` is the input as it was sent; `messages` what was read of it, unless `refusal` says why
    it could not be. The response's lane is the command's.
    """

    previous_response_id: str
    given: Any
    messages: tuple[InputMessage, ...]
    refusal: ApiError | None = None


class CancelResponse(msgspec.Struct, frozen=True):
    """`kosmosx:response.cancel`."""

    response_id: str
    stream_id: str | None = None


class CloseSession(msgspec.Struct, frozen=True):
    """`kosmosx:session.close`: stop what is live and send the receipt."""

    stream_id: str | None = None


ClientEvent = CreateOnStream | SteerResponse | CancelResponse | CloseSession


def decode_client_event(message: bytes | str) -> ClientEvent:
    """Decode what a client sent on a WebSocket.

    Raises:
        InvalidRequest: as `decode_create`, or an unknown event; `stream_id` names its lane.
        PayloadTooLarge: too much text.
    """
    fields = decode_object(message)
    stream_id = _stream_id(fields)
    try:
        return _read_event(fields, stream_id)
    except ApiError as error:
        error.stream_id = stream_id
        raise


def _read_event(fields: Fields, stream_id: str | None) -> ClientEvent:
    match fields.required_string("type"):
        case "response.create":
            return _read_create(fields, stream_id)
        case "response.steer":
            return _read_steer(fields)
        case "kosmosx:response.cancel":
            return CancelResponse(fields.required_string("response_id"), stream_id)
        case "kosmosx:session.close":
            return CloseSession(stream_id)
        case unknown:
            raise invalid_value("type", unknown, _CLIENT_EVENTS)


def _read_create(fields: Fields, stream_id: str | None) -> CreateOnStream:
    if fields.boolean("background"):
        raise unsupported("background", "it is for POST; over a WebSocket, read on later")
    key = fields.string(IDEMPOTENCY_KEY)
    own = {IDEMPOTENCY_KEY, "stream_id"}
    asked = {name: value for name, value in fields.value.items() if name not in own}
    request = read_create(Fields(asked))
    if key is None:
        return CreateOnStream(request, stream_id)
    return CreateOnStream(request, stream_id, key, asked=msgspec.json.encode(asked))


def _read_steer(fields: Fields) -> SteerResponse:
    response_id, given = fields.required_string("previous_response_id"), fields.get("input")
    try:
        return SteerResponse(response_id, given, _users_words(read_input(given)))
    except ApiError as error:
        return SteerResponse(response_id, given, (), error)


def _users_words(items: Sequence[InputItem]) -> tuple[InputMessage, ...]:
    messages: list[InputMessage] = []
    for index, item in enumerate(items):
        if not isinstance(item, InputMessage) or item.role != "user":
            message = f"Invalid 'input[{index}]': only a user's messages can steer a response."
            raise InvalidRequest(message, code="invalid_value", param=f"input[{index}]")
        messages.append(item)
    return tuple(messages)


def _stream_id(fields: Fields) -> str | None:
    stream_id = fields.string("stream_id")
    if stream_id is not None and not STREAM_ID.fullmatch(stream_id):
        message = "Invalid 'stream_id': expected 1 to 256 of the characters A-Z a-z 0-9 _ . -"
        raise InvalidRequest(message, code="invalid_stream_id", param="stream_id")
    return stream_id
