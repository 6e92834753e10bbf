"""Accepts connections, and hands each to the worker that has the fewest.

The kernel would spread them by a hash (SO_REUSEPORT), or give them to whoever is awake (a shared
listening socket). WebSockets stay for an hour: what is uneven when they come, after a worker was
started anew for example, stays uneven. And what waits in the queue of a worker that dies is lost;
here it waits for another one.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable

from kosmosx_stream.workers.worker import Worker

logger = logging.getLogger(__name__)

AT_ONCE = 64
"""Connections accepted before the event loop gets on with tokens."""
SILENT_TICKS = 3
"""A worker that was silent for longer may hang: others are asked before it."""
PAUSE_S = 1.0


class Door:
    """The listening socket. Shut, until somebody can take connections."""

    def __init__(self, listener: socket.socket, workers: Callable[[], Iterable[Worker]]) -> None:
        self._listener = listener
        self._workers = workers
        self._open = False
        listener.setblocking(False)

    def open(self) -> None:
        """Let them in."""
        if not self._open:
            self._open = True
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def shut(self) -> None:
        """Let them wait outside."""
        if self._open:
            self._open = False
            asyncio.get_running_loop().remove_reader(self._listener.fileno())

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            workers = by_room(self._workers())
            if not workers:
                self.shut()
                return
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptors left, for example
                logger.error("no connection can be accepted: %s", error)  # noqa: TRY400
                self.shut()
                asyncio.get_running_loop().call_later(PAUSE_S, self.open)
                return
            with connection:
                any(worker.hand_over(connection) for worker in workers)


def by_room(workers: Iterable[Worker]) -> list[Worker]:
    """Those that take connections: first who is alive and ready, then who has the fewest."""
    return sorted(
        (each for each in workers if each.heard),
        key=lambda each: (each.silent_ticks > SILENT_TICKS, not each.ready, each.connections),
    )
