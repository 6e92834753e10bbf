"""The ports behind the outbox: where its rows go, and what may be answered there."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from metering.outbox import OutboxRow


class Accepted(msgspec.Struct, frozen=True):
    """It has the units, since now or since before."""


class Refused(msgspec.Struct, frozen=True):
    """It certainly did not take the units, and may take them later."""

    reason: str
    retry_after_s: float = 0.0


class Unauthorised(msgspec.Struct, frozen=True):
    """It takes nothing from us at the moment."""

    reason: str


class Invalid(msgspec.Struct, frozen=True):
    """It will never take these units as they are."""

    reason: str


class Unanswered(msgspec.Struct, frozen=True):
    """Nobody knows whether it took the units."""

    reason: str


Answer = Accepted | Refused | Unauthorised | Invalid | Unanswered


class Sink(Protocol):
    """Takes billable units."""

    batch: int
    """How many rows go into one call."""
    abreast: int
    """How many rows of one customer and meter may be under way at a time."""

    async def send(self, rows: Sequence[OutboxRow]) -> list[Answer]:
        """Send up to `batch` rows, once; an answer for each. It raises nothing."""
        ...


class Invoices(Protocol):
    """What stands on a customer's next invoice besides what the meters count."""

    async def add(self, row: OutboxRow) -> str:
        """Put a row that is too old to be sent onto the customer's next invoice, once.

        Returns the id of the invoice's item: the same one if there is one for this row already.

        Raises:
            SinkFailed: it is not known to stand there; calling again is safe.
        """
        ...


class SinkFailed(Exception):
    """It did not answer, or refused."""
