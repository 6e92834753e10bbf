"""The deterministic engine: what the chaos tests rely on."""

from collections import Counter

import msgspec
import pytest

from kosmosx_stream.engines.deterministic import DeterministicEngine
from tests.kosmosx_stream.engines.conformance import answer, ask, ids_of, picture


@pytest.mark.parametrize("words", range(8))
async def test_a_continued_answer_is_the_undisturbed_one(
    deterministic_engine: DeterministicEngine, words: int
) -> None:
    request = ask(picture(1), words, max_tokens=60)
    whole = ids_of(await answer(deterministic_engine, request))
    for said in range(1, len(whole)):
        rest = msgspec.structs.replace(
            request,
            prompt_ids=(*request.prompt_ids, *whole[:said]),
            max_tokens=request.max_tokens - said,
        )
        assert ids_of(await answer(deterministic_engine, rest)) == whole[said:]


async def test_every_token_and_image_of_the_prompt_matters(
    deterministic_engine: DeterministicEngine,
) -> None:
    request = ask(picture(1), 12, max_tokens=8)
    ids = request.prompt_ids
    changed = [
        msgspec.structs.replace(request, prompt_ids=(*ids[:at], ids[at] + 1, *ids[at + 1 :]))
        for at in range(3, len(ids))
    ]
    swapped = msgspec.structs.replace(request, prompt_ids=(*ids[:-2], ids[-1], ids[-2]))
    other = msgspec.structs.replace(request, images=(picture(2),))
    answers = Counter(
        [
            tuple(ids_of(await answer(deterministic_engine, each)))
            for each in (request, *changed, swapped, other)
        ]
    )
    assert max(answers.values()) == 1
