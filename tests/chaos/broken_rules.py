"""The negative controls: servers that break one of the rules. The oracle has to notice each."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from conversation import redis_log
from conversation.entries import Delta, Entry
from conversation.ports import Lease, LogUnavailable, Write
from conversation.redis_connection import key, reply
from kosmosx_stream.turns import live_response, response_log, session
from metering.ledger import Closing, Recorded
from metering.sqlite import ledger, turns
from metering.usage import LedgerRow, TurnUsage

RETRIES, PAUSE_S = 10, 0.05
"""As often as redis-py tries again by itself."""


async def _push(log: redis_log.RedisEventLog, write: Write, attempts: int = 1) -> None:
    """Append without looking; a lost reply leads to another attempt."""
    for left in reversed(range(attempts)):
        try:
            pushing: Any = log._redis.rpush(key("log", write.lease.response_id), *write.entries)
            await reply(pushing)
        except LogUnavailable:
            if not left:
                raise
            await asyncio.sleep(PAUSE_S)
        else:
            return


def no_fencing() -> None:
    """Whoever writes is believed, whatever epoch and length it goes by, and told that it owns."""

    async def renew(
        _self: redis_log.RedisEventLog, leases: Sequence[Lease], _ttl_s: float
    ) -> list[bool]:
        return [True] * len(leases)

    _append_by(_push)
    _replace(redis_log.RedisEventLog, "renew", renew)


def hidden_retries() -> None:
    """What got no reply is written once more, as redis-py does unasked."""
    _append_by(lambda log, write: _push(log, write, RETRIES))


def _append_by(push: Callable[[redis_log.RedisEventLog, Write], Any]) -> None:
    async def append(
        self: redis_log.RedisEventLog, writes: Sequence[Write], _ttl_s: float
    ) -> list[Exception | None]:
        for write in writes:
            await push(self, write)
        return [None] * len(writes)

    _replace(redis_log.RedisEventLog, "append", append)


def early_delivery() -> None:
    """Readers get what is not committed yet."""
    write = live_response.LiveResponse._write
    commit = live_response.LiveResponse._committed

    def write_and_show(self: live_response.LiveResponse) -> None:
        held = list(self._held)
        write(self)
        if self.entries and all(isinstance(entry, Delta) for entry in held):
            self.entries += held
            self._readable = len(self.entries)
            self._wake()

    def committed(
        self: live_response.LiveResponse, entries: list[Entry], error: Exception | None
    ) -> None:
        if self.entries and self.entries[-1] is entries[-1]:
            del self.entries[-len(entries) :]
        commit(self, entries, error)

    _replace(live_response.LiveResponse, "_write", write_and_show)
    _replace(live_response.LiveResponse, "_committed", committed)


def naive_resume() -> None:
    """Whoever takes an answer over begins it anew."""
    _replace(session.Session, "answer_ids", lambda _self, _response_id: ())


def no_settlement() -> None:
    """Nothing comes on the bill."""

    async def record(
        _self: response_log.ResponseLog, _entries: Iterable[Entry], *, closing: str | None = None
    ) -> None:
        return None

    _replace(response_log.ResponseLog, "record", record)


def double_billing() -> None:
    """What is settled a second time is billed a second time."""
    once = turns.record_turn

    def record_turn(
        db: sqlite3.Connection,
        usage: TurnUsage,
        rows: tuple[LedgerRow, ...],
        closing: Closing | None = None,
    ) -> Recorded:
        recorded = once(db, usage, rows, closing)
        if recorded is Recorded.AGAIN:
            db.execute(
                "UPDATE usage_records SET raw_units = 2 * raw_units,"
                " billable_units = 2 * billable_units, cost_micro_usd = 2 * cost_micro_usd"
                " WHERE response_id = ?",
                [usage.response_id],
            )
        return recorded

    _replace(ledger, "record_turn", record_turn)


def _replace(owner: Any, name: str, by: object) -> None:
    setattr(owner, name, by)


BROKEN_RULES: dict[str, Callable[[], None]] = {
    rule.__name__: rule
    for rule in (
        no_fencing, hidden_retries, early_delivery, naive_resume, no_settlement, double_billing
    )
}  # fmt: skip
