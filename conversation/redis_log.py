"""The event log in Redis: one packed list per response, index = position; leases by expiry.

Every write is checked (epoch, then length) and pushed in one script, so that an owner whose lease
was taken over cannot write, and a write whose reply was lost can be repeated. A log has no expiry
until its response was released: unsettled work must not vanish.
"""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from conversation.gathering import Gathering
from conversation.ports import (
    Barred,
    Claim,
    Conflict,
    Fenced,
    Lapsed,
    Lease,
    NotFound,
    Reservation,
    Reserved,
    Write,
)
from conversation.redis_connection import (
    Script,
    key,
    milliseconds,
    patiently,
)
from conversation.redis_history import BARRED, FENCED, MISSING, OK, conflict, turn_fields
from conversation.redis_witness import Witness

LARGEST_COMMIT = 1000
"""Writes per script: it blocks the server while it runs, and Lua's stack ends at 8,000."""


class RedisEventLog:
    """The EventLog port on Redis."""

    def __init__(
        self,
        redis: Redis,
        *,
        retention_s: float,
        patience_s: float = 2.0,
    ) -> None:
        """Keep logs for `retention_s` after release, and turns for as long.

        A call that gets no answer is repeated for `patience_s` before it is LogUnavailable.
        """
        self._redis = redis
        self._retention_ms = milliseconds(retention_s)
        self._patience_s = patience_s
        self._witness = Witness(redis, patience_s=patience_s)
        # Never repeated: the second attempt would meet the first one's lease.
        self._begin = _together(Script(redis, "acquire"))
        # Never repeated either: the reservation would meet itself.
        self._reserve = Script(redis, "reserve")
        self._unreserve = Script(redis, "unreserve", flags="allow-oom", patience_s=patience_s)
        self._seize = Script(redis, "seize", flags="allow-oom", patience_s=patience_s)
        # What was admitted is finished, even if the store is full: acquire is where it is refused.
        self._go_on = _together(Script(redis, "acquire", flags="allow-oom"))
        self._append = Script(redis, "append", flags="allow-oom", patience_s=patience_s)
        self._renew = Script(redis, "renew", flags="allow-oom", patience_s=patience_s)
        release = Script(redis, "release", flags="allow-oom", patience_s=patience_s)
        self._release = _together(release)
        self._session = Script(redis, "session", flags="allow-oom", patience_s=patience_s)
        self._expired = Script(redis, "expired", flags="no-writes", patience_s=patience_s)

    async def acquire(
        self,
        response_id: str,
        ttl_s: float,
        claim: Claim | None = None,
        held: Lease | None = None,
        session_id: str = "",
    ) -> Lease | None:
        """Take the lease, and the conversation that is claimed. See EventLog."""
        place = (claim.account_id, claim.conversation_id, claim.revision) if claim else ("",) * 3
        own = held.epoch if held else 0
        session = session_id, self._retention_ms
        acquire = self._begin if session_id else self._go_on
        match await acquire((response_id, milliseconds(ttl_s), *place, own, *session)):
            case [epoch, losses]:
                return Lease(response_id, epoch, losses)
            case 0:
                return None
            case verdict if verdict == -BARRED:
                raise Barred(session_id)
            case verdict:
                raise (NotFound if -verdict == MISSING else Conflict)(place[1])

    async def live_in(self, session_id: str, *, bar_s: float = 0) -> list[str]:
        """Responses that have begun in the session and were not released. See EventLog."""
        found = await self._session(session_id, milliseconds(bar_s))
        return [name.decode() for name in found]

    async def reserve(
        self, reservation: Reservation, response_id: str, *, ttl_s: float, kept_s: float
    ) -> Lease | Reserved:
        """Take the name for a response that is about to begin. See EventLog."""
        name, fingerprint = reservation.name, reservation.fingerprint
        ttls = milliseconds(ttl_s), milliseconds(kept_s)
        found = await self._reserve(name, fingerprint, response_id, *ttls)
        if isinstance(found, int):
            return Lease(response_id, found)
        former, fingerprint, started = found
        return Reserved(former.decode(), fingerprint.decode(), bool(started))

    async def unreserve(self, reservation: Reservation, lease: Lease) -> None:
        """Free the name of a response that was refused."""
        fields = lease.response_id, lease.epoch, self._retention_ms
        await self._unreserve(reservation.name, *fields)

    async def seize(self, response_id: str, ttl_s: float) -> Lease | None:
        """Take the lease from its owner, dead or alive; None if the response was released."""
        epoch = await self._seize(response_id, milliseconds(ttl_s))
        return Lease(response_id, epoch) if epoch else None

    async def append(self, writes: Sequence[Write], ttl_s: float) -> list[Exception | None]:
        """Commit all writes in one call. See EventLog."""
        verdicts: list[Exception | None] = []
        for start in range(0, len(writes), LARGEST_COMMIT):
            batch = writes[start : start + LARGEST_COMMIT]
            heads, bodies = _pack(batch)
            ttls = milliseconds(ttl_s), self._retention_ms
            *codes, commits = await self._append(*ttls, heads, bodies, *self._witness.testimony())
            self._witness.acknowledged(commits)
            verdicts += map(_verdict, batch, codes)
        return verdicts

    async def renew(self, leases: Sequence[Lease], ttl_s: float) -> list[bool]:
        """Prolong leases that are still ours; a ttl of 0 hands them over."""
        fields = [field for lease in leases for field in (lease.response_id, lease.epoch)]
        return [bool(code) for code in await self._renew(milliseconds(ttl_s), *fields)]

    async def release(
        self, lease: Lease, *, keep_s: float | None = None, session_id: str = ""
    ) -> None:
        """Give the lease up; the log's retention begins, or `keep_s`."""
        keep_ms = self._retention_ms if keep_s is None else milliseconds(keep_s)
        await self._release((lease.response_id, lease.epoch, keep_ms, session_id))

    async def expired(self, limit: int) -> Lapsed:
        """Responses whose lease lapsed, the longest lapsed first."""
        witness, known, _ = self._witness.testimony()
        names, at_ms, next_ms, commits = await self._expired(limit, witness)
        if commits < known:
            await self._witness.testify()
        next_s = next_ms / 1000 if next_ms >= 0 else None
        return Lapsed([name.decode() for name in names], at_ms / 1000, next_s)

    async def read(self, response_id: str, start: int = 0, limit: int | None = None) -> list[bytes]:
        """Entries from index `start` on, at most `limit`."""
        log, end = key("log", response_id), -1 if limit is None else start + limit - 1
        found = await patiently(lambda: self._redis.lrange(log, start, end), self._patience_s)
        return cast("list[bytes]", found)

    async def was_set_back(self, response_id: str) -> bool:
        """Whether the store was set back while the response was live. See EventLog."""
        return await self._witness.testify(response_id)

    async def delete(self, response_id: str) -> None:
        """Remove a finished response's log."""
        log = key("log", response_id)
        await patiently(lambda: self._redis.delete(log), self._patience_s)


