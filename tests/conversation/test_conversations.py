"""Every history keeps conversations; one turn at a time is live in each."""

from typing import Any

import pytest
from msgspec.structs import replace

from conversation.ports import Claim, Conflict, EventLog, History, NotFound, Write
from tests.conversation.samples import add_line, conversation, revised, said, turn


async def test_a_conversation_moves_with_its_turns(history: History) -> None:
    await history.create_conversation(conversation())
    assert await history.conversation("acct_a", "conv_1") == conversation()
    turns = await add_line(history, 3, "conv_1")
    found = await history.conversation("acct_a", "conv_1")
    assert found == replace(conversation(), head_id="resp_2", revision="resp_2")
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


# -- conversations edited by hand --------------------------------------------------------------


async def test_pending_items_are_taken_up_by_the_next_turn(history: History) -> None:
    await history.create_conversation(conversation())
    pending = (said("msg_a"), said("msg_b", "system", "0a"))
    assert (await revised(history, "edit_1", pending=pending)).pending == pending
    await history.add_turn(turn("resp_0", None, "conv_1"))
    found = await history.conversation("acct_a", "conv_1")
    assert (found.pending, found.head_id, found.revision) == ((), "resp_0", "resp_0")


async def test_turns_are_put_in_and_changed_by_hand(history: History) -> None:
    await history.create_conversation(conversation())
    added = replace(turn("hand_0", None, "conv_1"), prompt_ids=None, billed=False)
    await revised(history, "edit_1", added, head_id="hand_0")
    answered = turn("resp_1", "hand_0", "conv_1")
    await history.add_turn(answered)
    changed = replace(answered, input=(), prompt_ids=None)
    await revised(history, "edit_2", changed)
    assert await history.chain("acct_a", "resp_1") == [added, changed]


async def test_an_edit_of_what_has_changed_is_refused(history: History) -> None:
    await history.create_conversation(conversation())
    stale = await history.conversation("acct_a", "conv_1")
    changes = (
        lambda: revised(history, "edit_1", pending=(said("msg_a"),)),
        lambda: history.add_turn(turn("resp_0", None, "conv_1")),
        lambda: history.delete_turn("acct_a", "resp_0"),
    )
    for change in changes:
        await change()
        before = await history.conversation("acct_a", "conv_1")
        with pytest.raises(Conflict):
            await history.revise_conversation(replace(stale, pending=(said("msg_b"),)), "late")
        assert await history.conversation("acct_a", "conv_1") == before
        stale = before


async def test_metadata_is_replaced_at_any_time(history: History, log: EventLog) -> None:
    await history.create_conversation(conversation())
    await add_line(history, 1, "conv_1")
    await log.acquire("resp_1", 10, await claim(history))
    described = await history.describe_conversation("acct_a", "conv_1", {"title": "Sail"})
    assert described == await history.conversation("acct_a", "conv_1")
    assert (described.metadata, described.head_id) == ({"title": "Sail"}, "resp_0")


async def test_conversations_are_listed_by_their_last_use(history: History) -> None:
    for name in ("conv_1", "conv_2", "conv_3", "conv_4"):
        await history.create_conversation(conversation(name))
    await history.create_conversation(conversation("conv_other", account_id="acct_b"))
    first = await history.conversation("acct_a", "conv_1")
    await history.revise_conversation(first, "rev_1")
    await history.add_turn(turn("resp_0", None, "conv_3"))
    await history.describe_conversation("acct_a", "conv_2", {"topic": "tides"})
    await history.delete_conversation("acct_a", "conv_4")

    async def listed(limit: int = 9, **options: Any) -> list[str]:
        return [each.id for each in await history.conversations("acct_a", limit=limit, **options)]

    assert await listed() == ["conv_3", "conv_1", "conv_2"]
    assert await listed(oldest_first=True) == ["conv_2", "conv_1", "conv_3"]
    assert await listed(2) == ["conv_3", "conv_1"]
    assert await listed(2, after="conv_1") == ["conv_2"]
    assert await listed(after="conv_1", oldest_first=True) == ["conv_3"]
    (newest,) = await history.conversations("acct_a", limit=1)
    assert newest == await history.conversation("acct_a", "conv_3")
    for elsewhere in ("conv_4", "conv_other"):
        with pytest.raises(NotFound):
            await history.conversations("acct_a", limit=1, after=elsewhere)


async def test_conversations_of_one_moment_are_listed_in_their_order(history: History) -> None:
    names = [f"conv_{number:02}" for number in range(30)]
    for name in reversed(names):
        await history.create_conversation(conversation(name))
    assert [each.id for each in await history.conversations("acct_a", limit=30)] == names


