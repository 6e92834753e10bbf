"""The vLLM engine against transformers' `generate`, on one random checkpoint, in one run.

    python -m benchmarks.engine [--rounds 3] [--minutes 10] [--json FILE]
        [--only equal unequal second twentieth seeing] [--at 1 8 32]
        [--width 384] [--layers 6] [--published]

Transformers runs with eager attention (its default makes Kosmos-2's image resampler causal), one
prompt at a time, and in batches of prompts of equal length, the only batches it gets right; a batch
goes on until its longest answer is done. Every prompt has an image and 64 words. The contenders
take turns on the same requests and every number is a median over the rounds: compare ratios, not
machines.

No round begins after `--minutes`: what was measured until then is printed. `--only` and `--at` pick
sections and numbers of requests, so that a short quiet time can be spent on what is missing.

The second table is what the prefix cache is worth: the time to the first token of a long second
turn, and of the twentieth turn of a conversation against its first, where each question is of words
(`twentieth`), or of a picture and words (`seeing`). What is new looks back at all of the past,
cached or not, which costs a narrow model more than its weights do: `--published --only twentieth
seeing` measures it at the published model's size, with 8 GB of memory, and `--asked` with longer
questions.
"""

import argparse
import asyncio
import hashlib
import io
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    Kosmos2ForConditionalGeneration,
    StoppingCriteria,
    StoppingCriteriaList,
)

from benchmarks.random_checkpoint import (
    LAYERS,
    WIDTH,
    published,
    small,
    write_random_checkpoint,
)
from conversation.entries import Sampling
from kosmosx_stream.engines.checkpoint import Checkpoint
from kosmosx_stream.engines.port import Delta, Engine, Generate, ImageInput
from kosmosx_stream.engines.supervisor import Supervisor
from kosmosx_stream.engines.vllm_local import VllmEngine
from kosmosx_stream.settings import Settings

WORDS = 64
EQUAL, SHORTEST, LONGEST = 64, 16, 256
SECOND_TURN = 1_500  # tokens of the prompt
CONVERSATION = 4_000  # tokens of twenty turns
TURNS = 20
ASKED = 50  # words of a question; the rest of a turn is its answer
QUESTIONS = 5  # asked at the same place of a conversation
SECTIONS = ("equal", "unequal", "second", "twentieth", "seeing")


class Run(msgspec.Struct, frozen=True):
    """What one contender needed for one load."""

    tokens_per_s: float
    first_token_ms: float  # mean over the requests, all of which came at once


Results = dict[str, Any]
Contender = Callable[[Sequence[Generate]], Awaitable[Run]]


def picture(seed: int) -> ImageInput:
    cells = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(cells).resize((224, 224), Image.Resampling.NEAREST).save(file, "PNG")
    return ImageInput(hashlib.sha256(file.getvalue()).hexdigest(), file.getvalue())


def tags_of_a_picture(checkpoint: Checkpoint) -> tuple[int, int]:
    """What a picture's place in a prompt begins and ends with."""
    assert checkpoint.placeholder is not None
    begin, end = checkpoint.placeholder
    return begin, end