def _together(script: Script) -> Gathering[tuple[str | int, ...], Any]:
    """The script for one lease; leases that are asked for at the same time share a call of it."""

    async def call(leases: Sequence[tuple[str | int, ...]]) -> list[Any]:
        answers: list[Any] = await script(msgspec.msgpack.encode(leases))
        return answers

    return Gathering(call)


def _pack(writes: Sequence[Write]) -> tuple[bytes, bytes]:
    """Heads and bodies of the writes, as lua/append.lua takes them."""
    heads: list[tuple[object, ...]] = []
    bodies: list[bytes] = []
    for write in writes:
        sizes = [len(entry) for entry in write.entries]
        bodies += write.entries
        turn: tuple[object, ...] = ()
        if write.turn is not None:
            *fields, data = turn_fields(write.turn)
            bodies.append(data)
            turn = (*fields, len(data))
        heads.append((write.lease.response_id, write.lease.epoch, write.expected, sizes, turn))
    return msgspec.msgpack.encode(heads), b"".join(bodies)


def _verdict(write: Write, code: int) -> Exception | None:
    match code:
        case _ if code == OK:
            return None
        case _ if code == FENCED or write.turn is None:
            lease = write.lease
            return Fenced(f"{lease.response_id}: epoch {lease.epoch}, position {write.expected}")
        case _:
            return conflict(write.turn)
