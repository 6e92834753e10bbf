"""What the parts of the server are given to be measured with."""

from typing import Self

import msgspec

from conversation.entries import Started
from kosmosx_stream.telemetry import turn_watch
from kosmosx_stream.telemetry.meters import Meters
from kosmosx_stream.telemetry.tracing import Traces
from kosmosx_stream.telemetry.turn_watch import TurnWatch


class Telemetry(msgspec.Struct, frozen=True):
    """Meters and traces of one server."""

    meters: Meters
    traces: Traces

    @classmethod
    def off(cls) -> Self:
        """Measures nothing, keeps nothing."""
        return cls(Meters(models=("",), version="", enabled=False), Traces())

    def begin_turn(self, started: Started) -> tuple[TurnWatch, Started]:
        """Watch a turn that begins here; it carries its trace with it from then on."""
        return turn_watch.begin_turn(self.meters, self.traces, started)

    def adopt_turn(self, started: Started, entries: int) -> TurnWatch:
        """Watch a turn that was another instance's until its log had so many entries."""
        return turn_watch.adopt_turn(self.meters, self.traces, started, entries)
