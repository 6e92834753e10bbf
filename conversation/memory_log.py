"""The event log in memory, for tests of what needs a log. Nothing expires but leases."""

import time
from collections.abc import Callable, Sequence
from math import inf

from conversation.memory_history import MemoryHistory
from conversation.ports import (
    Barred,
    Claim,
    Conflict,
    Fenced,
    Lapsed,
    Lease,
    Reservation,
    Reserved,
    Write,
)

HANDED_OVER = -inf
"""When the lease of a response lapsed whose owner let it go."""


class MemoryEventLog:
    """The EventLog port on dictionaries; turns go to `history`."""

    def __init__(
        self, history: MemoryHistory, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._history = history
        self._clock = clock
        self._logs: dict[str, list[bytes]] = {}
        self._epochs: dict[str, int] = {}
        self._leases = history.leases
        self._reserved: dict[str, tuple[str, str]] = {}
        self._begun: dict[str, set[str]] = {}
        self._barred: dict[str, float] = {}
        self._losses: dict[str, int] = {}

    async def acquire(
        self,
        response_id: str,
        ttl_s: float,
        claim: Claim | None = None,
        held: Lease | None = None,
        session_id: str = "",
    ) -> Lease | None:
        if not self._ours(held) if held else self._alive(response_id):
            return None
        if self._barred.get(session_id, -inf) > self._clock():
            raise Barred(session_id)
        if claim is not None:
            self._history.hold(claim, response_id)
        self._begun.setdefault(session_id, set()).add(response_id)
        if not held and self._leases.get(response_id, HANDED_OVER) != HANDED_OVER:
            self._losses[response_id] = self._losses.get(response_id, 0) + 1
        return self._lend(response_id, ttl_s, 0 if held else 1)

    async def live_in(self, session_id: str, *, bar_s: float = 0) -> list[str]:
        if bar_s:
            self._barred[session_id] = self._clock() + bar_s
        return [each for each in self._begun.get(session_id, ()) if each in self._leases]

    async def reserve(
        self,
        reservation: Reservation,
        response_id: str,
        *,
        ttl_s: float,
        kept_s: float,  # noqa: ARG002 - nothing expires here
    ) -> Lease | Reserved:
        if found := self._reserved.get(reservation.name):
            former, fingerprint = found
            started = bool(self._logs.get(former))
            if started or self._alive(former):
                return Reserved(former, fingerprint, started)
            self._fence(former)
        self._reserved[reservation.name] = response_id, reservation.fingerprint
        return self._lend(response_id, ttl_s, 1)

    async def unreserve(self, reservation: Reservation, lease: Lease) -> None:
        if not self._ours(lease) or self._logs.get(lease.response_id):
            return
        if self._reserved.get(reservation.name, ("",))[0] == lease.response_id:
            del self._reserved[reservation.name]
        self._fence(lease.response_id)

    async def seize(self, response_id: str, ttl_s: float) -> Lease | None:
        if response_id not in self._leases:
            return None
        self._epochs[response_id] += 1
        self._leases[response_id] = self._clock() + ttl_s
        return Lease(response_id, self._epochs[response_id])

    async def append(self, writes: Sequence[Write], ttl_s: float) -> list[Exception | None]:
        return [self._commit(write, ttl_s) for write in writes]

    async def renew(self, leases: Sequence[Lease], ttl_s: float) -> list[bool]:
        ours = [self._ours(lease) for lease in leases]
        for lease, held in zip(leases, ours, strict=True):
            if held:
                self._leases[lease.response_id] = self._clock() + ttl_s if ttl_s else HANDED_OVER
        return ours

    async def release(
        self,
        lease: Lease,
        *,
        keep_s: float | None = None,  # noqa: ARG002 - nothing expires here
        session_id: str = "",
    ) -> None:
        if self._ours(lease):
            self._begun.get(session_id, set()).discard(lease.response_id)
            self._fence(lease.response_id)

    async def expired(self, limit: int) -> Lapsed:
        now = self._clock()
        leases = sorted((lapses, name) for name, lapses in self._leases.items())
        lapsed = [name for lapses, name in leases if lapses <= now]
        next_s = leases[len(lapsed)][0] - now if len(lapsed) < len(leases) else None
        return Lapsed(lapsed[:limit], now, next_s)

    async def read(self, response_id: str, start: int = 0, limit: int | None = None) -> list[bytes]:
        return self._logs.get(response_id, [])[start:][:limit]

    async def was_set_back(self, response_id: str) -> bool:  # noqa: ARG002 - memory never is
        return False

    async def delete(self, response_id: str) -> None:
        self._logs.pop(response_id, None)

    def _alive(self, response_id: str) -> bool:
        now = self._clock()
        return self._leases.get(response_id, now) > now

    def _lend(self, response_id: str, ttl_s: float, epochs: int) -> Lease:
        self._epochs[response_id] = self._epochs.get(response_id, 0) + epochs
        self._leases[response_id] = self._clock() + ttl_s
        return Lease(response_id, self._epochs[response_id], self._losses.get(response_id, 0))

    def _fence(self, response_id: str) -> None:
        self._losses.pop(response_id, None)
        self._epochs[response_id] += 1
        self._leases.pop(response_id, None)

    def _ours(self, lease: Lease) -> bool:
        return self._epochs.get(lease.response_id) == lease.epoch

    def _commit(self, write: Write, ttl_s: float) -> Exception | None:
        response_id = write.lease.response_id
        log = self._logs.setdefault(response_id, [])
        fenced = Fenced(f"{response_id}: epoch {write.lease.epoch}, position {write.expected}")
        if not self._ours(write.lease):
            return fenced
        if len(log) == write.expected:
            try:
                if write.turn is not None:
                    self._history.attach(write.turn)
            except Conflict as conflict:
                return conflict
            log.extend(write.entries)
        elif not self._repeated(log, write):
            return fenced
        self._leases[response_id] = self._clock() + ttl_s
        return None

    @staticmethod
    def _repeated(log: Sequence[bytes], write: Write) -> bool:
        there = log[write.expected : write.expected + len(write.entries)]
        return bool(there) and tuple(there) == write.entries
