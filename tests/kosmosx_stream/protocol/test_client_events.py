import json
from typing import Any

import pytest

from kosmosx_stream.protocol.client_events import (
    CancelResponse,
    CloseSession,
    CreateOnStream,
    decode_client_event,
)
from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.inputs import InputMessage, InputText
from kosmosx_stream.protocol.requests import decode_create

GOOD = {"model": "kosmos-x", "input": "Hello!"}


def event(**fields: Any) -> Any:
    return decode_client_event(json.dumps(fields))


def test_client_events() -> None:
    assert event(type="response.create", **GOOD) == CreateOnStream(
        decode_create(json.dumps(GOOD)), None
    )
    assert event(type="response.create", stream_id="a.B-1_", **GOOD).stream_id == "a.B-1_"
    assert event(type="kosmosx:response.cancel", response_id="r") == CancelResponse("r")
    assert event(type="kosmosx:session.close") == CloseSession()
    assert not event(type="response.create", **GOOD, generate=False).request.generate
    assert not event(type="response.create", **GOOD, background=False).request.background


BAD_EVENTS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "missing_required_parameter", "type"),
    ({"type": 1}, "invalid_type", "type"),
    ({"type": "response.inject"}, "invalid_value", "type"),
    (
        {"type": "response.steer", "input": "x"},
        "missing_required_parameter",
        "previous_response_id",
    ),
    ({"type": "kosmosx:response.cancel"}, "missing_required_parameter", "response_id"),
    ({"type": "response.create", "stream_id": ""}, "invalid_stream_id", "stream_id"),
    ({"type": "response.create", "stream_id": "a" * 257}, "invalid_stream_id", "stream_id"),
    ({"type": "response.create", "stream_id": 'a"b'}, "invalid_stream_id", "stream_id"),
    ({"type": "response.create", "stream_id": "a\n"}, "invalid_stream_id", "stream_id"),
    ({"type": "response.create", "stream_id": 5}, "invalid_type", "stream_id"),
    (
        {"type": "response.create", **GOOD, "background": True},
        "unsupported_parameter",
        "background",
    ),
]


@pytest.mark.parametrize(("fields", "code", "param"), BAD_EVENTS, ids=str)
def test_refused_events(fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        event(**fields)
    assert (refused.value.code, refused.value.param) == (code, param)


def test_a_refused_command_names_its_lane() -> None:
    with pytest.raises(InvalidRequest) as refused:
        event(type="response.create", stream_id="lane", input="x")
    assert (refused.value.param, refused.value.stream_id) == ("model", "lane")


def test_steering_keeps_what_was_sent() -> None:
    steer = event(type="response.steer", previous_response_id="r", input="Shorter!")
    assert (steer.given, steer.refusal) == ("Shorter!", None)
    assert steer.messages == (InputMessage("user", (InputText("Shorter!"),)),)
    for given in (None, [], 7, [{"role": "system", "content": "x"}]):
        refused = event(type="response.steer", previous_response_id="r", input=given)
        assert (refused.given, refused.messages) == (given, ())
        assert refused.refusal is not None
