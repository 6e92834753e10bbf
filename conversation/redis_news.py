"""News over Redis: hints that come at once to whoever listens, and may get lost."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from conversation.redis_connection import PREFIX

POLL_S = 1.0
"""How long one read waits: shorter than the connection's own patience."""
RECONNECT_S = 0.5
CONVERSATIONS = f"{PREFIX}conversation-news"
"""The channel of `tell` in lua/common.lua."""


class ConversationNews(msgspec.Struct, frozen=True, array_like=True):
    """A conversation has changed, or has gone, or the response `response_id` begins in it."""

    account_id: str
    conversation_id: str
    response_id: str
    deleted: bool = False


async def hear(redis: Redis, channel: str) -> AsyncIterator[bytes | None]:
    """What is said on a channel, for ever; None where something may have been missed."""
    while True:
        try:
            async with redis.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(channel)
                yield None
                while True:
                    message = await subscription.get_message(timeout=POLL_S)
                    if message is not None:
                        yield message["data"]
        except (RedisError, OSError):
            await asyncio.sleep(RECONNECT_S)


async def conversation_news(redis: Redis) -> AsyncIterator[ConversationNews | None]:
    """What happens to all conversations, told by the scripts that change them; see `hear`."""
    async for said in hear(redis, CONVERSATIONS):
        yield None if said is None else msgspec.json.decode(said, type=ConversationNews)
