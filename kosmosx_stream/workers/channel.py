"""What passes between the host and one worker besides tokens: connections down, reports up.

A pair of sockets that keeps messages apart. Its end is the end of the process on the other side.
"""

import contextlib
import socket

import msgspec

MAX_MESSAGE_BYTES = 4096
_CONNECTION = b"c"


class Report(msgspec.Struct, frozen=True, array_like=True):
    """How a worker is: whether turns can begin there, and how many connections it has closed."""

    ready: bool
    closed: int


class PeerGone(Exception):
    """The process at the other end has ended."""


class Channel:
    """One end; never waits."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setblocking(False)

    @staticmethod
    def pair() -> tuple[socket.socket, socket.socket]:
        """Two ends that belong together."""
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def fileno(self) -> int:
        """For the event loop."""
        return self._end.fileno()

    def close(self) -> None:
        self._end.close()

    def hand_over(self, connection: socket.socket) -> bool:
        """Give the connection to the other process; whether it had room for it."""
        try:
            socket.send_fds(self._end, [_CONNECTION], [connection.fileno()])
        except OSError:  # full, or gone
            return False
        return True

    def take(self) -> socket.socket | None:
        """The next connection that was handed over, if there is one now.

        Raises:
            PeerGone: there will be none any more.
        """
        try:
            message, descriptors, _, _ = socket.recv_fds(self._end, len(_CONNECTION), 1)
        except BlockingIOError:
            return None
        except OSError as error:
            raise PeerGone from error
        if not message:
            raise PeerGone
        return socket.socket(fileno=descriptors[0])

    def report(self, report: Report) -> None:
        """Tell the host; if it does not listen it hears the next one."""
        with contextlib.suppress(OSError):
            self._end.send(msgspec.msgpack.encode(report))

    def hear(self) -> Report | None:
        """The newest report, if there is one now.

        Raises:
            PeerGone: there will be none any more.
        """
        newest = None
        while True:
            try:
                message = self._end.recv(MAX_MESSAGE_BYTES)
            except BlockingIOError:
                return newest
            except OSError as error:
                raise PeerGone from error
            if not message:
                raise PeerGone
            newest = msgspec.msgpack.decode(message, type=Report)
