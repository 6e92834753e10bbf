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
        assert failed(ws, "b").error.code == "steering_not_supported"

        tool = {"type": "function", "name": "look", "parameters": {"type": "object"}}
        ws.say("Look!", "a", tools=[tool], tool_choice="none", max_output_tokens=400)
        ws.connection.send({"type": "kosmosx:response.cancel", "response_id": live})
        while (calling := ws.until("response.created", "a").response.id) == live:
            pass
        steer(ws, calling, "More!")
        assert failed(ws, "a").error.code == "steering_not_supported"


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
