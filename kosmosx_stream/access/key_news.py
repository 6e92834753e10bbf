"""Which keys and accounts have changed, told among the servers over one Redis.

A hint that comes at once, and may get lost: what is true is in the books.
"""

from collections.abc import AsyncIterator

import msgspec
from redis.asyncio import Redis

from conversation.redis_connection import PREFIX, reply
from conversation.redis_news import hear

CHANNEL = f"{PREFIX}keys"


class Changed(msgspec.Struct, frozen=True):
    """A key of an account; without a `key_id` the account itself."""

    account_id: str
    key_id: str | None


class KeyNews:
    """Tells the other servers, and hears from them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def tell(self, changed: Changed) -> None:
        """Tell every server, this one too.

        Raises:
            LogUnavailable: nobody can be told.
        """
        await reply(self._redis.publish(CHANNEL, msgspec.msgpack.encode(changed)))

    async def hear(self) -> AsyncIterator[Changed | None]:
        """What others tell, for ever; None where something may have been missed."""
        async for said in hear(self._redis, CHANNEL):
            yield None if said is None else msgspec.msgpack.decode(said, type=Changed)
