"""A TCP proxy for one edge of the system, which can break it in the ways networks break."""

import asyncio
import contextlib
from collections.abc import Awaitable

CHUNK = 65536


class Proxy:
    """Forwards connections to a port of this machine."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._drops_replies = False

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()

    def reset(self) -> None:
        """Cut every connection."""
        for writer in list(self._connections):
            writer.transport.abort()

    def black_hole(self) -> None:
        """Let nothing through, and tell nobody."""
        self._flowing.clear()

    def drop_replies(self) -> None:
        """Let requests through, and cut each connection when its reply comes."""
        self._drops_replies = True

    def heal(self) -> None:
        self._drops_replies = False
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._connections |= {writer, back}
        try:
            await _first(self._pump(reader, back), self._pump(there, writer, replies=True))
        finally:
            self._connections -= {writer, back}
            writer.transport.abort()
            back.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool = False
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._flowing.wait()
                if replies and self._drops_replies:
                    return
                writer.write(data)
                await writer.drain()


async def _first(*works: Awaitable[None]) -> None:
    """Run all until one is done."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
