"""A worker's process: the server as ever, but connections and an engine are handed to it.

    python -m kosmosx_stream.workers.serving CHANNEL_FD [ENGINE_FD]

Settings come by the environment. Without a descriptor of an engine's it has one of its own.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable

from starlette.applications import Starlette

from kosmosx_stream.app import create_app
from kosmosx_stream.commands.command_line import read_settings
from kosmosx_stream.engines.hosted_engine import HostedEngine
from kosmosx_stream.parent import die_with_parent
from kosmosx_stream.server import Server
from kosmosx_stream.server_log import write_logs
from kosmosx_stream.settings import Settings
from kosmosx_stream.workers.channel import Channel, PeerGone, Report

REPORT_S = 0.25
"""The host goes by reports who is there, and who has room."""


class WorkerServer(Server):
    """Serves connections that others accepted."""

    def __init__(
        self,
        app: Starlette,
        settings: Settings,
        channel: Channel,
        ready: Callable[[], bool],
    ) -> None:
        super().__init__(app, settings)
        self._channel = channel
        self._ready = ready
        self._taken = 0
        self._reporting: asyncio.Task[None] | None = None
        self._beginning: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._take)
        self._reporting = asyncio.create_task(self._report())

    async def take_no_more(self) -> None:
        """Hang up: the host hands new connections to others, or leaves them outside."""
        asyncio.get_running_loop().remove_reader(self._channel.fileno())
        self._take()  # These it has given away already.
        self._channel.close()
        if self._beginning:
            await asyncio.wait(self._beginning)

    async def _report(self) -> None:
        """Until the process ends, also while it drains."""
        while True:
            open_now = len(self.server_state.connections) + len(self._beginning)
            self._channel.report(Report(ready=self._ready(), closed=self._taken - open_now))
            await asyncio.sleep(REPORT_S)

    def _take(self) -> None:
        try:
            while (connection := self._channel.take()) is not None:
                self._taken += 1
                beginning = asyncio.create_task(self._begin(connection))
                self._beginning.add(beginning)
                beginning.add_done_callback(self._beginning.discard)
        except PeerGone:
            os._exit(1)  # With it went the engine and the store: there is nothing to finish.

    async def _begin(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # The client has left already.
            connection.close()

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def main() -> None:
    """Serve until SIGTERM, or until the host is gone."""
    die_with_parent()
    channel, *engine = (socket.socket(fileno=int(each)) for each in sys.argv[1:])
    settings = read_settings()
    write_logs(settings)
    application = create_app(settings)
    if engine:
        application.state.start_engine = lambda _settings: HostedEngine.running(*engine)

    def takes_turns() -> bool:
        return bool(application.state.services.hub.takes_turns)

    def complain(reason: str) -> None:
        print(f"kosmosx: {reason}", file=sys.stderr)  # noqa: T201

    server = WorkerServer(application, settings, Channel(channel), takes_turns)
    if not server.run_to_end([], complain):
        sys.exit(1)


if __name__ == "__main__":
    main()
