"""A store that is set back to an older state, as by a replica that lagged or a copy from before."""

from redis.asyncio import Redis

from conversation.redis_connection import PREFIX

State = dict[bytes, bytes]


async def state_of(redis: Redis) -> State:
    """All keys as they are now."""
    return {name: await redis.dump(name) for name in await redis.keys()}


async def set_back(redis: Redis, state: State, *lapsed: str) -> None:
    """Bring the state back, in one step. The leases of the `lapsed` are over by then."""
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.flushdb()
        for name, value in state.items():
            pipeline.restore(name, 0, value)
        for response_id in lapsed:
            pipeline.zadd(f"{PREFIX}leases", {response_id: 1})
        await pipeline.execute()
