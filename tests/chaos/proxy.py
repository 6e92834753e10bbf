"""A TCP proxy for one edge of the system, which can break it in the ways networks break."""

import asyncio
import contextlib
from dataclasses import dataclass

CHUNK = 65536


@dataclass(eq=False)
class _Link:
    """A connection, and its other half."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    forgotten: bool = False

    def abort(self) -> None:
        self.near.transport.abort()
        self.far.transport.abort()


class Proxy:
    """Forwards connections to a port of this machine."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._drops_replies = False
        self._latency_s = 0.0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._links)

    def reset(self) -> None:
        """Cut every connection."""
        for link in list(self._links):
            link.abort()

    def forget(self) -> None:
        """Half-open: what is connected never hears of its other end again. New ones are well."""
        for link in self._links:
            link.forgotten = True

    def black_hole(self) -> None:
        """Let nothing through, and tell nobody."""
        self._flowing.clear()

    def drop_replies(self) -> None:
        """Let requests through, and cut each connection when its reply comes."""
        self._drops_replies = True

    def delay(self, seconds: float) -> None:
        """Let everything arrive so much later."""
        self._latency_s = seconds

    def heal(self) -> None:
        """As at first, but for what was cut or forgotten."""
        self._drops_replies = False
        self._latency_s = 0.0
        self._flowing.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, back)
        self._links.add(link)
        pumps = {
            asyncio.ensure_future(self._pump(link, reader, back)): writer,
            asyncio.ensure_future(self._pump(link, there, writer, replies=True)): back,
        }
        try:
            ended, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            if link.forgotten:
                for pump in ended:
                    pumps[pump].transport.abort()
                await asyncio.wait(pumps)
        finally:
            self._links.discard(link)
            link.abort()
            for pump in pumps:
                pump.cancel()

    async def _pump(
        self,
        link: _Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        replies: bool = False,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._flowing.wait()
                if self._latency_s:
                    await asyncio.sleep(self._latency_s)
                if link.forgotten:
                    continue
                if replies and self._drops_replies:
                    return
                writer.write(data)
                await writer.drain()
