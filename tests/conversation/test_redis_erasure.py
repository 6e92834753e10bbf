"""All of an account's words go, and none of anybody else's."""

from msgspec.structs import replace
from redis.asyncio import Redis

from conversation.entries import pack
from conversation.items import Conversation
from conversation.ports import Lease, Write
from conversation.redis_erasure import BATCH, RedisErasure
from conversation.redis_history import RedisHistory
from conversation.redis_log import RedisEventLog
from tests.conversation.conftest import RETENTION_S
from tests.conversation.samples import turn
from tests.conversation.test_entries import STARTED


async def fill(redis: Redis, account_id: str, number: int) -> None:
    """A finished turn in a conversation, with its log and a picture."""
    log = RedisEventLog(redis, retention_s=RETENTION_S)
    history = RedisHistory(redis, retention_s=RETENTION_S)
    name = f"{account_id}_{number}"
    conversation = Conversation(
        id=f"conv_{name}", account_id=account_id, created_at=1.0, metadata={}
    )
    await history.create_conversation(conversation)
    await history.put_image(account_id, f"img_{number}", b"bytes")
    lease = await log.acquire(f"resp_{name}", 10)
    assert isinstance(lease, Lease)
    started = replace(STARTED, response_id=f"resp_{name}", account_id=account_id)
    said = turn(f"resp_{name}", conversation_id=conversation.id, account_id=account_id)
    write = Write(lease=lease, expected=0, entries=(pack(started),), turn=said)
    assert await log.append([write], 10) == [None]
    await log.release(lease)


async def test_an_account_is_erased_and_no_other(redis: Redis) -> None:
    for number in range(3):
        await fill(redis, "acct_1", number)
    await fill(redis, "acct_12", 0)
    kept = {name for name in await redis.keys() if b"acct_12" in name}
    erasure = RedisErasure(redis)
    assert await erasure.erase("acct_1") == 3 * 4 + 1
    left = [name for name in await redis.keys() if b"acct_1_" in name or b"acct_1:" in name]
    assert [name for name in left if b"epoch" not in name] == []
    assert kept <= set(await redis.keys())
    assert await erasure.erase("acct_1") == 0


async def test_it_looks_through_more_than_one_batch(redis: Redis) -> None:
    history = RedisHistory(redis, retention_s=RETENTION_S)
    for number in range(3 * BATCH):
        await history.put_image("acct_1" if number % 2 else "acct_2", f"img_{number}", b"x")
    assert await RedisErasure(redis).erase("acct_1") == 3 * BATCH // 2
    assert await redis.dbsize() == 3 * BATCH // 2
