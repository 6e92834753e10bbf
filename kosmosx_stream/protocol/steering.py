"""Steering on the wire: what becomes of input that is sent into the middle of an answer.

As OpenAI has it: accepted input ends the answer at the next token as `incomplete`, for the reason
`steered`, and a successor goes on from there, with the same settings. The successor's
`response.created` is when the input was taken up; what cannot be comes back in a
`response.steer.failed`. An answer that has begun to call functions is not cut: it completes, and
`response.steer.pending` says what the input waits for. The `response.create` that goes on from it
in its lane brings that, and the input goes before it. These events are the connection's, not the
response's: they carry the number of the last event that was sent of it, and a replay does not have
them.
"""

from typing import Any, Literal

import msgspec

from kosmosx_stream.protocol import frames
from kosmosx_stream.protocol.inputs import InputMessage

SteerErrorCode = Literal[
    "response_not_found",
    "invalid_input",
    "steering_not_supported",
    "too_many_pending_steers",
    "response_already_completed",
    "response_not_active",
    "successor_creation_failed",
]


class Steer(msgspec.Struct, frozen=True):
    """Accepted input: `given` as the client sent it, `messages` as it was read."""

    id: str
    given: Any
    messages: tuple[InputMessage, ...]


class AcceptedSteer(msgspec.Struct, frozen=True):
    id: str
    previous_response_id: str


class FailedSteer(msgspec.Struct, frozen=True):
    previous_response_id: str
    input: Any
    id: str | msgspec.UnsetType = msgspec.UNSET


class SteerError(msgspec.Struct, frozen=True, kw_only=True):
    code: SteerErrorCode
    message: str
    type: Literal["invalid_request_error"] = "invalid_request_error"


class SteerAccepted(msgspec.Struct, frozen=True, kw_only=True, tag="response.steer.accepted"):
    """The input is the server's now; a successor takes it up, or it comes back."""

    sequence_number: int
    steer: AcceptedSteer


class RequiredOutput(msgspec.Struct, frozen=True, tag="function_call_output"):
    """What a function is to give; `output` is the client's to fill in."""

    call_id: str
    name: str


class SteerPending(msgspec.Struct, frozen=True, kw_only=True, tag="response.steer.pending"):
    """The input waits for what the called functions give; it need not be sent again."""

    sequence_number: int
    steer: AcceptedSteer
    reason: Literal["waiting_for_required_input"] = "waiting_for_required_input"
    required_input: tuple[RequiredOutput, ...]


class SteerFailed(msgspec.Struct, frozen=True, kw_only=True, tag="response.steer.failed"):
    """The input was not taken up; it comes back as it was sent."""

    sequence_number: int
    steer: FailedSteer
    error: SteerError


def encode_steer(event: SteerAccepted | SteerPending | SteerFailed, stream_id: str | None) -> str:
    """The text of a WebSocket frame in the lane of the response that was steered."""
    return frames.on_stream(msgspec.json.encode(event), stream_id).decode()
