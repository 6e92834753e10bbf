"""One response for one idempotency key, on however many servers over one store.

Whoever reserves a key gets the lease of a response that is about to begin. Everybody else waits for
its log to begin, and then reads it. A refused request gives its key back; an owner that died before
its response began loses it with its lease.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from conversation.ports import EventLog, Lease, LogUnavailable, Reservation
from kosmosx_stream.ids import new_id
from kosmosx_stream.protocol.errors import Conflict
from kosmosx_stream.protocol.idempotency import HEADER, check_repeated

ADMISSION_S = 30.0
"""The longest admission: what takes longer has lost its key to the next one who asks."""
PATIENCE_S = 10.0
"""How long a repeated request waits for the first one to be admitted."""
POLL_INTERVAL_S = 0.05


class Reservations:
    """Takes and frees keys."""

    def __init__(self, log: EventLog, *, kept_s: float) -> None:
        self._log = log
        self._kept_s = kept_s

    @contextlib.asynccontextmanager
    async def held(
        self, reservation: Reservation | None, param: str = HEADER
    ) -> AsyncGenerator[Lease | str | None]:
        """As `take`, None without a reservation; what fails inside gives the key back.

        `param` is where the key stands in the request.

        Raises:
            Unprocessable, Conflict, LogUnavailable: as `take`.
        """
        if reservation is None:
            yield None
            return
        taken = await self.take(reservation, param)
        try:
            yield taken
        except BaseException:
            if isinstance(taken, Lease):
                await self.free(reservation, taken)
            raise

    async def take(self, reservation: Reservation, param: str = HEADER) -> Lease | str:
        """A lease to begin the response with, or the id of one that has begun.

        Raises:
            Unprocessable: the key belongs to another request.
            Conflict: its first request is being admitted still.
            LogUnavailable: the store cannot be reached.
        """
        response_id = new_id("resp")
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            found = await self._log.reserve(
                reservation, response_id, ttl_s=ADMISSION_S, kept_s=self._kept_s
            )
            if isinstance(found, Lease):
                return found
            check_repeated(reservation, found.fingerprint, param)
            if found.started:
                return found.response_id
            if asyncio.get_running_loop().time() > deadline:
                message = f"The first request with this '{param}' has not been admitted yet."
                raise Conflict(message, code="idempotency_key_in_use", param=param)
            await asyncio.sleep(POLL_INTERVAL_S)

    async def free(self, reservation: Reservation, lease: Lease) -> None:
        """The request was refused: a corrected one may have its key."""
        with contextlib.suppress(LogUnavailable):  # Then it lapses.
            await self._log.unreserve(reservation, lease)
