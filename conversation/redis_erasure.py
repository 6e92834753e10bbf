"""Forgets all that an account has in Redis: responses, conversations, pictures.

Nothing lists it by account, so that nothing has to be kept up to date on a token's path: it is
looked for among everybody's, which is done as seldom as an account is deleted.
"""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from conversation.entries import Started, UnknownEntryVersion, unpack
from conversation.redis_connection import PREFIX, key, reply

BATCH = 500
"""Keys that are looked at in one round trip."""


class RedisErasure:
    """Made for one Redis; any number of servers may erase at a time."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def erase(self, account_id: str) -> int:
        """Delete what the account has; returns how many keys that were.

        What is live when this passes may be written anew: end it first, or come again.

        Raises:
            LogUnavailable: the store cannot be reached; some of it may be deleted.
        """
        lines = key("conversations", account_id)
        erased = await self._delete([lines.encode()])
        for kind, find in (
            (f"image:{account_id}", _all),
            ("turn", self._records_of),
            ("conversation", self._records_of),
            ("log", self._logs_of),
        ):
            cursor = -1
            while cursor:
                scanned = self._redis.scan(max(cursor, 0), match=f"{PREFIX}{kind}:*", count=BATCH)
                names: Sequence[Any]
                cursor, names = await reply(scanned)
                erased += await self._delete(await find(account_id, names))
        return erased

    async def _records_of(self, account_id: str, names: Sequence[bytes]) -> list[bytes]:
        owners = await self._ask([("HGET", name, "account") for name in names])
        return [
            name for name, owner in zip(names, owners, strict=True) if owner == account_id.encode()
        ]

    async def _logs_of(self, account_id: str, names: Sequence[bytes]) -> list[bytes]:
        firsts = await self._ask([("LINDEX", name, 0) for name in names])
        return [
            name
            for name, first in zip(names, firsts, strict=True)
            if first is not None and _owner(first) == account_id
        ]

    async def _ask(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return await reply(pipeline.execute())

    async def _delete(self, names: Sequence[bytes]) -> int:
        if not names:
            return 0
        return await reply(self._redis.unlink(*names))


async def _all(_account_id: str, names: Sequence[bytes]) -> Sequence[bytes]:
    return names


def _owner(first: bytes) -> str | None:
    try:
        entry = unpack(first)
    except UnknownEntryVersion:
        return None  # It expires, as all logs do.
    return entry.account_id if isinstance(entry, Started) else None
