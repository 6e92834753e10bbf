"""The history in Redis: how long what is kept, and what a newer server wrote."""

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from conversation import redis_history
from conversation.entries import UnknownEntryVersion
from conversation.redis_connection import key
from conversation.redis_history import RedisHistory
from tests.conversation.conftest import RETENTION_S
from tests.conversation.samples import add_line, conversation, revised, said, turn


async def test_what_is_used_is_kept_for_another_period(redis: Redis) -> None:
    history = RedisHistory(redis, retention_s=RETENTION_S)
    await history.put_image("acct_a", "0a", b"pixels")
    await history.create_conversation(conversation())
    await history.add_turn(turn("resp_0", None, "conv_1", image_ids=("0a",)))
    await history.add_turn(turn("resp_1", "resp_0", "conv_1"))
    names = [
        key("turn", "resp_0"),
        key("turn", "resp_1"),
        key("conversation", "conv_1"),
        key("image", "acct_a:0a"),
        key("conversations", "acct_a"),
    ]
    assert await redis.exists(*names) == await redis.dbsize() == 5
    await shorten(redis, names)
    await history.chain("acct_a", "resp_1")
    assert [await redis.ttl(name) > 500 for name in names] == [True] * 4 + [False]
    await shorten(redis, names)
    await history.conversation("acct_a", "conv_1")
    await history.image("acct_a", "0a")
    assert [await redis.ttl(name) > 500 for name in names] == [False, False, True, True, True]


async def test_reading_again_writes_nothing(redis: Redis) -> None:
    """A write is on the disk before it is answered, which a question would wait for."""
    history = RedisHistory(redis, retention_s=RETENTION_S)
    await history.create_conversation(conversation())
    await history.add_turn(turn("resp_0", None, "conv_1"))
    written = (await redis.info("persistence"))["rdb_changes_since_last_save"]
    await history.chain("acct_a", "resp_0")
    await history.conversation("acct_a", "conv_1")
    assert (await redis.info("persistence"))["rdb_changes_since_last_save"] == written > 0


async def test_pending_images_are_kept_with_their_conversation(redis: Redis) -> None:
    history = RedisHistory(redis, retention_s=RETENTION_S)
    await history.put_image("acct_a", "0a", b"pixels")
    await history.create_conversation(conversation())
    await revised(history, "edit_1", pending=(said("msg_a", "user", "0a"),))
    await shorten(redis, [key("image", "acct_a:0a")])
    await history.conversation("acct_a", "conv_1")
    assert await redis.ttl(key("image", "acct_a:0a")) > 500


async def test_expired_conversations_leave_the_list(redis: Redis) -> None:
    history = RedisHistory(redis, retention_s=RETENTION_S)
    names = [f"conv_{number}" for number in range(5)]
    for name in names:
        await history.create_conversation(conversation(name))
    await redis.delete(key("conversation", "conv_3"), key("conversation", "conv_4"))
    listed = await history.conversations("acct_a", limit=2)
    assert [each.id for each in listed] == ["conv_2", "conv_1"]
    assert await redis.zcard(key("conversations", "acct_a")) == 3


async def test_a_repeated_edit_changes_nothing(redis: Redis) -> None:
    """Its reply was lost: it is acknowledged, and not refused as a late one."""
    history = RedisHistory(redis, retention_s=RETENTION_S)
    await history.create_conversation(conversation())
    edited = replace(conversation(), pending=(said("msg_a"),))
    for _ in range(2):
        await history.revise_conversation(edited, "edit_1")
    assert (await history.conversation("acct_a", "conv_1")).pending == (said("msg_a"),)


async def shorten(redis: Redis, names: list[str]) -> None:
    for name in names:
        assert await redis.expire(name, 100)


async def test_the_newest_turns_of_an_endless_chain(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_history, "LONGEST_CHAIN", 3)
    history = RedisHistory(redis, retention_s=RETENTION_S)
    turns = await add_line(history, 5)
    assert await history.chain("acct_a", "resp_4") == turns[2:]


async def test_a_glimpse_keeps_nothing(redis: Redis) -> None:
    history = RedisHistory(redis, retention_s=RETENTION_S)
    await add_line(history, 2)
    names = [key("turn", "resp_0"), key("turn", "resp_1")]
    await shorten(redis, names)
    await history.glimpse("acct_a", "resp_1", 2)
    assert [await redis.ttl(name) <= 100 for name in names] == [True, True]


async def test_a_record_of_a_newer_server_is_refused(redis: Redis) -> None:
    history = RedisHistory(redis, retention_s=RETENTION_S)
    await history.add_turn(turn("resp_1"))
    await redis.hset(key("turn", "resp_1"), "data", b"\x02whatever")
    with pytest.raises(UnknownEntryVersion, match="version 2"):
        await history.turn("acct_a", "resp_1")
