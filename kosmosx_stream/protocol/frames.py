"""An encoded event, framed as a server-sent event or as a WebSocket text frame.

Knows nothing of what an event says; the JSON is encoded once and reused for every reader.
"""

import msgspec

KEEPALIVE = b": keepalive\n"
"""A comment that keeps proxies from closing a silent stream (HTML 9.2.7).

No blank line ends it: after an event with an id, OpenAI's Python client takes one for an event.
"""
RETRY = b"retry: 1000\n"
"""How soon an EventSource comes back when it lost its connection, in milliseconds (HTML 9.2.6)."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event of a response: `data` is its JSON, encoded once for all readers.

    `extension`: not a standard event; readers over SSE get it only if they asked for such.
    """

    sequence: int
    type: str
    data: bytes
    extension: bool = False


def sse(event: Event) -> bytes:
    """The event as a server-sent event, whose `event` field equals the JSON's `type`.

    Its id is the sequence number: an EventSource sends it back as `Last-Event-ID`.
    """
    return sse_frame(event.type, event.data, event.sequence)


def sse_frame(event_type: str, data: bytes, event_id: int | None = None) -> bytes:
    """Frame one line of JSON (JSON escapes line breaks, so one `data` field is enough)."""
    id_line = b"" if event_id is None else b"id: %d\n" % event_id
    return b"event: %b\ndata: %b\n%b\n" % (event_type.encode(), data, id_line)


def unnamed_sse(data: bytes) -> bytes:
    """One line of data as a server-sent event without a type, as Chat Completions has them."""
    return b"data: %b\n\n" % data


def websocket(event: Event, stream_id: str | None = None) -> str:
    """The event as the text of a WebSocket frame, in the lane `stream_id` if it has one."""
    return on_stream(event.data, stream_id).decode()


def on_stream(data: bytes, stream_id: str | None) -> bytes:
    """Splice the lane into a non-empty JSON object. A valid `stream_id` needs no escaping."""
    return data if stream_id is None else b'%b,"stream_id":"%b"}' % (data[:-1], stream_id.encode())