async def test_turns_outlive_their_conversation(history: History) -> None:
    await history.create_conversation(conversation())
    turns = await add_line(history, 2, "conv_1")
    await history.delete_conversation("acct_a", "conv_1")
    with pytest.raises(NotFound):
        await history.conversation("acct_a", "conv_1")
    with pytest.raises(Conflict):
        await history.add_turn(turn("resp_2", "resp_1", "conv_1"))
    assert await history.chain("acct_a", "resp_1") == turns
    await history.delete_turn("acct_a", "resp_1")


# -- conversations in a live turn --------------------------------------------------------------


async def claim(history: History) -> Claim:
    """conv_1 as it is now, for a turn."""
    found = await history.conversation("acct_a", "conv_1")
    return Claim(account_id="acct_a", conversation_id="conv_1", revision=found.revision)


async def test_a_conversation_takes_one_live_turn(history: History, log: EventLog) -> None:
    await history.create_conversation(conversation())
    lease = await log.acquire("resp_1", 10, await claim(history))
    assert lease is not None
    with pytest.raises(Conflict):
        await log.acquire("resp_2", 10, await claim(history))
    assert await log.acquire("resp_elsewhere", 10) is not None
    await log.release(lease)
    assert await log.acquire("resp_2", 10, await claim(history)) is not None


async def test_nothing_is_edited_under_a_live_turn(history: History, log: EventLog) -> None:
    await history.create_conversation(conversation())
    await add_line(history, 1, "conv_1")
    before = await history.conversation("acct_a", "conv_1")
    await log.acquire("resp_1", 10, await claim(history))
    for editing in (
        history.revise_conversation(before, "edit"),
        history.delete_turn("acct_a", "resp_0"),
        history.delete_conversation("acct_a", "conv_1"),
        history.add_turn(turn("resp_2", "resp_0", "conv_1")),
    ):
        with pytest.raises(Conflict):
            await editing
    assert await history.conversation("acct_a", "conv_1") == replace(before, live_id="resp_1")
    (listed,) = await history.conversations("acct_a", limit=1)
    assert listed.live_id == "resp_1"


async def test_a_turn_that_holds_its_conversation_may_branch_off(
    history: History, log: EventLog
) -> None:
    await history.create_conversation(conversation())
    await add_line(history, 3, "conv_1")
    lease = await log.acquire("resp_b", 10, await claim(history))
    assert lease is not None
    branch = turn("resp_b", "resp_0", "conv_1")
    write = Write(lease=lease, expected=0, entries=(b"end",), turn=branch)
    assert await log.append([write], 10) == [None]
    found = await history.conversation("acct_a", "conv_1")
    assert (found.head_id, found.live_id) == ("resp_b", None)
    assert [each.response_id for each in await history.chain("acct_a", "resp_b")] == [
        "resp_0",
        "resp_b",
    ]
    with pytest.raises(Conflict):
        await history.add_turn(turn("resp_c", "resp_0", "conv_1"))


async def test_the_newest_turns_are_glimpsed(history: History) -> None:
    turns = await add_line(history, 4)
    assert await history.glimpse("acct_a", "resp_3", 2) == turns[2:]
    with pytest.raises(NotFound):
        await history.glimpse("acct_b", "resp_3", 2)


async def test_a_lapsed_turn_keeps_its_conversation(history: History, log: EventLog) -> None:
    """It is taken over, and goes on in its place."""
    await history.create_conversation(conversation())
    await log.acquire("resp_1", 0, await claim(history))
    with pytest.raises(Conflict):
        await log.acquire("resp_2", 10, await claim(history))
    taken_over = await log.acquire("resp_1", 10)
    assert taken_over is not None
    await log.release(taken_over)
    assert await log.acquire("resp_2", 10, await claim(history)) is not None


async def test_the_end_of_a_turn_lets_the_next_one_in(history: History, log: EventLog) -> None:
    """With its last entry, before its lease is released: its usage may yet have to be settled."""
    await history.create_conversation(conversation())
    lease = await log.acquire("resp_1", 10, await claim(history))
    assert lease is not None
    ended = turn("resp_1", None, "conv_1")
    write = Write(lease=lease, expected=0, entries=(b"end",), turn=ended)
    assert await log.append([write], 10) == [None]
    assert await log.acquire("resp_2", 10, await claim(history)) is not None


async def test_only_what_was_read_is_claimed(history: History, log: EventLog) -> None:
    await history.create_conversation(conversation())
    stale = await claim(history)
    await add_line(history, 1, "conv_1")
    with pytest.raises(Conflict):
        await log.acquire("resp_1", 10, stale)
    assert (await log.expired(10)).response_ids == []
    for missing in (replace(stale, conversation_id="conv_none"), replace(stale, account_id="b")):
        with pytest.raises(NotFound):
            await log.acquire("resp_1", 10, missing)
    assert await log.acquire("resp_1", 10, await claim(history)) is not None
