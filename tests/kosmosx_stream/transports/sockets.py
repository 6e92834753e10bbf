"""A WebSocket of the official client, read lane by lane."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.kosmosx_stream.clients import MODEL, TERMINAL, client
from tests.server_process import ServerProcess

SHORT = {"max_output_tokens": 16}


class Socket:
    """A connection of the official client, read lane by lane."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.seen: list[Any] = []

    def say(self, text: str, lane: str | None = None, **request: Any) -> None:
        named = {} if lane is None else {"stream_id": lane}
        self.connection.response.create(
            model=MODEL, input=text, metadata={"text": text[:20]}, **named, **request
        )

    def read(self) -> Any:
        self.seen.append(self.connection.recv())
        return self.seen[-1]

    def until(self, event_type: str, lane: str | None = None) -> Any:
        while (event := self.read()).type != event_type or stream(event) != lane:
            pass
        return event

    def ends(self, count: int) -> list[Any]:
        """Read on until so many responses or requests have ended."""
        ends: list[Any] = []
        while len(ends) < count:
            if (event := self.read()).type in TERMINAL:
                ends.append(event)
        return ends

    def ask(self, text: str, lane: str | None = None, **request: Any) -> Any:
        """Say something short; its last event."""
        self.say(text, lane, **SHORT, **request)
        (end,) = self.ends(1)
        return end


def stream(event: Any) -> str | None:
    return getattr(event, "stream_id", None)


def text(event: Any) -> str:
    return event.response.metadata["text"]


@contextmanager
def socket(server: ServerProcess, key: str | None = None) -> Iterator[Socket]:
    with client(server, key).responses.connect() as connection:
        yield Socket(connection)
