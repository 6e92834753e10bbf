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
from metering.sqlite import ledger
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
    commit = live_response.LiveResponse._committed

    def publish(self: Any, entry: Entry, turn: Any = None) -> Any:
        verdict = submit(self, entry, turn)
        if isinstance(entry, Delta) and self.entries:
            done = asyncio.get_running_loop().create_future()
            done.set_result(None)
            commit(self, entry, done)
        return verdict

    def committed(self: Any, entry: Entry, verdict: Any) -> None:
        if not any(entry is early for early in self.entries):
            commit(self, entry, verdict)
        elif verdict.cancelled() or verdict.exception():
            self.lose()

    submit = live_response.LiveResponse.publish
    _replace(live_response.LiveResponse, "publish", publish)
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
    once = ledger.record_turn

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
