"""What is written down about every answer, read past the servers: the raw log, and the books."""

import contextlib
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from conversation.entries import Delta, Ended, Entry, Started, unpack
from conversation.redis_connection import PREFIX

LOGS = f"{PREFIX}log:"


@dataclass(frozen=True)
class Log:
    """One response's entries in the store."""

    entries: tuple[Entry, ...]
    epoch: int
    """How often it had an owner, and one more since it was released."""

    @property
    def token_ids(self) -> tuple[int, ...]:
        return tuple(
            token
            for entry in self.entries
            if isinstance(entry, Delta | Ended)
            for token in entry.token_ids
        )

    @property
    def text(self) -> str:
        return "".join(entry.text for entry in self.entries if isinstance(entry, Delta | Ended))

    @property
    def whole(self) -> bool:
        """One beginning, one end, in their places."""
        kinds = [type(entry) for entry in self.entries]
        return (
            kinds[0] is Started
            and kinds[-1] is Ended
            and all(kind is Delta for kind in kinds[1:-1])
        )

    @property
    def tokens(self) -> int:
        """To be billed."""
        started = self.entries[0]
        assert isinstance(started, Started)
        return started.input_tokens + len(self.token_ids)


@dataclass(frozen=True)
class Ledgers:
    """All that is known when all is over."""

    logs: dict[str, Log]
    unreleased: frozenset[str]
    """Responses that somebody should have settled."""
    turns: dict[str, tuple[str, int]]
    """Session and tokens of each response, as the ledger of turns has them."""
    billed: dict[str, int]
    """Tokens of each response among the usage records."""
    sessions: dict[str, int | None]
    """Tokens on each session's receipt, and what was added after it; None while it is open."""
    owed: dict[str, tuple[int, int]]
    """Micro-dollars of each session in the outbox, and on the usage records that it stands for."""


def read_ledgers(store_url: str, books: Path) -> Ledgers:
    with Redis.from_url(store_url) as redis, contextlib.closing(sqlite3.connect(books)) as rows:
        return Ledgers(
            logs=read_logs(redis),
            unreleased=unreleased(redis),
            turns={
                response: (session, tokens)
                for response, session, tokens in rows.execute(
                    "SELECT response_id, session_id, input_tokens + output_tokens FROM turns"
                )
            },
            billed=dict(
                rows.execute(
                    "SELECT response_id, SUM(raw_units) FROM usage_records"
                    " WHERE meter = 'tokens' GROUP BY response_id"
                )
            ),
            sessions=_sessions(rows),
            owed=_owed(rows),
        )


def unsettled(store_url: str, books: Path) -> int:
    """Leases that are held still, and sessions that are open."""
    with Redis.from_url(store_url) as redis, contextlib.closing(sqlite3.connect(books)) as rows:
        (sessions,) = rows.execute("SELECT COUNT(*) FROM sessions WHERE state = 'open'").fetchone()
        leases: Any = redis.zcard(f"{PREFIX}leases")
        return int(sessions) + int(leases)


def unreleased(redis: Any) -> frozenset[str]:
    """Responses whose leases are held."""
    return frozenset(name.decode() for name in redis.zrange(f"{PREFIX}leases", 0, -1))


def read_logs(redis: Any) -> dict[str, Log]:
    """Every response's log, as it lies in the store."""
    logs = {}
    for key in redis.scan_iter(f"{LOGS}*", count=1000):
        response_id = key.decode().removeprefix(LOGS)
        entries = tuple(map(unpack, redis.lrange(key, 0, -1)))
        logs[response_id] = Log(entries, int(redis.get(f"{PREFIX}epoch:{response_id}") or 0))
    return logs


def _sessions(rows: sqlite3.Connection) -> dict[str, int | None]:
    late = dict(
        rows.execute(
            "SELECT sessions.id, SUM(raw_units) FROM usage_records"
            " JOIN sessions ON sessions.id = usage_records.session_id"
            " WHERE meter = 'tokens' AND usage_records.segment >= sessions.receipt_segments"
            " AND state = 'closed' GROUP BY sessions.id"
        )
    )
    return {
        session: _units(receipt) + late.get(session, 0) if receipt else None
        for session, receipt in rows.execute("SELECT id, receipt FROM sessions")
    }


def _owed(rows: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    return {
        session: (owed, cost)
        for session, owed, cost in rows.execute(
            "SELECT id, (SELECT coalesce(SUM(cost_micro_usd), 0) FROM outbox"
            " WHERE session_id = sessions.id),"
            " (SELECT coalesce(SUM(cost_micro_usd), 0) FROM usage_records"
            " WHERE session_id = sessions.id AND segment < sessions.segment) FROM sessions"
        )
    }


def _units(receipt: str) -> int:
    return sum(line["units"] for line in json.loads(receipt)["lines"] if line["meter"] == "tokens")