class Requests:
    """Prompts that no one has seen before, so that no cache knows them."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._rng = random.Random(0)
        self._made = 0

    def words(self, count: int) -> tuple[int, ...]:
        return tuple(self._rng.randrange(200, 900) for _ in range(count))

    def ask(self, prompt: tuple[int, ...], tokens: int, images: Sequence[ImageInput]) -> Generate:
        self._made += 1
        return Generate(
            request_id=f"request-{self._made}",
            prompt_ids=(self._checkpoint.begin, *prompt),
            images=tuple(images),
            sampling=Sampling(),
            max_tokens=tokens,
            cache_salt="benchmark",
        )

    @property
    def image_tokens(self) -> int:
        """What a picture adds to a prompt, its tags aside."""
        return self._checkpoint.image_tokens

    def picture(self) -> ImageInput:
        return picture(self._rng.getrandbits(32))

    def after_a_picture(self, words: int) -> tuple[int, ...]:
        return (*tags_of_a_picture(self._checkpoint), *self.words(words))

    def question(self, words: int, *, pictures: bool) -> tuple[tuple[int, ...], list[ImageInput]]:
        """What a turn asks: words, or words about a picture."""
        if pictures:
            return self.after_a_picture(words), [self.picture()]
        return self.words(words), []

    def load(self, lengths: Sequence[int]) -> list[Generate]:
        return [
            self.ask(self.after_a_picture(WORDS), length, [self.picture()]) for length in lengths
        ]


class _Clock(StoppingCriteria):  # type: ignore[misc]
    """Notes when transformers had its first token; stops nothing."""

    def __init__(self) -> None:
        self.first: float | None = None

    def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        self.first = self.first or time.perf_counter()
        return torch.zeros(len(input_ids), dtype=torch.bool)


class Transformers:
    """The peer."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._model = Kosmos2ForConditionalGeneration.from_pretrained(
            checkpoint.folder, dtype=torch.bfloat16, attn_implementation="eager"
        ).eval()
        self._processor = AutoImageProcessor.from_pretrained(checkpoint.folder, backend="pil")

    async def sequential(self, requests: Sequence[Generate]) -> Run:
        return await asyncio.to_thread(self._run, [[request] for request in requests])

    async def batched(self, requests: Sequence[Generate]) -> Run:
        return await asyncio.to_thread(self._run, [requests])

    def _run(self, batches: Sequence[Sequence[Generate]]) -> Run:
        start = time.perf_counter()
        waits = []
        for batch in batches:
            waits += [self._generate(batch) - start] * len(batch)
        seconds = time.perf_counter() - start
        tokens = sum(request.max_tokens for batch in batches for request in batch)
        return Run(tokens / seconds, 1000 * statistics.mean(waits))

    @torch.no_grad()
    def _generate(self, batch: Sequence[Generate]) -> float:
        """Answer a batch of equal prompt lengths; returns when its first tokens were there."""
        begin, end = tags_of_a_picture(self._checkpoint)
        latents = self._checkpoint.image_tokens
        rows, masks = [], []
        for request in batch:
            first, opening, closing, *words = request.prompt_ids
            assert (opening, closing) == (begin, end)
            rows.append([first, begin, *[begin] * latents, end, *words])
            masks.append([False] * 2 + [True] * latents + [False] * (1 + len(words)))
        pictures = [Image.open(io.BytesIO(each.data)) for r in batch for each in r.images]
        pixels = self._processor(images=pictures, return_tensors="pt")["pixel_values"]
        clock = _Clock()
        self._model.generate(
            input_ids=torch.tensor(rows),
            attention_mask=torch.ones(len(rows), len(rows[0]), dtype=torch.long),
            pixel_values=pixels.to(torch.bfloat16),
            image_embeds_position_mask=torch.tensor(masks),
            do_sample=False,
            max_new_tokens=max(request.max_tokens for request in batch),
            stopping_criteria=StoppingCriteriaList([clock]),
        )
        assert clock.first is not None
        return clock.first


class Ours:
    """The engine as the server runs it, in its own process behind the supervisor."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def run(self, requests: Sequence[Generate]) -> Run:
        start = time.perf_counter()
        waits = await asyncio.gather(*(self._answer(request) for request in requests))
        seconds = time.perf_counter() - start
        tokens = sum(request.max_tokens for request in requests)
        return Run(tokens / seconds, 1000 * (statistics.mean(waits) - start))

    async def first_token_ms(self, request: Generate) -> float:
        start = time.perf_counter()
        return 1000 * (await self._answer(request) - start)

    async def _answer(self, request: Generate) -> float:
        """Take the whole answer; returns when its first token was there."""
        first: float | None = None
        tokens = 0

        def deliver(delta: Delta) -> None:
            nonlocal first, tokens
            first = first or time.perf_counter()
            tokens += len(delta.token_ids)

        await self._engine.generate(request, deliver)
        assert first is not None
        assert tokens == request.max_tokens
        return first


class Bounds(msgspec.Struct, frozen=True):
    """How much is measured."""

    rounds: int
    ends: float  # on the performance counter

    def __iter__(self) -> Iterator[int]:
        """Round by round while there is time."""
        return (i for i in range(self.rounds) if time.perf_counter() < self.ends)


async def loads(
    kind: str,
    counts: Sequence[int],
    contenders: dict[str, Contender],
    requests: Requests,
    bounds: Bounds,
) -> Results:
    """Print tokens a second and milliseconds to the first token, and the ratios."""
    rng = random.Random(1)
    results: Results = {}
    for count in counts:
        runs: dict[str, list[Run]] = {name: [] for name in contenders}
        for _ in bounds:
            unequal = [rng.randint(SHORTEST, LONGEST) for _ in range(count)]
            load = requests.load([EQUAL] * count if kind == "equal" else unequal)
            for name, contender in contenders.items():
                runs[name].append(await contender(load))
        if all(runs.values()):
            results |= _load(f"{count} x {kind}", runs)
    return results


def _load(label: str, runs: dict[str, list[Run]]) -> Results:
    medians = {
        name: Run(
            statistics.median(run.tokens_per_s for run in some),
            statistics.median(run.first_token_ms for run in some),
        )
        for name, some in runs.items()
    }
    ours, *peers = medians
    results: Results = {"rounds": len(runs[ours])}
    for name, run in medians.items():
        print(f"{label:12} {name:24} {run.tokens_per_s:7.0f} tok/s {run.first_token_ms:8.0f} ms")
    for peer in peers:
        speed = medians[ours].tokens_per_s / medians[peer].tokens_per_s
        wait = medians[peer].first_token_ms / medians[ours].first_token_ms
        print(f"{label:12} against {peer}: {speed:.2f} x tokens/s, first token {wait:.2f} x sooner")
        results[f"against {peer}"] = {"tokens_per_s": speed, "first_token": wait}
    return {label: results | {name: msgspec.to_builtins(run) for name, run in medians.items()}}


async def second_turn(ours: Ours, requests: Requests, bounds: Bounds) -> Results:
    """A prompt of which all but the last words were said before, against one all new."""
    cached, fresh = [], []
    for _ in bounds:
        past = requests.words(SECOND_TURN - 50)
        await ours.first_token_ms(requests.ask(past, 1, []))
        new = requests.words(50)
        cached.append(await ours.first_token_ms(requests.ask((*past, *new), 8, [])))
        other = requests.ask(requests.words(SECOND_TURN), 8, [])
        fresh.append(await ours.first_token_ms(other))
    if not cached:
        return {}
    old, new_ms = statistics.median(cached), statistics.median(fresh)
    print(
        f"second turn of {SECOND_TURN} tokens: first token after {old:.0f} ms, without the cache "
        f"{new_ms:.0f} ms: {new_ms / old:.1f} x sooner"
    )
    return {"second turn": {"cached_ms": old, "uncached_ms": new_ms, "ratio": new_ms / old}}


class Talk(msgspec.Struct, frozen=True):
    """Milliseconds to the first tokens of answers to a conversation's first and last questions."""

    first: list[float]
    last: list[float]


