"""The HTTP server: uvicorn, with the drain where it belongs and the limits that we promise."""

import asyncio
import signal
import sys
from collections.abc import Callable
from functools import partial
from socket import IPPROTO_TCP, TCP_USER_TIMEOUT, AddressFamily, create_server, socket
from types import FrameType
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette

from kosmosx_stream.limits.http_guard import GuardedHttp, HttpLimits
from kosmosx_stream.limits.websocket_guard import GuardedWebSocket
from kosmosx_stream.settings import Settings

PING_INTERVAL_S = 20.0
BACKLOG = 2048
CLOSE_TIMEOUT_S = 5
"""After the drain, connections have so long to end."""


class Server(uvicorn.Server):
    """uvicorn closes connections before the lifespan ends; the drain has to come before both."""

    def __init__(self, app: Starlette, settings: Settings) -> None:
        super().__init__(_config(app, settings))
        self._app = app
        self._failed = False
        self._hurried = False
        self._on_stop: Callable[[], None] = lambda: None

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        if not self._failed:
            self._on_stop()
        await self._app.state.drain()
        await self.take_no_more()
        await super().shutdown(sockets)

    async def take_no_more(self) -> None:
        """Let in no more connections than are there; uvicorn sees to its own listeners."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ctrl-C a second time waits for no turn, but ends in good order; a third time does not."""
        if sig == signal.SIGINT and self.started and self.should_exit and not self._hurried:
            self._hurried = True
            asyncio.get_running_loop().call_soon_threadsafe(self._app.state.hurry)
            return
        super().handle_exit(sig, frame)

    def run_to_end(
        self,
        sockets: list[socket],
        complain: Callable[[str], None],
        on_stop: Callable[[], None] = lambda: None,
    ) -> bool:
        """Serve until a signal, or until the model fails, of which `complain` is told why.

        `on_stop` is called when it begins to stop. Returns whether it ended well.
        """
        self._on_stop = on_stop

        def fail(reason: str) -> None:
            complain(reason)
            self.should_exit = self._failed = True

        self._app.state.on_failure = fail
        # uvicorn raises the signal that stopped it once more, after the drain: that is a good end.
        for stop in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stop, lambda *_: sys.exit(0))
        self.run(sockets)
        return self.started and not self._failed


def farewell(settings: Settings) -> str:
    """What is told when it begins to stop."""
    return (
        f"stopping: what is live has {settings.drain_timeout_s:g} s to finish;"
        " Ctrl-C once more leaves it to the next start ..."
    )


def bind(host: str, port: int, *, send_timeout_s: float) -> socket:
    """The listening socket; taken before anything else is started.

    A peer that takes nothing for `send_timeout_s` is dropped by the kernel, with all that waits for
    it: a closed connection would keep it for ever otherwise.

    Raises:
        OSError: the address cannot be had.
    """
    family = AddressFamily.AF_INET6 if ":" in host else AddressFamily.AF_INET
    try:
        listener = create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    # tcp(7): the connections inherit it, and windows that stay closed count.
    listener.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, int(send_timeout_s * 1000))
    return listener


def _config(app: Starlette, settings: Settings) -> uvicorn.Config:
    """How connections are served, and the limits that they are held to."""
    limits = HttpLimits(
        max_head_bytes=settings.max_header_bytes,
        patience_s=settings.request_timeout_s,
        max_connections=settings.max_connections_per_address,
    )

    def count(code: str) -> None:
        app.state.telemetry.meters.refused(code, "http")

    return uvicorn.Config(
        app,
        http=cast("Any", partial(GuardedHttp, limits=limits, on_refusal=count)),
        ws=GuardedWebSocket,
        ws_max_size=settings.max_request_bytes,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_INTERVAL_S,
        # A compressed message can be a bomb, and tokens are too short to gain from it.
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=CLOSE_TIMEOUT_S,
    )
