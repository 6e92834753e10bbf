"""vLLM elsewhere as the engine of this server: one or several vLLM servers, by URL.

The servers are vLLM's own, with our plugin installed, started with `--enable-scale-out`. This
chooses one for each prompt; what is said to a server is the business of `remote_server`. Imports
neither vLLM nor torch.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Self

import aiohttp
import msgspec

from kosmosx_stream.cancelling import meanwhile
from kosmosx_stream.engines.checkpoint import Checkpoint
from kosmosx_stream.engines.guide import Guides
from kosmosx_stream.engines.picture_tokens import PictureTokens, squared
from kosmosx_stream.engines.placement import beginning, place
from kosmosx_stream.engines.port import Deliver, Delta, EngineDead, Generate, deliver_all
from kosmosx_stream.engines.remote_server import RemoteServer
from kosmosx_stream.settings import Settings

CONNECT_TIMEOUT_S = 3.0
KEEP_ALIVE_S = 2.0
"""vLLM closes idle connections after 5 s; one that is just being closed must not be used."""


class RemoteEngine:
    """The `Engine` port on vLLM servers."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        servers: Sequence[RemoteServer],
        pictures: PictureTokens | None = None,
    ) -> None:
        """`pictures` is what they cost on the first server that was joined, if that was learnt."""
        self._pictures = pictures
        checkpoint = checkpoint.seeing(pictures.tokens) if pictures else checkpoint
        self._checkpoint = checkpoint
        self._guides = Guides(checkpoint)
        self._servers = {server.url: server for server in servers}
        self.image_tokens = checkpoint.image_tokens
        self.max_model_len = checkpoint.max_model_len

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, settings: Settings) -> AsyncIterator[Self]:
        """Wait until one of the servers can be used; on leaving, live answers fail.

        Which server is used, and why another is not, is in the log.
        """
        checkpoint = Checkpoint.read(settings.model, settings.max_model_len)
        joined: asyncio.Future[RemoteServer] = asyncio.get_running_loop().create_future()

        def on_joined(server: RemoteServer) -> None:
            if not joined.done():
                joined.set_result(server)

        async with _session(settings) as http:
            servers = [
                RemoteServer(url, http, checkpoint, on_joined=on_joined)
                for url in settings.engine_urls
            ]
            try:
                async with meanwhile(*(server.keep() for server in servers)):
                    first = await joined
                    yield cls(checkpoint, servers, first.pictures)
            finally:
                for server in servers:
                    server.leave()

    def count(self, prompt_ids: tuple[int, ...], images: int) -> int:
        """Tokens of the expanded prompt."""
        return self._checkpoint.count(prompt_ids, images)

    async def ready(self) -> bool:
        """Whether any server can be used, as far as is known; nothing is asked of it for this."""
        return any(server.joined for server in self._servers.values())

    async def generate(self, request: Generate, deliver: Deliver) -> None:
        """Generate an answer; see the port."""
        self._checkpoint.check(request)
        live = {
            url: server.live
            for url, server in self._servers.items()
            if server.joined and server.pictures == self._pictures
        }
        if not live:
            raise EngineDead("no engine server can be reached")
        if request.images and self._pictures and self._pictures.squared:
            request = await asyncio.to_thread(squared, request)
        # Where the plugin is not installed vLLM would begin the grammar anew.
        guide = self._guides.guide(request) if request.answered else None
        server = self._servers[place(beginning(request), live)]

        def checked(delta: Delta) -> asyncio.Future[None] | None:
            if guide is not None:
                guide.accept(*delta.token_ids)
            return deliver(delta)

        await deliver_all(server.answer(self._within_window(request)), checked)

    def _within_window(self, request: Generate) -> Generate:
        """A server's window may be longer than what was asked of this engine."""
        left = self.max_model_len - self.count(request.prompt_ids, len(request.images))
        return msgspec.structs.replace(request, max_tokens=min(request.max_tokens, left))


def _session(settings: Settings) -> aiohttp.ClientSession:
    key = settings.engine_api_key
    return aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key else {},
        # Each server bounds its own connections; how long to wait is said where it is waited.
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
    )
