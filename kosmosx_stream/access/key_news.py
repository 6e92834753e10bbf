"""Which keys and accounts have changed, told among the servers over one Redis.

A hint that comes at once, and may get lost: what is true is in the books.
"""

import asyncio
from collections.abc import AsyncIterator

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from conversation.redis_connection import PREFIX, reply

CHANNEL = f"{PREFIX}keys"
POLL_S = 1.0
"""How long one read waits: shorter than the connection's own patience."""
RECONNECT_S = 0.5


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
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(CHANNEL)
                    yield None
                    while True:
                        message = await subscription.get_message(timeout=POLL_S)
                        if message is not None:
                            yield msgspec.msgpack.decode(message["data"], type=Changed)
            except (RedisError, OSError):
                await asyncio.sleep(RECONNECT_S)
