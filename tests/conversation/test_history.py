"""Every history keeps turns, conversations and images, each for its account alone."""

import msgspec
import pytest
from redis.asyncio import Redis

from conversation import redis_history
from conversation.entries import UnknownEntryVersion
from conversation.items import Turn
from conversation.ports import Conflict, History, NotFound
from conversation.redis_connection import key
from conversation.redis_history import RedisHistory
from tests.conversation.conftest import RETENTION_S
from tests.conversation.samples import conversation, turn


async def add_line(history: History, length: int, conversation_id: str | None = None) -> list[Turn]:
    """Turns resp_0, resp_1, ... one after another."""
    turns = [
        turn(f"resp_{i}", f"resp_{i - 1}" if i else None, conversation_id) for i in range(length)
    ]
    for each in turns:
        await history.add_turn(each)
    return turns


# -- turns -------------------------------------------------------------------------------------


async def test_a_turn_is_read_back_as_it_was(history: History) -> None:
    added = turn("resp_1", image_ids=("0a", "0b"))
    await history.add_turn(added)
    assert await history.turn("acct_a", "resp_1") == added


async def test_a_chain_is_the_turn_and_its_ancestors_oldest_first(history: History) -> None:
    turns = await add_line(history, 4)
    branch = turn("resp_branch", "resp_1")
    await history.add_turn(branch)
    assert await history.chain("acct_a", "resp_3") == turns
    assert await history.chain("acct_a", "resp_branch") == [*turns[:2], branch]
    assert await history.chain("acct_a", "resp_0") == turns[:1]


async def test_another_account_finds_nothing(history: History) -> None:
    await add_line(history, 2)
    await history.create_conversation(conversation())
    await history.put_image("acct_a", "0a", b"pixels")
    for reading in (
        history.turn("acct_b", "resp_0"),
        history.chain("acct_b", "resp_1"),
        history.delete_turn("acct_b", "resp_0"),
        history.conversation("acct_b", "conv_1"),
        history.image("acct_b", "0a"),
    ):
        with pytest.raises(NotFound):
            await reading
    assert len(await history.chain("acct_a", "resp_1")) == 2


async def test_what_does_not_exist_is_not_found(history: History) -> None:
    for reading in (
        history.turn("acct_a", "resp_none"),
        history.chain("acct_a", "resp_none"),
        history.delete_turn("acct_a", "resp_none"),
        history.conversation("acct_a", "conv_none"),
        history.image("acct_a", "0a"),
    ):
        with pytest.raises(NotFound):
            await reading


async def test_a_chain_with_a_hole_is_not_found(history: History) -> None:
    await history.add_turn(turn("resp_1", "resp_expired"))
    assert await history.turn("acct_a", "resp_1")
    with pytest.raises(NotFound):
        await history.chain("acct_a", "resp_1")


async def test_an_ancestor_of_another_account_is_a_hole(history: History) -> None:
    await history.add_turn(turn("resp_0", account_id="acct_b"))
    await history.add_turn(turn("resp_1", "resp_0"))
    with pytest.raises(NotFound):
        await history.chain("acct_a", "resp_1")


async def test_a_turn_is_never_overwritten(history: History) -> None:
    added = turn("resp_1")
    await history.add_turn(added)
    await history.add_turn(added)
    for other in (turn("resp_1", "resp_0"), turn("resp_1", account_id="acct_b")):
        with pytest.raises(Conflict):
            await history.add_turn(other)
    assert await history.turn("acct_a", "resp_1") == added


async def test_a_chain_goes_on_without_deleted_turns(history: History) -> None:
    turns = await add_line(history, 4)
    for deleted in ("resp_1", "resp_2"):
        await history.delete_turn("acct_a", deleted)
        for reading in (history.turn, history.chain, history.delete_turn):
            with pytest.raises(NotFound):
                await reading("acct_a", deleted)
    assert await history.chain("acct_a", "resp_3") == [turns[0], turns[3]]
    with pytest.raises(Conflict):
        await history.add_turn(turns[1])


