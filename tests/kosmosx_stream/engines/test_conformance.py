"""The engine port, on every adapter. What the model says is not looked at."""

import asyncio
import contextlib
import contextvars
from pathlib import Path

import msgspec
import pytest

from conversation.entries import Sampling
from kosmosx_stream.engines.port import (
    Delta,
    EngineDead,
    EngineError,
    EngineRefused,
    Generate,
    ImageInput,
)
from kosmosx_stream.settings import Settings
from tests.kosmosx_stream.engines.conformance import (
    NANO,
    NOISE,
    Subject,
    answer,
    ask,
    ids_of,
    picture,
    streamed,
)

pytestmark = pytest.mark.filterwarnings("default")  # torch's and vLLM's own deprecations


@pytest.mark.usefixtures("unending")
async def test_an_answer_comes_in_pieces(subject: Subject) -> None:
    deltas = await answer(subject.engine, ask(picture(1), 20, max_tokens=40, sampling=NOISE))
    assert len(deltas) > 1


@pytest.mark.usefixtures("unending")
@pytest.mark.parametrize("max_tokens", [1, 2, 7])
async def test_the_budget_ends_an_answer(subject: Subject, max_tokens: int) -> None:
    deltas = await answer(subject.engine, ask(5, max_tokens=max_tokens, sampling=NOISE))
    assert (len(ids_of(deltas)), deltas[-1].finish_reason) == (max_tokens, "length")


@pytest.mark.usefixtures("unending")
@pytest.mark.parametrize("images", [0, 2])
async def test_the_window_ends_an_answer_where_count_says(subject: Subject, images: int) -> None:
    engine = subject.engine
    pictures = [picture(seed) for seed in range(images)]
    beside = engine.count(ask(*pictures).prompt_ids, images)
    assert beside == 1 + images * (2 + engine.image_tokens)
    request = ask(*pictures, engine.max_model_len - beside - 5, max_tokens=50, sampling=NOISE)
    assert engine.count(request.prompt_ids, images) == engine.max_model_len - 5
    deltas = await answer(engine, request)
    assert (len(ids_of(deltas)), deltas[-1].finish_reason) == (5, "length")


async def test_the_end_token_is_the_last_id_of_an_answer_that_stops(subject: Subject) -> None:
    for seed in range(20):
        sampling = Sampling(temperature=1.5, seed=seed)
        deltas = await answer(subject.engine, ask(6, max_tokens=400, sampling=sampling))
        if deltas[-1].finish_reason == "stop":
            assert ids_of(deltas)[-1] in NANO.ends
            return
    pytest.fail("no answer stopped by itself")


@pytest.mark.parametrize("sampling", [Sampling(), NOISE])
async def test_the_same_request_has_the_same_answer(subject: Subject, sampling: Sampling) -> None:
    request = ask(9, max_tokens=20, sampling=sampling)
    again = msgspec.structs.replace(request, request_id="again")
    first, second = await answer(subject.engine, request), await answer(subject.engine, again)
    assert ids_of(first) == ids_of(second)


@pytest.mark.usefixtures("unending")
@pytest.mark.parametrize("seeds", [(1, 2), (None, None)])
async def test_chance_draws_other_answers(
    subject: Subject, seeds: tuple[int | None, int | None]
) -> None:
    noises = [Sampling(temperature=2, seed=seed) for seed in seeds]
    requests = [ask(9, max_tokens=20, sampling=noise) for noise in noises]
    first, second = [await answer(subject.engine, request) for request in requests]
    assert ids_of(first) != ids_of(second)


async def test_the_smallest_top_p_is_greedy(subject: Subject) -> None:
    first = await answer(subject.engine, ask(9, max_tokens=20))
    narrow = Sampling(temperature=1, top_p=1e-6, seed=1)
    second = await answer(subject.engine, ask(9, max_tokens=20, sampling=narrow))
    assert ids_of(first) == ids_of(second)


@pytest.mark.usefixtures("unending")
async def test_two_at_once_take_turns(subject: Subject) -> None:
    heard: list[int] = []

    async def read(reader: int) -> None:
        async for delta in streamed(subject.engine, ask(5, max_tokens=200, sampling=NOISE)):
            heard.extend([reader] * len(delta.token_ids))

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(read(1))
        tasks.create_task(read(2))
    assert (heard.count(1), heard.count(2)) == (200, 200)
    for reader in (1, 2):
        first, last = heard.index(reader), len(heard) - 1 - heard[::-1].index(reader)
        assert 3 - reader in heard[first:last]


