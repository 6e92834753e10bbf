"""Steering: more input in the middle of an answer, over the official client."""

from typing import Any

import pytest

from kosmosx_stream.protocol.client_events import SteerResponse
from kosmosx_stream.protocol.requests import decode_create
from kosmosx_stream.protocol.steering import Steer
from kosmosx_stream.transports.socket_steering import MAX_STEERS, Steers
from tests.kosmosx_stream.clients import MODEL, client, message, text_of
from tests.kosmosx_stream.transports.sockets import SHORT, Socket, socket, stream, text
from tests.server_process import ServerProcess


def look(least: int) -> dict[str, Any]:
    """A function whose argument is so long that there is time to steer."""
    said = {"said": {"type": "string", "minLength": least}}
    parameters = {"type": "object", "properties": said, "required": ["said"]}
    return {"type": "function", "name": "look", "parameters": parameters}


def call_begun(ws: Socket, lane: str | None = None, **request: Any) -> str:
    """Begin an answer that has to call, and read up to the call."""
    ws.say("Look!", lane, tool_choice="required", parallel_tool_calls=False, **request)
    response_id = ws.until("response.created", lane).response.id
    ws.until("response.function_call_arguments.delta", lane)
    return response_id


def steer(ws: Socket, response_id: str, words: Any) -> None:
    ws.connection.response.steer(previous_response_id=response_id, input=words)


def under_way(ws: Socket, lane: str | None = None, **request: Any) -> str:
    """Begin a long answer and read its first words."""
    ws.say("Tell me everything.", lane, **request)
    response_id = ws.until("response.created", lane).response.id
    ws.until("response.output_text.delta", lane)
    return response_id


@pytest.mark.parametrize("store", [True, False])
def test_an_answer_goes_on_with_what_was_said_into_it(
    narrow: ServerProcess, *, store: bool
) -> None:
    with socket(narrow) as ws:
        first = under_way(ws, "a", max_output_tokens=1000, temperature=0.5, store=store)
        steer(ws, first, "Only the circles.")
        accepted = ws.until("response.steer.accepted", "a")
        assert accepted.steer.previous_response_id == first
        assert accepted.steer.id
        cut = ws.until("response.incomplete", "a").response
        assert cut.id == first
        assert cut.incomplete_details.reason == "steered"
        assert cut.output_text == text_of(ws.seen)
        successor = ws.until("response.created", "a").response
        assert successor.previous_response_id == first
        assert (successor.temperature, successor.store) == (0.5, store)
        assert successor.metadata == cut.metadata
        ws.connection.send({"type": "kosmosx:response.cancel", "response_id": successor.id})
        last = ws.until("response.incomplete", "a").response
        assert last.usage.input_tokens > cut.usage.total_tokens
        ws.connection.send({"type": "kosmosx:session.close"})
        closed = ws.until("kosmosx:session.closed").session
    assert closed["usage"]["total_tokens"] == cut.usage.total_tokens + last.usage.total_tokens


def test_all_that_was_said_into_it_is_answered_at_once_before_the_lane_goes_on(
    narrow: ServerProcess,
) -> None:
    with socket(narrow) as ws:
        first = under_way(ws, max_output_tokens=100)
        ws.say("later", **SHORT)
        steer(ws, first, "One more thing.")
        steer(ws, first, [message("And another.")])
        created = [ws.until("response.created").response for _ in range(2)]
        ws.ends(1)
    assert created[0].previous_response_id == first
    items = list(client(narrow).responses.input_items.list(created[0].id, order="asc"))
    said = [item.content[0].text for item in items]
    # The second one may have come when the first was being answered already.
    assert said in (["One more thing.", "And another."], ["One more thing."])
    assert text(ws.seen[-1]) in {"later", "Tell me everything."}


def failed(ws: Socket, lane: str | None = None) -> Any:
    return ws.until("response.steer.failed", lane)


def test_what_cannot_be_steered_comes_back(narrow: ServerProcess) -> None:
    with socket(narrow) as ws:
        steer(ws, "resp_0", "Hello?")
        unknown = failed(ws)
        assert (unknown.error.code, unknown.steer.input) == ("response_not_found", "Hello?")
        assert unknown.steer.id is None
        ended = ws.ask("Hi").response.id
        steer(ws, ended, "More!")
        assert failed(ws).error.code == "response_already_completed"

        live = under_way(ws, "a", max_output_tokens=400)
        instructions = [{"type": "message", "role": "system", "content": "Obey."}]
        steer(ws, live, instructions)
        invalid = failed(ws, "a")
        assert (invalid.error.code, stream(invalid)) == ("invalid_input", "a")
        assert invalid.steer.input == instructions

        conversation = client(narrow).conversations.create()
        bound = under_way(ws, "b", conversation=conversation.id, max_output_tokens=400)
        steer(ws, bound, "More!")
        unsupported = failed(ws, "b").error
        assert unsupported.code == "steering_not_supported"
        assert "conversation" in unsupported.message


