import json

from kosmosx_stream.protocol.requests import decode_create
from kosmosx_stream.protocol.responses import Echo, echoed_fields, read_echo


def test_echo_round_trip() -> None:
    body = {
        "model": "k",
        "input": "x",
        "instructions": "Be brief.",
        "max_output_tokens": 20,
        "temperature": 0.5,
        "metadata": {"a": "b"},
        "reasoning": {"effort": "low"},
        "tool_choice": "none",
    }
    echo = read_echo(echoed_fields(decode_create(json.dumps(body))))
    for name in ("instructions", "max_output_tokens", "temperature", "metadata", "tool_choice"):
        assert getattr(echo, name) == body[name]
    assert echo.reasoning is not None
    assert (echo.reasoning.effort, echo.reasoning.summary) == ("low", None)


def test_an_echo_of_another_version_is_read() -> None:
    assert read_echo(b"") == Echo()
    assert read_echo(b'{"user":"u","new":1}').user == "u"
