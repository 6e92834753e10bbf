"""What every protocol's projector is: a pure fold of a response's log into events."""

from collections.abc import Callable
from typing import Protocol

from conversation.entries import Entry
from kosmosx_stream.protocol.counting import CostFn
from kosmosx_stream.protocol.frames import Event


class Fold(Protocol):
    """Folds one response's log. Equal logs give equal events, whoever reads them and when."""

    def feed(self, entry: Entry) -> list[Event]:
        """Take the next entry; return its events."""
        ...


Projection = Callable[[CostFn], Fold]
"""Begins a fold. Readers of equal projections share their events, which are encoded once."""


class Unseen:
    """Shows nothing, to those who only wait for the end."""

    def __init__(self, _cost: CostFn) -> None:
        pass

    def feed(self, _entry: Entry) -> list[Event]:
        return []
