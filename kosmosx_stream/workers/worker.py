"""One worker as the host sees it: its process, how it is, and what it was given."""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping
from socket import socket, socketpair
from typing import Self

from kosmosx_stream.engines.engine_host import EngineHost
from kosmosx_stream.workers.channel import Channel, PeerGone

PROGRAM = "kosmosx_stream.workers.serving"


class Worker:
    """A process from its start to its end; then another one takes its place."""

    def __init__(self, process: Process, channel: Channel, on_report: Callable[[], None]) -> None:
        self._process = process
        self._channel = channel
        self._on_report = on_report
        self._handed = 0
        self._closed = 0
        self.heard = False
        """Whether it ever reported: from then on it takes connections."""
        self.ready = False
        """Whether turns can begin there."""
        self.silent_ticks = 0
        """How often the host looked at it since it reported last."""

    @classmethod
    async def start(
        cls,
        environment: Mapping[str, str],
        engines: EngineHost | None,
        on_report: Callable[[], None],
    ) -> Self:
        """Start a process, with this engine to use or else with one of its own."""
        with contextlib.ExitStack() as theirs:
            end, other_end = Channel.pair()
            handed = [theirs.enter_context(other_end)]
            if engines is not None:
                wire, other_end = socketpair()
                handed.append(theirs.enter_context(other_end))
                await engines.attach(wire)
            descriptors = [each.fileno() for each in handed]
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", PROGRAM, *map(str, descriptors)),
                stdin=DEVNULL,
                pass_fds=descriptors,
                env=environment,
                # A session of its own: Ctrl-C is for the host, which lets it finish first.
                start_new_session=True,
            )
        worker = cls(process, Channel(end), on_report)
        asyncio.get_running_loop().add_reader(worker._channel.fileno(), worker._hear)
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def connections(self) -> int:
        """Those that are open there, as far as is known."""
        return self._handed - self._closed

    def hand_over(self, connection: socket) -> bool:
        """Give it a connection that was accepted; whether it could be given."""
        given = self._channel.hand_over(connection)
        self._handed += given
        return given

    def send(self, how: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)

    async def wait(self) -> int:
        """Its exit status, when it has ended."""
        status = await self._process.wait()
        self._hang_up()
        return status

    def _hear(self) -> None:
        try:
            report = self._channel.hear()
        except PeerGone:
            self._hang_up()
            return
        if report is not None:
            self.heard, self.silent_ticks = True, 0
            self.ready, self._closed = report.ready, report.closed
            self._on_report()

    def _hang_up(self) -> None:
        self.heard = self.ready = False
        if self._channel.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
