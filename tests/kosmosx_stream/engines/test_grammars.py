"""Answers that are held to a grammar, on every engine, from the beginning and from the middle."""

import json
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from conversation.entries import Sampling
from kosmosx_stream.engines.port import EngineError, EngineRefused, Generate
from kosmosx_stream.formats import grammar
from kosmosx_stream.formats.call_reader import Arguments, CallBegins, CallReader
from kosmosx_stream.kosmosx.prompt import Kosmos2Format
from kosmosx_stream.settings import NANO_CHECKPOINT
from tests.kosmosx_stream.engines.conformance import Subject, answer, ask, ids_of, picture

pytestmark = pytest.mark.filterwarnings("default")  # torch's and vLLM's own deprecations

FORMAT = Kosmos2Format.from_checkpoint(NANO_CHECKPOINT)
PLACE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "green", "deep blue"]},
        "at": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 99},
               "minItems": 2, "maxItems": 2},
        "sure": {"type": "boolean"},
        "note": {"type": "string", "maxLength": 12},
    },
    "required": ["colour", "at", "sure", "note"],
    "additionalProperties": False,
}  # fmt: skip
PLACES = {"text": PLACE, "functions": {}}
CALLS = {"text": None, "functions": {"point": PLACE, "wait": {"type": "object"}}}
LIKELIEST, BY_CHANCE = Sampling(), Sampling(temperature=1.5, seed=4)


def held(asked: dict[str, Any], sampling: Sampling = LIKELIEST) -> Generate:
    made = grammar.of_answer(required=True, most=1, **asked)
    request = ask(picture(1), 12, max_tokens=400, sampling=sampling)
    return msgspec.structs.replace(request, grammar=made)


def text_of(ids: list[int]) -> str:
    decoder = FORMAT.decoder()
    return decoder.feed(ids).text + decoder.finish().text


def after(request: Generate, ids: list[int]) -> Generate:
    """The request of whoever goes on with an answer of which so much is known."""
    return msgspec.structs.replace(
        request,
        request_id=f"{request.request_id}-{len(ids)}",
        prompt_ids=(*request.prompt_ids, *ids),
        max_tokens=request.max_tokens - len(ids),
        answered=len(ids),
    )


@pytest.mark.parametrize("sampling", [LIKELIEST, BY_CHANCE], ids=["likeliest", "by chance"])
async def test_json_keeps_to_its_schema(subject: Subject, sampling: Sampling) -> None:
    deltas = await answer(subject.engine, held(PLACES, sampling))
    assert deltas[-1].finish_reason == "stop"
    Draft202012Validator(PLACE).validate(json.loads(text_of(ids_of(deltas))))


async def test_a_call_keeps_to_its_schema(subject: Subject) -> None:
    asked = CALLS | {"functions": {"point": PLACE}}
    text = text_of(ids_of(await answer(subject.engine, held(asked))))
    begins, *pieces = CallReader().feed(text)
    assert begins == CallBegins("point")
    arguments = "".join(piece.text for piece in pieces if isinstance(piece, Arguments))
    Draft202012Validator(PLACE).validate(json.loads(arguments))


async def test_an_answer_goes_on_wherever_it_was_left(subject: Subject) -> None:
    request = held(PLACES)
    whole = ids_of(await answer(subject.engine, request))
    for said in range(1, len(whole), 5):
        rest = await answer(subject.engine, after(request, whole[:said]))
        assert ids_of(rest) == whole[said:]


async def test_by_chance_it_goes_on_within_its_grammar(subject: Subject) -> None:
    request = held(PLACES, BY_CHANCE)
    whole = ids_of(await answer(subject.engine, request))
    begun = whole[: len(whole) // 2]
    rest = ids_of(await answer(subject.engine, after(request, begun)))
    Draft202012Validator(PLACE).validate(json.loads(text_of([*begun, *rest])))


async def test_what_breaks_its_grammar_does_not_go_on(subject: Subject) -> None:
    begun = list(FORMAT.encode("Hello there"))
    with pytest.raises(EngineError):
        await answer(subject.engine, after(held(PLACES), begun))
    assert await subject.engine.ready()


async def test_a_faulty_grammar_is_refused(subject: Subject) -> None:
    request = msgspec.structs.replace(ask(3), grammar="start: (")
    with pytest.raises(EngineRefused):
        await answer(subject.engine, request)
    assert await subject.engine.ready()
