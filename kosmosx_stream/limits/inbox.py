"""What a WebSocket connection waits with, at a tenth of what asyncio's own would hold for it.

A connection waits most of its life. asyncio.Queue has four deques and asyncio.Event one, which are
700 bytes each when they are empty.
"""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """What came and was not taken yet; one reader. As much of asyncio.Queue as uvicorn uses."""

    __slots__ = ("_messages", "_reader")

    def __init__(self) -> None:
        self._messages: list[T] = []
        self._reader: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        """Whether all was taken."""
        return not self._messages

    def put_nowait(self, message: T) -> None:
        """Lay it before the reader."""
        self._messages.append(message)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> T:
        """Take the oldest; wait where there is none."""
        while not self._messages:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._messages.pop(0)


class Gate:
    """Open until it is closed. As much of asyncio.Event as uvicorn uses."""

    __slots__ = ("_closed",)

    def __init__(self) -> None:
        self._closed: asyncio.Event | None = None

    def is_set(self) -> bool:
        """Whether it is open."""
        return self._closed is None

    def set(self) -> None:
        """Open it, and let through who waits."""
        if self._closed is not None:
            self._closed.set()
            self._closed = None

    def clear(self) -> None:
        """Close it."""
        if self._closed is None:
            self._closed = asyncio.Event()

    async def wait(self) -> None:
        """Go through, once it is open."""
        if self._closed is not None:
            await self._closed.wait()
