"""Every history keeps turns and images, each for its account alone."""

import pytest

from conversation.ports import Conflict, History, NotFound
from tests.conversation.samples import add_line, conversation, turn


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
        history.describe_conversation("acct_b", "conv_1", {}),
        history.revise_conversation(conversation(account_id="acct_b"), "next"),
        history.delete_conversation("acct_b", "conv_1"),
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
        history.describe_conversation("acct_a", "conv_none", {}),
        history.revise_conversation(conversation("conv_none"), "next"),
        history.delete_conversation("acct_a", "conv_none"),
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


async def test_images_belong_to_accounts(history: History) -> None:
    await history.put_image("acct_a", "0a", b"\x00\xffpixels")
    await history.put_image("acct_a", "0a", b"\x00\xffpixels")
    await history.put_image("acct_b", "0a", b"others")
    assert await history.image("acct_a", "0a") == b"\x00\xffpixels"
    assert await history.image("acct_b", "0a") == b"others"
