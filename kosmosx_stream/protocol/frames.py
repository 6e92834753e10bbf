"""An encoded event, framed as a server-sent event or as a WebSocket text frame.

Knows nothing of what an event says; the JSON is encoded once and reused for every reader.
"""

import msgspec

KEEPALIVE = b": keepalive\n\n"
"""A comment that keeps proxies from closing a silent stream (HTML 9.2.6)."""


class Event(msgspec.Struct, frozen=True):
    """One event of a response: `data` is its JSON, encoded once for all readers.

    `extension`: not a standard event; readers over SSE get it only if they asked for such.
    """

    sequence: int
    type: str
    data: bytes
    extension: bool = False


def sse(event: Event) -> bytes:
    """The event as a server-sent event, whose `event` field equals the JSON's `type`."""
    return sse_frame(event.type, event.data)


def sse_frame(event_type: str, data: bytes) -> bytes:
    """Frame one line of JSON (JSON escapes line breaks, so one `data` field is enough)."""
    return b"event: %b\ndata: %b\n\n" % (event_type.encode(), data)


def websocket(event: Event, stream_id: str | None = None) -> str:
    """The event as the text of a WebSocket frame, in the lane `stream_id` if it has one."""
    return on_stream(event.data, stream_id).decode()


def on_stream(data: bytes, stream_id: str | None) -> bytes:
    """Splice the lane into a non-empty JSON object. A valid `stream_id` needs no escaping."""
    return data if stream_id is None else b'%b,"stream_id":"%b"}' % (data[:-1], stream_id.encode())