async def conversation(
    ours: Ours, requests: Requests, asked: int, *, pictures: bool = False
) -> Talk:
    """Turn 1 and turn 20 are asked again and again, each time something else of `asked` words.

    A turn begins with all that was asked and answered before, and maybe a picture; its answer is
    the rest of its tokens, read into the cache in one go as if it had been generated.
    """
    past: tuple[int, ...] = ()
    images: list[ImageInput] = []

    async def waits() -> list[float]:
        measured = []
        for _ in range(QUESTIONS):
            question, seen = requests.question(asked, pictures=pictures)
            asking = requests.ask((*past, *question), 4, [*images, *seen])
            measured.append(await ours.first_token_ms(asking))
        return measured

    first = await waits()
    for turn in range(1, TURNS):
        question, seen = requests.question(asked, pictures=pictures)
        images += seen
        past += question
        said = len(past) + len(images) * requests.image_tokens
        past += requests.words(CONVERSATION // TURNS * turn - said)
        await ours.first_token_ms(requests.ask(past, 1, images))
    return Talk(first, await waits())


async def twentieth_turn(of: str, talk: Callable[[], Awaitable[Talk]], bounds: Bounds) -> Results:
    """The same new input at the start of a conversation and after nineteen turns."""
    talks = [await talk() for _ in bounds]
    if not talks:
        return {}
    one = statistics.median(wait for each in talks for wait in each.first)
    twenty = statistics.median(wait for each in talks for wait in each.last)
    what = f"turn {TURNS} of {CONVERSATION} tokens, questions of {of}"
    print(f"{what}: first token after {twenty:.0f} ms, turn 1 {one:.0f} ms: {twenty / one:.2f} x")
    return {what: {"ms": twenty, "turn_1_ms": one, "ratio": twenty / one}}


async def main() -> None:
    """Build the checkpoint, start both engines, print both tables."""
    parser = argparse.ArgumentParser(description="vLLM engine against transformers.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=60, help="no round begins later")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="sections")
    parser.add_argument("--at", nargs="+", type=int, default=(1, 8, 32), help="requests at once")
    parser.add_argument("--asked", type=int, default=ASKED, help="words of a turn's question")
    parser.add_argument("--width", type=int, default=WIDTH, help="of the model")
    parser.add_argument("--layers", type=int, default=LAYERS, help="of the model")
    parser.add_argument("--published", action="store_true", help="the published model's size")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    results: Results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = published() if given.published else small(given.width, given.layers)
        weights = write_random_checkpoint(folder, config)
        print(f"{weights / 1e6:.1f} million weights, bfloat16, {torch.get_num_threads()} threads")
        checkpoint = Checkpoint.read(folder)
        requests = Requests(checkpoint)
        settings = Settings(model=folder, data_dir=folder)
        async with Supervisor.running(partial(VllmEngine.running, settings)) as engine:
            ours = Ours(engine)
            contenders: dict[str, Contender] = {"vLLM": ours.run}
            if {"equal", "unequal"} & {*given.only}:
                peer = Transformers(checkpoint)
                contenders["transformers"] = peer.sequential
                contenders["transformers, batched"] = peer.batched
            for contender in contenders.values():
                await contender(requests.load([8, 8]))
            bounds = Bounds(given.rounds, time.perf_counter() + 60 * given.minutes)
            for section in given.only:
                match section:
                    case "second":
                        results |= await second_turn(ours, requests, bounds)
                    case "twentieth":
                        talk = partial(conversation, ours, requests, given.asked)
                        results |= await twentieth_turn("words", talk, bounds)
                    case "seeing":
                        talk = partial(conversation, ours, requests, given.asked, pictures=True)
                        results |= await twentieth_turn("a picture and words", talk, bounds)
                    case _:
                        results |= await loads(section, given.at, contenders, requests, bounds)
    if given.json:
        given.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
