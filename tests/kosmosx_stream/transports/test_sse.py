"""Server-sent events, without a server: what goes out when following fails."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from kosmosx_stream.protocol.errors import Unavailable
from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.transports import chat
from kosmosx_stream.transports.sse import EventStream
from metering.keys import InvalidKey

FIRST = Event(0, "chat.completion.chunk", b"{}")


async def failing() -> AsyncIterator[Sequence[Event]]:
    yield [FIRST]
    raise Unavailable("The log cannot be reached.", code="log_unavailable")


def for_ever() -> AbstractContextManager[asyncio.Future[InvalidKey]]:
    return nullcontext(asyncio.get_running_loop().create_future())


async def sent(stream: EventStream) -> bytes:
    bodies: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return await asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        bodies.append(message.get("body", b""))

    await stream({}, receive, send)
    return b"".join(bodies)


@pytest.mark.parametrize("protocol", ["responses", "chat"])
async def test_a_stream_that_fails_says_so_in_its_protocol(protocol: str) -> None:
    words: dict[str, Any] = {}
    if protocol == "chat":
        words = {"frame": chat._frame, "encode_error": chat._encode_error}
    stream = EventStream(
        failing(), watch=for_ever(), session_id=None, send_timeout_s=1, keepalive_s=60, **words
    )
    first, last, end = (await sent(stream)).decode().split("\n\n")
    assert end == ""
    told = json.loads(last[last.index("{") :])
    if protocol == "chat":
        assert first == "data: {}"
        assert told["error"]["code"] == "log_unavailable"
        assert told["error"]["type"] == "server_error"
    else:
        assert first == "event: chat.completion.chunk\ndata: {}\nid: 0"
        assert (told["type"], told["code"]) == ("error", "log_unavailable")
        # Who goes on after the last number that came misses nothing.
        assert told["sequence_number"] == 0