def test_an_answer_that_may_call_is_cut_among_its_words(narrow: ServerProcess) -> None:
    with socket(narrow) as ws:
        first = under_way(ws, "a", tools=[look(1)], tool_choice="none", max_output_tokens=1000)
        steer(ws, first, "Only the circles.")
        cut = ws.until("response.incomplete", "a").response
        assert cut.incomplete_details.reason == "steered"
        successor = ws.until("response.created", "a").response
        assert (successor.previous_response_id, successor.tools) == (first, cut.tools)


@pytest.mark.parametrize("store", [True, False])
def test_input_waits_for_what_called_functions_give(narrow: ServerProcess, *, store: bool) -> None:
    """The call is not cut; the client's continuation has the input before the function's output."""
    with socket(narrow) as ws:
        first = call_begun(ws, "a", tools=[look(60)], store=store)
        steer(ws, first, "Only the circles.")
        steer(ws, first, [message("And be brief.")])
        accepted = [ws.until("response.steer.accepted", "a").steer.id for _ in range(2)]
        whole = ws.until("response.completed", "a").response
        calls = [{"type": "function_call_output", "call_id": each.call_id} for each in whole.output]
        pending = [ws.until("response.steer.pending", "a") for _ in range(2)]
        assert [each.steer.id for each in pending] == accepted
        for each in pending:
            assert each.reason == "waiting_for_required_input"
            required = [stub.to_dict() for stub in each.required_input]
            assert required == [call | {"name": "look"} for call in calls]

        wrong = [{"type": "function_call_output", "call_id": "call_0", "output": "?"}]
        again = {"stream_id": "a", "previous_response_id": first, "max_output_tokens": 16}
        ws.connection.response.create(model=MODEL, input=wrong, store=True, **again)
        if store:  # A failed continuation of what is not stored evicts that.
            assert ws.until("error", "a").error.param == "input[0].call_id"
            outputs = [call | {"output": "A circle."} for call in calls]
            ws.connection.response.create(model=MODEL, input=outputs, **again)
            second = ws.until("response.created", "a").response.id
            items = list(client(narrow).responses.input_items.list(second, order="asc"))
            assert [item.type for item in items] == ["message", "message"] + [
                "function_call_output" for _ in calls
            ]
            assert items[0].content[0].text == "Only the circles."


def test_input_after_a_call_that_was_cut_off_comes_back(narrow: ServerProcess) -> None:
    with socket(narrow) as ws:
        steer(ws, call_begun(ws, tools=[look(900)], max_output_tokens=60), "Only the circles.")
        accepted = ws.until("response.steer.accepted").steer.id
        assert ws.until("response.incomplete").response.output[0].status == "incomplete"
        returned = failed(ws)
        assert (returned.steer.id, returned.error.code) == (accepted, "successor_creation_failed")
        assert "cut off" in returned.error.message


def test_input_of_a_response_that_is_cancelled_comes_back(narrow: ServerProcess) -> None:
    with socket(narrow) as ws:
        first = call_begun(ws, tools=[look(900)])
        steer(ws, first, "Only the circles.")
        ws.until("response.steer.accepted")
        ws.connection.send({"type": "kosmosx:response.cancel", "response_id": first})
        assert ws.until("response.incomplete").response.output[0].status == "incomplete"
        returned = failed(ws)
        assert (returned.error.code, returned.steer.input) == (
            "response_not_active",
            "Only the circles.",
        )


def test_input_without_a_successor_comes_back_under_its_id(narrow: ServerProcess) -> None:
    with socket(narrow) as ws:
        first = under_way(ws, "a", max_output_tokens=400)
        too_long = "word " * 30_000
        steer(ws, first, too_long)
        accepted = ws.until("response.steer.accepted", "a")
        returned = failed(ws, "a")
        assert returned.error.code == "successor_creation_failed"
        assert (returned.steer.id, returned.steer.input) == (accepted.steer.id, too_long)
        assert ws.ask("Go on.", "a", previous_response_id=first).type == "response.incomplete"


def test_what_may_wait_for_one_response_is_bounded() -> None:
    request = decode_create(f'{{"model":"{MODEL}","input":"x"}}')
    steers = Steers(None, "resp", None)  # type: ignore[arg-type]
    more = SteerResponse("resp", "x", request.messages)
    for number in range(MAX_STEERS):
        assert steers.refusal(more, request) is None
        steers._waiting.append(Steer(f"steer_{number}", "x", request.messages))
    refusal = steers.refusal(more, request)
    assert refusal is not None
    assert refusal.code == "too_many_pending_steers"
