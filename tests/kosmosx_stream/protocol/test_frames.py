import json

from kosmosx_stream.protocol import frames
from kosmosx_stream.protocol.frames import Event

EVENT = Event(
    3, "response.output_text.delta", b'{"type":"response.output_text.delta","delta":"\xc3\xa9"}'
)


def test_sse() -> None:
    assert frames.sse(EVENT) == (
        b"event: response.output_text.delta\n"
        b'data: {"type":"response.output_text.delta","delta":"\xc3\xa9"}\n'
        b"id: 3\n\n"
    )


def test_websocket_without_a_lane_is_the_data() -> None:
    assert frames.websocket(EVENT) == EVENT.data.decode()


def test_a_lane_is_spliced_in() -> None:
    data = json.loads(frames.websocket(EVENT, "a.b-C_1"))
    assert data == {**json.loads(EVENT.data), "stream_id": "a.b-C_1"}


def test_keepalive_is_a_comment() -> None:
    assert frames.KEEPALIVE.startswith(b":")
    assert frames.KEEPALIVE.count(b"\n") == 1  # A blank line would end an event.
