"""A port of this machine for stand-ins, in a thread of its own; each has it for a while."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.stripe_standin.app import StripeStandin


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class StandinServer:
    """Where stand-ins can be reached. Made by `running`."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        config = uvicorn.Config(
            self._forward,
            port=0,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
        )
        self._server = _Server(config)

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["StandinServer"]:
        made = cls()
        server = made._server
        thread = threading.Thread(target=server.run)
        # It calls a reply that breaks off an error of the application.
        logging.getLogger("uvicorn.error").addFilter(_is_no_broken_reply)
        thread.start()
        server.ready.wait(10)
        try:
            yield made
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)
            logging.getLogger("uvicorn.error").removeFilter(_is_no_broken_reply)

    @property
    def url(self) -> str:
        port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    @contextmanager
    def serving(self, stripe: StripeStandin) -> Iterator[None]:
        """Serve it, and see at the end that nothing broke Stripe's description."""
        self._app = stripe.app()
        yield
        self._app = None
        assert stripe.broken_contracts == []

    def call(self, work: Callable[[], object]) -> None:
        """Do something in the server's thread."""
        self._server.loop.call_soon_threadsafe(work)

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._app is not None
        await self._app(scope, receive, send)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets)
        self.loop = asyncio.get_running_loop()
        self.ready.set()


def _is_no_broken_reply(record: logging.LogRecord) -> bool:
    return record.getMessage() != "ASGI callable returned without completing response."
