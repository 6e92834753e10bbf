"""What the engine port's tests ask of any engine, and how they get at one."""

import asyncio
import hashlib
import io
import os
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from conversation.entries import Sampling
from kosmosx_stream.cancelling import end
from kosmosx_stream.engines.checkpoint import Checkpoint
from kosmosx_stream.engines.port import Delta, Engine, Generate, ImageInput
from kosmosx_stream.settings import NANO_CHECKPOINT, Settings

NANO = Checkpoint.read(NANO_CHECKPOINT)
NOISE = Sampling(temperature=2.0, seed=1)

Factory = Callable[[Settings], AbstractAsyncContextManager[Engine]]


@dataclass(frozen=True)
class Subject:
    """An engine under test.

    `unending` makes answers go on until their budget is used, whatever the model says; `unfinished`
    counts the answers that the engine still holds memory for; it hears of changes within
    `hears_within_s`.
    """

    engine: Engine
    start: Factory
    unending: Callable[[pytest.MonkeyPatch], None]
    unfinished: Callable[[], int]
    hears_within_s: float = 0

    async def assert_unfinished(self, number: int) -> None:
        deadline = time.monotonic() + self.hears_within_s
        # Another process sets no events here.
        while self.unfinished() != number and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert self.unfinished() == number


def picture(seed: int) -> ImageInput:
    cells = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(cells).resize((112, 112), Image.Resampling.NEAREST).save(file, "PNG")
    return ImageInput(hashlib.sha256(file.getvalue()).hexdigest(), file.getvalue())


def ask(
    *parts: int | ImageInput,
    max_tokens: int = 12,
    sampling: Sampling | None = None,
    salt: str = "tenant",
    of: Checkpoint = NANO,
) -> Generate:
    """`<s>`, then so many words for a number, a pair for an image."""
    ids, images = [of.begin], []
    for part in parts:
        if isinstance(part, int):
            ids += [100 + (7 * len(ids) + word) % 200 for word in range(part)]
        else:
            ids += of.placeholder
            images.append(part)
    return Generate(
        request_id=os.urandom(8).hex(),
        prompt_ids=tuple(ids),
        images=tuple(images),
        sampling=sampling or Sampling(),
        max_tokens=max_tokens,
        cache_salt=salt,
    )


async def streamed(engine: Engine, request: Generate) -> AsyncGenerator[Delta, None]:
    """An answer for a reader who has no room for a second delta before he asks for it."""
    heard: asyncio.Queue[tuple[Delta, asyncio.Future[None]] | None] = asyncio.Queue()

    def deliver(delta: Delta) -> asyncio.Future[None]:
        room = asyncio.get_running_loop().create_future()
        heard.put_nowait((delta, room))
        return room

    generating = asyncio.create_task(engine.generate(request, deliver))
    generating.add_done_callback(lambda _: heard.put_nowait(None))
    try:
        while (said := await heard.get()) is not None:
            delta, room = said
            yield delta
            if not room.done():
                room.set_result(None)
        await generating
    finally:
        await end(generating)


async def all_deltas(engine: Engine, request: Generate) -> list[Delta]:
    """An answer for a reader who takes it as it comes."""
    deltas: list[Delta] = []
    await engine.generate(request, deltas.append)
    return deltas


async def answer(engine: Engine, request: Generate) -> list[Delta]:
    """The whole answer, which has to have the form that the port promises."""
    async with asyncio.timeout(60):
        deltas = await all_deltas(engine, request)
    assert_well_formed(deltas, request)
    return deltas


def assert_well_formed(deltas: Sequence[Delta], request: Generate) -> None:
    *before, last = deltas
    assert all(delta.token_ids and delta.finish_reason is None for delta in before)
    assert {delta.cached_tokens for delta in deltas} <= {0, last.cached_tokens}
    ids = ids_of(deltas)
    assert 0 < len(ids) <= request.max_tokens
    assert last.finish_reason in {"stop", "length"}
    if last.finish_reason == "stop":
        assert [token in NANO.ends for token in ids] == [False] * (len(ids) - 1) + [True]


def ids_of(deltas: Sequence[Delta]) -> list[int]:
    return [token for delta in deltas for token in delta.token_ids]
