"""What leaves the context window, and that the first log entry says so."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from conversation.entries import Dropped, Started
from conversation.items import Turn
from conversation.memory_history import MemoryHistory
from kosmosx_stream.admission import Admission
from kosmosx_stream.engines.port import Engine
from kosmosx_stream.images import ImageLoader
from kosmosx_stream.kosmosx.prompt import Kosmos2Format
from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.inputs import InputMessage, InputText
from kosmosx_stream.protocol.requests import CreateResponse
from kosmosx_stream.settings import NANO_CHECKPOINT, Settings
from kosmosx_stream.unstored import UnstoredTurns
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
    admission = Admission(
        engine=cast("Engine", CountingEngine()),
        chat_format=FORMAT,
        history=history,
        images=cast("ImageLoader", None),
        prices=default_price_book(),
        settings=Settings(),
    )
    fields: dict[str, Any] = {
        "model": "kosmos-x",
        "messages": (InputMessage("user", (InputText("Hello!"),)),),
        "max_output_tokens": MAX_OUTPUT_TOKENS,
        "truncation": "auto",
        "previous_response_id": f"resp_{len(images) - 1}" if images else None,
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
