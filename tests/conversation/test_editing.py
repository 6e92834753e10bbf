"""Items put into a conversation and taken out of it by hand."""

from itertools import count, takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from conversation.editing import (
    MAX_PENDING,
    TooManyPending,
    put_in,
    take_out,
    turn_without,
)
from conversation.items import Conversation, Item, Turn, is_answer
from conversation.ports import NotFound
from tests.conversation.samples import conversation, said, turn

ROLES = st.sampled_from(["user", "assistant", "system", "developer"])
BATCHES = st.lists(st.lists(ROLES, min_size=1, max_size=6), max_size=5)


def batches_of_items(batches: list[list]) -> list[list[Item]]:
    numbers = count()
    return [[said(f"msg_{next(numbers)}", role) for role in batch] for batch in batches]


def put_all_in(batches: list[list[Item]]) -> tuple[Conversation, list[Turn]]:
    edited, turns, ids = conversation(), [], count()
    for batch in batches:
        edited, added = put_in(edited, batch, at=1.0, new_id=lambda: f"hand_{next(ids)}")
        turns += added
    return edited, turns


@given(BATCHES)
def test_nothing_is_lost_and_the_order_stays(roles: list[list]) -> None:
    batches = batches_of_items(roles)
    edited, turns = put_all_in(batches)
    kept = [*(item for turn in turns for item in turn.items), *edited.pending]
    assert kept == [item for batch in batches for item in batch]


@given(BATCHES)
def test_a_turn_is_a_question_and_its_answer(roles: list[list]) -> None:
    edited, turns = put_all_in(batches_of_items(roles))
    assert not any(is_answer(item) for item in edited.pending)
    for each in turns:
        asked = list(takewhile(lambda item: not is_answer(item), each.input))
        answers = each.input[len(asked) :]
        assert answers
        assert all(is_answer(item) for item in answers)
    parents = [each.parent_id for each in turns]
    assert [*parents, edited.head_id] == [None, *(each.response_id for each in turns)]


def test_what_is_put_in_follows_the_head_and_brings_its_images() -> None:
    before = replace(conversation(), head_id="resp_1", pending=(said("msg_a", "user", "0a"),))
    items = [said("msg_b", "user", "0b"), said("msg_c", "assistant"), said("msg_d")]
    edited, (exchange,) = put_in(before, items, at=2.5, new_id=lambda: "hand_1")
    assert edited == replace(before, head_id="hand_1", pending=(items[2],))
    assert exchange == Turn(
        response_id="hand_1",
        parent_id="resp_1",
        conversation_id="conv_1",
        account_id="acct_a",
        created_at=2.5,
        input=(*before.pending, *items[:2]),
        output=(),
        prompt_ids=None,
        answer_ids=(),
        image_ids=("0a", "0b"),
        billed=False,
    )


def test_no_more_wait_for_an_answer_than_a_turn_takes_up() -> None:
    many = [said(f"msg_{number}") for number in range(MAX_PENDING)]
    edited, _ = put_in(conversation(), many, at=1.0, new_id=lambda: "")
    assert edited.pending == tuple(many)
    with pytest.raises(TooManyPending):
        put_in(edited, [said("msg_last")], at=1.0, new_id=lambda: "")
    edited, turns = put_in(edited, [said("answer", "assistant")], at=1.0, new_id=lambda: "")
    assert (edited.pending, len(turns)) == ((), 1)


def test_a_pending_item_is_taken_out() -> None:
    before = replace(conversation(), pending=(said("msg_a"), said("msg_b")))
    edited, changed = take_out(before, [], "msg_a")
    assert (edited.pending, changed) == ((said("msg_b"),), [])


def test_only_the_item_s_turn_changes() -> None:
    turns = [turn("resp_1"), turn("resp_2", "resp_1"), turn("resp_3", "resp_2")]
    edited, changed = take_out(conversation(), turns, "msg_resp_2")
    assert edited == conversation()
    assert changed == [turn_without(turns[1], "msg_resp_2")]


def test_an_unknown_item_is_not_found() -> None:
    with pytest.raises(NotFound):
        take_out(conversation(), [turn("resp_1")], "msg_none")


def test_without_a_question_the_answer_keeps_its_token_ids() -> None:
    asked = turn("resp_1", image_ids=("0a",))
    left = turn_without(asked, "msg_resp_1")
    assert (left.input, left.prompt_ids, left.image_ids) == ((), None, ())
    assert (left.output, left.answer_ids) == (asked.output, asked.answer_ids)


def test_without_the_answer_the_question_keeps_its_token_ids() -> None:
    asked = turn("resp_1", image_ids=("0a",))
    left = turn_without(asked, "out_resp_1")
    assert (left.output, left.answer_ids) == ((), ())
    assert (left.input, left.prompt_ids, left.image_ids) == (asked.input, (1, 2, 3), ("0a",))


def test_the_rest_of_an_answer_is_said_anew() -> None:
    rest = said("out_2", "assistant")
    asked = turn("resp_1")
    left = turn_without(replace(asked, output=(*asked.output, rest)), "out_resp_1")
    assert (left.items, left.output) == ((*asked.input, rest), ())
    assert (left.prompt_ids, left.answer_ids) == (None, ())


def test_an_empty_turn_stays_as_a_link() -> None:
    left = turn_without(turn_without(turn("resp_2", "resp_1"), "out_resp_2"), "msg_resp_2")
    assert (left.items, left.prompt_ids, left.answer_ids) == ((), None, ())
    assert left.parent_id == "resp_1"
