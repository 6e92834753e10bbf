"""A proxy in front of a unix socket that can lose replies: the commit happened, nobody knows."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path


class ReplyDropper:
    """Passes bytes on; the reply to a command that contains the marker is lost, once per arming."""

    def __init__(self, upstream: str, *, hang: bool) -> None:
        """`hang`: say nothing more instead of closing the connection."""
        self.dropped = 0
        self.upstream = upstream
        """Where new connections lead."""
        self._hang = hang
        self._marker: bytes | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def arm(self, marker: bytes) -> None:
        self._marker = marker

    @contextlib.asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[str]:
        async with await asyncio.start_unix_server(self._accept, path):
            yield f"unix://{path}"
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(self.upstream)
        try:
            while command := await reader.read(2**20):
                up_writer.write(command)
                reply = await up_reader.read(2**20)
                if self._marker is not None and self._marker in command:
                    self._marker = None
                    self.dropped += 1
                    if self._hang:
                        await reader.read()
                    return
                writer.write(reply)
        finally:
            up_writer.close()
            writer.close()
            await asyncio.gather(
                up_writer.wait_closed(), writer.wait_closed(), return_exceptions=True
            )