async def test_many_at_once_with_and_without_images(subject: Subject) -> None:
    requests = [ask(3 + n, *[picture(n)] * (n % 3), 5) for n in range(12)]
    await asyncio.gather(*(answer(subject.engine, request) for request in requests))
    assert await subject.engine.ready()


@pytest.mark.usefixtures("unending")
async def test_closing_the_generator_frees_the_answer(subject: Subject) -> None:
    engine = subject.engine
    requests = [ask(picture(n), 5 + n, max_tokens=1500, sampling=NOISE) for n in range(4)]
    streams = [streamed(engine, request) for request in requests]
    for stream in streams:
        await anext(stream)
    await subject.assert_unfinished(4)
    for stream in streams:
        await stream.aclose()
    await subject.assert_unfinished(0)
    assert await engine.ready()


@pytest.mark.usefixtures("unending")
async def test_cancelling_the_reader_frees_the_answer(subject: Subject) -> None:
    heard = asyncio.Event()

    async def read() -> None:
        stream = streamed(subject.engine, ask(5, max_tokens=1500, sampling=NOISE))
        async with contextlib.aclosing(stream):
            async for _ in stream:
                heard.set()

    reader = asyncio.create_task(read())
    async with asyncio.timeout(10):
        await heard.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    del reader
    assert await subject.engine.ready()  # The step that was being computed is over.
    await subject.assert_unfinished(0)


@pytest.mark.usefixtures("unending")
async def test_an_error_of_a_reader_ends_his_answer_and_no_other(subject: Subject) -> None:
    def deliver(_delta: Delta) -> None:
        raise LookupError("not this one")

    other = asyncio.create_task(answer(subject.engine, ask(5, max_tokens=50, sampling=NOISE)))
    async with asyncio.timeout(60):
        with pytest.raises(LookupError, match="not this one"):
            await subject.engine.generate(ask(6, max_tokens=1500, sampling=NOISE), deliver)
    assert len(ids_of(await other)) == 50
    await subject.assert_unfinished(0)


async def test_each_reader_is_in_his_own_context(subject: Subject) -> None:
    """What is logged of an answer belongs to its trace."""
    whose = contextvars.ContextVar[int]("whose")

    async def read(reader: int) -> set[int]:
        whose.set(reader)
        heard: set[int] = set()
        request = ask(reader, max_tokens=20, sampling=NOISE)
        await subject.engine.generate(request, lambda _: heard.add(whose.get()))
        return heard

    async with asyncio.timeout(60):
        assert await asyncio.gather(*map(read, (3, 4, 5))) == [{3}, {4}, {5}]


def changed(request: Generate, **fields: object) -> Generate:
    return msgspec.structs.replace(request, **fields)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (changed(ask(picture(1), 3), images=()), "1 placeholders for 0 images"),
        (changed(ask(3), images=(picture(1),)), "0 placeholders for 1 images"),
        (ask(NANO.max_model_len), "the model takes"),
        (ask(picture(1), NANO.max_model_len - NANO.image_tokens - 3), "the model takes"),
        (changed(ask(), prompt_ids=()), "the prompt has 0 tokens"),
        (changed(ask(), prompt_ids=(0, 99_999)), "99999"),
        (ask(ImageInput("0" * 64, b"no image")), "image"),
        (ask(ImageInput("1" * 64, picture(1).data[:60])), "image"),
    ],
)
async def test_bad_input_is_refused_with_a_reason(
    subject: Subject, request_: Generate, reason: str
) -> None:
    with pytest.raises(EngineRefused, match=reason):
        await answer(subject.engine, request_)
    assert await subject.engine.ready()


# Another vLLM for this alone costs ten seconds.
STARTED_SLOWLY = [pytest.param(each, marks=pytest.mark.slow) for each in ("vllm", "remote")]
STARTED = [*STARTED_SLOWLY, "transformers", "deterministic", "hosted"]


@pytest.mark.parametrize("subject", STARTED, indirect=True, scope="session")
@pytest.mark.usefixtures("unending")
async def test_a_closed_engine_says_so(subject: Subject, tmp_path: Path) -> None:
    async with subject.start(Settings(data_dir=tmp_path, max_model_len=64)) as engine:
        assert engine.max_model_len == 64
        assert await engine.ready()
        live = streamed(engine, ask(5, max_tokens=50, sampling=NOISE))
        await anext(live)
    assert not await engine.ready()
    with pytest.raises(EngineDead):
        await answer(engine, ask(5))
    with pytest.raises(EngineError):
        async for _ in live:
            pass