# -- conversations -----------------------------------------------------------------------------


async def test_a_conversation_moves_with_its_turns(history: History) -> None:
    await history.create_conversation(conversation())
    assert await history.conversation("acct_a", "conv_1") == conversation()
    turns = await add_line(history, 3, "conv_1")
    found = await history.conversation("acct_a", "conv_1")
    assert found == msgspec.structs.replace(conversation(), head_id="resp_2")
    assert await history.chain("acct_a", "resp_2") == turns


async def test_only_the_head_is_followed(history: History) -> None:
    await history.create_conversation(conversation())
    turns = await add_line(history, 2, "conv_1")
    await history.add_turn(turns[0])
    for late in (
        turn("resp_late", "resp_0", "conv_1"),
        turn("resp_late", None, "conv_1"),
        turn("resp_late", "resp_1", "conv_none"),
        turn("resp_late", "resp_1", "conv_1", account_id="acct_b"),
    ):
        with pytest.raises(Conflict):
            await history.add_turn(late)
    assert (await history.conversation("acct_a", "conv_1")).head_id == "resp_1"
    with pytest.raises(NotFound):
        await history.turn("acct_a", "resp_late")


async def test_a_conversation_is_created_once(history: History) -> None:
    await history.create_conversation(conversation())
    await add_line(history, 1, "conv_1")
    await history.create_conversation(conversation())
    with pytest.raises(Conflict):
        await history.create_conversation(conversation(account_id="acct_b"))
    assert (await history.conversation("acct_a", "conv_1")).head_id == "resp_0"


async def test_a_conversation_goes_on_when_its_head_is_deleted(history: History) -> None:
    await history.create_conversation(conversation())
    turns = await add_line(history, 4, "conv_1")
    await history.delete_turn("acct_a", "resp_2")
    assert (await history.conversation("acct_a", "conv_1")).head_id == "resp_3"
    await history.delete_turn("acct_a", "resp_3")
    assert (await history.conversation("acct_a", "conv_1")).head_id == "resp_1"
    with pytest.raises(Conflict):
        await history.add_turn(turn("resp_late", "resp_3", "conv_1"))
    await history.add_turn(turn("resp_4", "resp_1", "conv_1"))
    assert len(await history.chain("acct_a", "resp_4")) == 3
    for deleted in ("resp_4", "resp_1", "resp_0"):
        await history.delete_turn("acct_a", deleted)
    assert (await history.conversation("acct_a", "conv_1")).head_id is None
    await history.add_turn(turn("resp_5", None, "conv_1"))
    assert turns[0] not in await history.chain("acct_a", "resp_5")


# -- images ------------------------------------------------------------------------------------


async def test_images_belong_to_accounts(history: History) -> None:
    await history.put_image("acct_a", "0a", b"\x00\xffpixels")
    await history.put_image("acct_a", "0a", b"\x00\xffpixels")
    await history.put_image("acct_b", "0a", b"others")
    assert await history.image("acct_a", "0a") == b"\x00\xffpixels"
    assert await history.image("acct_b", "0a") == b"others"


# -- Redis: retention and versions -------------------------------------------------------------


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
    ]
    assert await redis.exists(*names) == await redis.dbsize() == 4
    await shorten(redis, names)
    await history.chain("acct_a", "resp_1")
    assert [await redis.ttl(name) > 500 for name in names] == [True] * 4
    await shorten(redis, names)
    await history.conversation("acct_a", "conv_1")
    await history.image("acct_a", "0a")
    assert [await redis.ttl(name) > 500 for name in names] == [False, False, True, True]


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


async def test_a_record_of_a_newer_server_is_refused(redis: Redis) -> None:
    history = RedisHistory(redis, retention_s=RETENTION_S)
    await history.add_turn(turn("resp_1"))
    await redis.hset(key("turn", "resp_1"), "data", b"\x02whatever")
    with pytest.raises(UnknownEntryVersion, match="version 2"):
        await history.turn("acct_a", "resp_1")
