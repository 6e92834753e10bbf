"""What leaves the context window, and that the first log entry says so."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest

from conversation.editing import put_in, take_out
from conversation.entries import Dropped, Started
from conversation.items import (
    Answer,
    Conversation,
    Image,
    Item,
    Message,
    Part,
    Role,
    Text,
    Turn,
    image_ids,
)
from conversation.memory_history import MemoryHistory
from kosmosx_stream.admission.admission import Admission
from kosmosx_stream.admission.images import ImageLoader
from kosmosx_stream.admission.sealing import Seal
from kosmosx_stream.admission.unstored import UnstoredTurns
from kosmosx_stream.engines.port import Engine
from kosmosx_stream.kosmosx.prompt import Kosmos2Format
from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.inputs import InputImage, InputMessage, InputText
from kosmosx_stream.protocol.requests import CreateResponse
from kosmosx_stream.settings import NANO_CHECKPOINT, Settings
from metering.authenticator import Principal
from metering.prices import default_price_book

FORMAT = Kosmos2Format.from_checkpoint(NANO_CHECKPOINT)
ALICE = Principal("acct_a", "key_a")
WINDOW = 200
IMAGE_TOKENS = 36
MAX_OUTPUT_TOKENS = 50
TURN_TOKENS = 30
"""Tokens of each past turn, without its images: 28 asked, 1 answered, `</s>`."""


class CountingEngine:
    """An engine that only counts."""

    max_model_len = WINDOW
    image_tokens = IMAGE_TOKENS

    def count(self, prompt_ids: tuple[int, ...], images: int) -> int:
        return len(prompt_ids) + images * IMAGE_TOKENS


def turn(number: int, images: int) -> Turn:
    return Turn(
        response_id=f"resp_{number}",
        parent_id=f"resp_{number - 1}" if number else None,
        conversation_id=None,
        account_id=ALICE.account_id,
        created_at=1.0,
        input=(),
        output=(),
        prompt_ids=tuple([1000 + number] * (TURN_TOKENS - 2)),
        answer_ids=(500, 2),
        image_ids=tuple(f"image-{number}-{each}" for each in range(images)),
    )


async def admitted(images: Sequence[int], **changes: Any) -> Started:
    """Admit "Hello!" after turns with so many images each."""
    history = MemoryHistory()
    for number, count in enumerate(images):
        await history.add_turn(turn(number, count))
    previous = f"resp_{len(images) - 1}" if images else None
    return await admit(history, **{"previous_response_id": previous} | changes)


async def admit(history: MemoryHistory, **changes: Any) -> Started:
    admission = Admission(
        engine=cast("Engine", CountingEngine()),
        chat_format=FORMAT,
        history=history,
        images=cast("ImageLoader", None),
        prices=default_price_book(),
        seal=Seal(b"secret"),
        settings=Settings(),
    )
    fields: dict[str, Any] = {
        "model": "kosmos-x",
        "messages": (InputMessage("user", (InputText("Hello!"),)),),
        "max_output_tokens": MAX_OUTPUT_TOKENS,
        "truncation": "auto",
    }
    return await admission.admit(
        ALICE, CreateResponse(**(fields | changes)), "s", unstored=UnstoredTurns()
    )


@pytest.mark.parametrize("truncation", ["auto", "disabled"])
async def test_nothing_is_said_of_a_prompt_that_fits(truncation: str) -> None:
    started = await admitted([0, 0], truncation=truncation)
    assert started.dropped is None
    assert len(started.prompt_ids) == 1 + 2 * TURN_TOKENS + len(started.turn_ids)


async def test_the_turns_that_were_dropped_are_counted() -> None:
    started = await admitted([0] * 10)
    budget = WINDOW - MAX_OUTPUT_TOKENS
    kept = (budget - 1 - len(started.turn_ids)) // TURN_TOKENS
    assert 0 < kept < 10
    assert started.dropped == Dropped(10 - kept, (10 - kept) * TURN_TOKENS, WINDOW)
    assert started.input_tokens == 1 + kept * TURN_TOKENS + len(started.turn_ids) <= budget
    assert set(started.prompt_ids) >= {1000 + number for number in range(10 - kept, 10)}
    assert 1000 + 10 - kept - 1 not in started.prompt_ids


async def test_a_dropped_turns_images_go_with_it_and_are_counted() -> None:
    started = await admitted([2, 1, 1])
    assert started.dropped == Dropped(1, TURN_TOKENS + 2 * IMAGE_TOKENS, WINDOW)
    assert started.image_ids == ("image-1-0", "image-2-0")


async def test_a_longer_answer_leaves_less_to_remember() -> None:
    started = await admitted([0] * 4, max_output_tokens=WINDOW - 20)
    assert started.dropped == Dropped(4, 4 * TURN_TOKENS, WINDOW)


async def test_without_truncation_a_history_too_long_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="context window is 200 tokens"):
        await admitted([0] * 10, truncation="disabled")


# -- turns that another model had ---------------------------------------------------------------


async def test_another_model_s_turn_is_told_anew() -> None:
    history = MemoryHistory()
    asked, told = (
        message("user", Text("I am Ada."), Image("0" * 64)),
        message("assistant", Answer("Hello Ada")),
    )
    past = msgspec.structs.replace(
        turn(0, 0), input=(asked,), output=(told,), image_ids=("0" * 64,), tokens="another's"
    )
    await history.add_turn(past)
    started = await admit(history, previous_response_id="resp_0")
    items = FORMAT.segment([asked, told], grounding=False)
    assert started.prompt_ids == (
        *FORMAT.opening(None), *items, *FORMAT.closing(()), *started.turn_ids
    )  # fmt: skip
    assert started.image_ids == ("0" * 64,)
    assert started.new_images == ()  # It was billed with the first answer about it.
    assert started.tokens == FORMAT.tokens


async def test_a_model_that_takes_no_images_is_told_the_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FORMAT, "sees", False)
    started = await admitted([2, 1])
    assert (started.image_ids, started.grounding) == ((), False)
    assert started.input_tokens == len(started.prompt_ids)


async def test_a_picture_for_a_model_that_takes_none_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FORMAT, "sees", False)
    picture = InputImage("data:image/png;base64,", "auto", "input[0].content[0].image_url")
    with pytest.raises(InvalidRequest, match="takes no images") as refused:
        await admitted([], messages=(InputMessage("user", (picture,)),))
    assert refused.value.param == picture.param


async def test_boxes_of_a_model_that_draws_none_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FORMAT, "grounds", False)
    with pytest.raises(InvalidRequest, match="draws no boxes") as refused:
        await admitted([], grounding=True)
    assert refused.value.param == "kosmosx:grounding"
    assert not (await admitted([1], grounding=False)).grounding
    assert not (await admitted([1])).grounding


def message(role: Role, *content: Part) -> Message:
    return Message(id=role, role=role, content=content)


# -- conversations that were edited by hand ----------------------------------------------------


def said(item_id: str, role: Role = "user", *image_ids: str) -> Item:
    images = tuple(Image(image_id) for image_id in image_ids)
    return Message(id=item_id, role=role, content=(Text(f"I am {item_id}."), *images))


async def conversing(*items: Item) -> MemoryHistory:
    """A conversation that begins with these items."""
    history = MemoryHistory()
    conversation = Conversation(id="conv", account_id=ALICE.account_id, created_at=1.0, metadata={})
    await history.create_conversation(conversation)
    if items:
        await put(history, *items)
    return history


async def put(history: MemoryHistory, *items: Item) -> None:
    found = await history.conversation(ALICE.account_id, "conv")
    ids = (f"{items[0].id}-turn-{number}" for number in range(100))
    edited, turns = put_in(found, items, at=1.0, new_id=lambda: next(ids))
    await history.revise_conversation(edited, f"put {items[0].id}", turns)


async def take(history: MemoryHistory, item_id: str) -> None:
    found = await history.conversation(ALICE.account_id, "conv")
    turns = await history.chain(ALICE.account_id, found.head_id) if found.head_id else []
    edited, changed = take_out(found, turns, item_id)
    await history.revise_conversation(edited, f"take {item_id}", changed)


async def answer(history: MemoryHistory, started: Started, answer_ids: tuple[int, ...]) -> None:
    """The turn ends with these tokens."""
    asked = (*started.pending, *started.input)
    output = Message(id=f"{started.response_id}-out", role="assistant", content=(Text("?"),))
    await history.add_turn(
        Turn(
            response_id=started.response_id,
            parent_id=started.parent_id,
            conversation_id="conv",
            account_id=ALICE.account_id,
            created_at=1.0,
            input=asked,
            output=(output,),
            prompt_ids=started.turn_ids,
            answer_ids=answer_ids,
            image_ids=image_ids(asked),
            grounding=started.grounding,
        )
    )


def ids_of(*items: Item) -> tuple[int, ...]:
    return FORMAT.segment(items, grounding=False)


HELLO = Message(id="hello", role="user", content=(Text("Hello!"),))
END = FORMAT.closing(())


async def test_items_that_were_put_in_are_said_as_if_a_client_had_sent_them() -> None:
    items = (said("a"), said("b", "assistant"), said("c", "system"), said("d"))
    started = await admit(await conversing(*items), conversation="conv")
    assert started.prompt_ids == FORMAT.opening(None) + ids_of(*items, HELLO)
    assert started.turn_ids == ids_of(*items[2:], HELLO)
    assert started.pending == items[2:]


async def test_a_prompt_begins_with_the_one_before_and_its_answer() -> None:
    history = await conversing(said("a"), said("b", "assistant"), said("c"))
    first = await admit(history, conversation="conv")
    await answer(history, first, (500, 501, *END))
    second = await admit(history, conversation="conv")
    before = (*first.prompt_ids, 500, 501, *END)
    assert second.prompt_ids == before + ids_of(HELLO)
    assert (second.pending, second.turn_ids) == ((), ids_of(HELLO))


async def test_what_was_taken_out_is_not_said_and_the_rest_keeps_its_ids() -> None:
    history = await conversing()
    for number in range(3):
        await put(history, said(f"q{number}"))
        await answer(history, await admit(history, conversation="conv"), (500 + number, *END))
    turns = await history.chain(
        ALICE.account_id, (await history.conversation(ALICE.account_id, "conv")).head_id or ""
    )
    await take(history, "q1")
    said_by = [(*FORMAT.segment(turn.input, grounding=False), *turn.answer_ids) for turn in turns]
    said_by[1] = (*FORMAT.segment(turns[1].input[1:], grounding=False), *turns[1].answer_ids)
    expected = [*FORMAT.opening(None), *(each for stretch in said_by for each in stretch)]
    started = await admit(history, conversation="conv")
    assert list(started.prompt_ids) == [*expected, *ids_of(HELLO)]
    for item in turns[1].input[1:] + turns[1].output:
        await take(history, item.id)
    expected = [*FORMAT.opening(None), *said_by[0], *said_by[2], *ids_of(HELLO)]
    assert list((await admit(history, conversation="conv")).prompt_ids) == expected


async def test_an_unanswered_question_is_closed() -> None:
    history = await conversing(said("a"), said("b", "assistant"))
    await take(history, "b")
    started = await admit(history, conversation="conv")
    assert started.prompt_ids == FORMAT.opening(None) + ids_of(said("a")) + END + ids_of(HELLO)


async def test_images_that_were_put_in_are_billed_with_the_next_answer_only() -> None:
    history = await conversing(said("a", "user", "x"), said("b", "assistant"))
    await put(history, said("c", "user", "y"))
    first = await admit(history, conversation="conv")
    assert first.image_ids == first.new_images == ("x", "y")
    assert first.grounding
    await answer(history, first, (500, *END))
    for deleted in (None, f"{first.response_id}-out"):
        if deleted:
            await take(history, deleted)
        assert (await admit(history, conversation="conv")).new_images == ()


async def test_exchanges_that_were_put_in_leave_the_window_one_by_one() -> None:
    items = [said(f"{n}", role) for n in range(40) for role in ("user", "assistant")]
    started = await admit(await conversing(*items), conversation="conv")
    assert started.dropped is not None
    assert 0 < started.dropped.turns < 40
    kept = items[2 * started.dropped.turns :]
    assert started.prompt_ids == FORMAT.opening(None) + ids_of(*kept, HELLO)
