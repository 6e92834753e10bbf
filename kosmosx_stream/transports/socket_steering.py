"""Input sent into the middle of an answer: accepted, taken up by a successor, or given back."""

from collections.abc import Iterable, Sequence

from kosmosx_stream.ids import new_id
from kosmosx_stream.protocol.client_events import SteerResponse
from kosmosx_stream.protocol.inputs import InputMessage
from kosmosx_stream.protocol.items import FunctionCallItem
from kosmosx_stream.protocol.requests import CreateResponse
from kosmosx_stream.protocol.steering import (
    AcceptedSteer,
    FailedSteer,
    RequiredOutput,
    Steer,
    SteerAccepted,
    SteerError,
    SteerFailed,
    SteerPending,
    encode_steer,
)
from kosmosx_stream.transports.client_socket import ClientSocket

MAX_STEERS = 8
"""Pieces of input that may wait for the end of one response."""


class Steers:
    """What waits for one response to end. `lane` is the response's."""

    def __init__(self, socket: ClientSocket, response_id: str, lane: str | None) -> None:
        self.response_id = response_id
        self.lane = lane
        self._socket = socket
        self._waiting: list[Steer] = []
        self.sequence = 0
        """The number of the last event of the response that was sent."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def messages(self) -> tuple[InputMessage, ...]:
        """All input that waits, in the order in which it came."""
        return tuple(message for steer in self._waiting for message in steer.messages)

    def refusal(self, steer: SteerResponse, request: CreateResponse) -> SteerError | None:
        """Why the response cannot be steered so; None if it can."""
        if steer.refusal is not None:
            return SteerError(code="invalid_input", message=steer.refusal.message)
        if request.conversation is not None:
            message = "A response in a conversation cannot be steered; say it in its next turn."
            return SteerError(code="steering_not_supported", message=message)
        if not request.generate:
            message = "A warm-up says nothing that could be steered."
            return SteerError(code="steering_not_supported", message=message)
        if len(self._waiting) >= MAX_STEERS:
            message = f"{MAX_STEERS} pieces of input wait for this response, the most it takes."
            return SteerError(code="too_many_pending_steers", message=message)
        return None

    async def accept(self, steer: SteerResponse) -> None:
        """Let it wait, and say so.

        Raises:
            Gone: the client is not there any more.
        """
        accepted = Steer(new_id("steer"), steer.given, steer.messages)
        self._waiting.append(accepted)
        event = SteerAccepted(
            sequence_number=self.sequence, steer=AcceptedSteer(accepted.id, self.response_id)
        )
        await self._socket.send(encode_steer(event, self.lane))

    async def wait_for(self, calls: Sequence[FunctionCallItem]) -> None:
        """The response is whole, and what its calls give comes before anything else.

        Raises:
            Gone: the client is not there any more.
        """
        required = tuple(RequiredOutput(call.call_id, call.name) for call in calls)
        for steer in self._waiting:
            event = SteerPending(
                sequence_number=self.sequence,
                steer=AcceptedSteer(steer.id, self.response_id),
                required_input=required,
            )
            await self._socket.send(encode_steer(event, self.lane))

    async def give_back(self, error: SteerError) -> None:
        """The response has no successor: all that waits goes back to the client.

        Raises:
            Gone: the client is not there any more.
        """
        for steer in self._waiting:
            failed = FailedSteer(self.response_id, steer.given, steer.id)
            event = SteerFailed(sequence_number=self.sequence, steer=failed, error=error)
            await self._socket.send(encode_steer(event, self.lane))


async def refuse_steer(
    socket: ClientSocket,
    steer: SteerResponse,
    error: SteerError,
    *,
    sequence: int = 0,
    lane: str | None = None,
) -> None:
    """Give input back that was not accepted.

    Raises:
        Gone: the client is not there any more.
    """
    failed = FailedSteer(steer.previous_response_id, steer.given)
    event = SteerFailed(sequence_number=sequence, steer=failed, error=error)
    await socket.send(encode_steer(event, lane))


def response_stopped() -> SteerError:
    """Nobody goes on from there by themselves."""
    return SteerError(code="response_not_active", message="The response was stopped.")


def call_cut_off() -> SteerError:
    """The answer ended, by its length, in the middle of a call."""
    message = "A call was cut off, so that its function has nothing to give."
    return SteerError(code="successor_creation_failed", message=message)


def not_under_way(response_id: str, ended: Iterable[str]) -> SteerError:
    """The response is not being answered on this connection; maybe it was."""
    if response_id in ended:
        message = f"Response '{response_id}' has ended; continue it with 'response.create'."
        return SteerError(code="response_already_completed", message=message)
    message = f"Response '{response_id}' is not under way on this connection."
    return SteerError(code="response_not_found", message=message)
