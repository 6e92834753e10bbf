"""A relay that adds the key to a handshake, for clients of WebSockets that cannot bring one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.server_process import ServerProcess

HEAD_END = b"\r\n\r\n"


@contextlib.asynccontextmanager
async def key_relay(server: ServerProcess) -> AsyncIterator[str]:
    """The WebSocket's URL through the relay; after the handshake bytes pass as they are."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(HEAD_END)
            there, back = await asyncio.open_connection("127.0.0.1", server.port)
            key = f"\r\nAuthorization: Bearer {server.key}".encode()
            back.write(head.removesuffix(HEAD_END) + key + HEAD_END)
            await asyncio.gather(_pump(reader, back), _pump(there, writer))

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as listening:
        yield f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1/responses"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
