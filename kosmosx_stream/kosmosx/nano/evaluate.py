"""Measures a checkpoint on scenes, names and phrasings it never saw, and prints the table.

    python -m kosmosx_stream.kosmosx.nano.evaluate [--checkpoint FOLDER] [--scenes 1000]
        [--only captions,questions] [--engine transformers]

Greedy, in float32, through vLLM, which gives the same tokens as stock transformers and takes a
tenth of the time. `--scenes 200` takes a fifth of it; the rows say of how many each share is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from kosmosx_stream.kosmosx.nano import CHECKPOINT, questions, relations
from kosmosx_stream.kosmosx.nano.answers import Moment
from kosmosx_stream.kosmosx.nano.backgrounds import sample_background
from kosmosx_stream.kosmosx.nano.chat import Chat, Nano
from kosmosx_stream.kosmosx.nano.conversing import Conversing
from kosmosx_stream.kosmosx.nano.dialogues import answer_ids
from kosmosx_stream.kosmosx.nano.drawing import draw
from kosmosx_stream.kosmosx.nano.held_out import ASKED
from kosmosx_stream.kosmosx.nano.other_drawing import (
    by_jpeg,
    by_opencv,
    on_a_photo,
    outlined,
    pure,
    softly,
)
from kosmosx_stream.kosmosx.nano.questions import ASKING, NOTHING, Asked, Task
from kosmosx_stream.kosmosx.nano.sampling import sample_scene
from kosmosx_stream.kosmosx.nano.scenes import Scene
from kosmosx_stream.kosmosx.nano.scoring import (
    SEED,
    Row,
    agrees,
    best_ious,
    form,
    matched_ious,
    names_all,
    percent,
    verdict,
)
from kosmosx_stream.kosmosx.nano.served_chat import ServedNano

Rng = np.random.Generator


def is_clear(scene: Scene) -> bool:
    """Whether the shapes are filled, and the ground is no photo's and not scribbled on."""
    lined = any(shape.finish in ("hollow", "dashed") for shape in scene.shapes)
    return not lined and scene.background.style not in ("photo", "doodles")


def scenes_of(count: int, *, clear: bool) -> list[Scene]:
    """Held-out scenes, with one to eight shapes in turn that overlap as in training."""
    rng = np.random.default_rng(SEED)

    def drawn(shapes: int) -> Iterator[Scene]:
        while True:
            yield sample_scene(rng, shapes)

    return [
        next(scene for scene in drawn(1 + i % 8) if is_clear(scene) or not clear)
        for i in range(count)
    ]


def upload(scene: Scene, rng: Rng) -> Image.Image:
    """The picture as a user would send it: 224 to 512 pixels, soft or hard edges."""
    smooth = bool(rng.random() < 0.5)
    return draw(scene, int(rng.integers(224, 513)), smooth=smooth)


class Evaluation:
    """Runs the measurements; each yields rows of the table."""

    def __init__(self, nano: Nano, scenes: int) -> None:
        self.nano = nano
        few = max(1, scenes // 4)
        self.scenes = scenes_of(scenes, clear=True)
        self.any_scenes = scenes_of(scenes, clear=False)
        self.some, self.some_of_any = self.scenes[:few], self.any_scenes[:few]

    def _captions(
        self,
        pictures: Sequence[Image.Image],
        question: str = "Describe the picture.",
        *,
        grounded: bool = True,
    ) -> list[str]:
        chats = []
        for picture in pictures:
            chats.append(self.nano.chat())
            chats[-1].user(question, picture, grounded=grounded)
        return [self.nano.text(ids) for ids in self.nano.answer(chats, 320)]

    def _all_named(
        self, scenes: Sequence[Scene], pictures: Sequence[Image.Image], **asked: Any
    ) -> list[bool]:
        """Whether the captions name exactly what is there."""
        texts = self._captions(pictures, **asked)
        return [names_all(text, scene) for text, scene in zip(texts, scenes, strict=True)]

    def captions(self) -> Iterator[Row]:
        """Are all shapes named, and how good are the boxes?"""
        rng = np.random.default_rng(SEED)
        texts = self._captions([upload(scene, rng) for scene in self.scenes])
        told = [*zip(texts, self.scenes, strict=True)]
        right = {
            shapes: [names_all(t, s) for t, s in told if len(s.shapes) == shapes]
            for shapes in range(1, 9)
        }
        hits = [*chain.from_iterable(right.values())]
        yield "every shape named with its colour, 1 to 8 shapes", percent(hits), "98"
        yield "- up to 3 shapes", percent(right[1] + right[2] + right[3]), "99.5"
        for shapes, part in right.items():
            yield f"- {shapes} shape{'s' if shapes > 1 else ''}", percent(part), ""
        found = [iou for text, scene in told for iou in matched_ious(text, scene)]
        ceiling = np.mean([iou for scene in self.scenes for iou in best_ious(scene)])
        value = f"{np.mean(found):.3f}  ({len(found)})"
        yield "mean IoU of boxes with the right name", value, f"{ceiling - 0.015:.3f}"
        yield "- the best that the 32x32 grid allows", f"{ceiling:.3f}", ""
        pictures = [upload(scene, rng) for scene in self.some]
        hits = self._all_named(self.some, pictures, question="What do you see?", grounded=False)
        yield "every shape named: without boxes", percent(hits), "98"
        hits = self._all_named(self.any_scenes, [upload(scene, rng) for scene in self.any_scenes])
        yield "every shape named: any ground, filled or by lines", percent(hits), "92"

    def otherwise_drawn(self) -> Iterator[Row]:
        """Captions of pictures that were drawn by other means than those of training."""
        rng = np.random.default_rng(SEED + 2)
        photos = [on_a_photo(scene, SEED + i) for i, scene in enumerate(self.some_of_any)]
        plain = [pure(scene, rng) for scene in self.some_of_any]
        kinds: dict[str, tuple[Sequence[Scene], Callable[[Scene, int], Image.Image]]] = {
            "by OpenCV, its anti-aliasing": (self.some_of_any, by_opencv),
            "scaled down by Lanczos' filter": (self.some_of_any, softly),
            "JPEG of quality 35": (self.some_of_any, by_jpeg),
            "before the build of a photo": (photos, draw),
            "pure named colours on white": (plain, draw),
            "by thin lines alone": (plain, outlined),
        }
        for label, (scenes, means) in kinds.items():
            pictures = [means(scene, int(rng.integers(224, 513))) for scene in scenes]
            hits = self._all_named(scenes, pictures)
            yield f"every shape named: {label}", percent(hits), "92"

    def nothing(self) -> Iterator[Row]:
        """Pictures that hold no shape: does it say so?"""
        rng = np.random.default_rng(SEED + 3)
        scenes = [Scene(sample_background(rng, shapes=False), ()) for _ in self.some]
        texts = self._captions([upload(scene, rng) for scene in scenes], grounded=False)
        yield "says so when it knows nothing", percent([t == NOTHING[0] for t in texts]), ""

    def questions(self) -> Iterator[Row]:
        """Single questions about a fresh picture; half with boxes, half without."""
        for label, bar, task in _tasks():
            yield label, percent(self._ask(task, self.scenes[::2])), bar
        hits = [hit for _, _, task in _tasks() for hit in self._ask(task, self.some_of_any[::2])]
        yield "all of these: any ground, filled or by lines", percent(hits), ""

    def phrasings(self) -> Iterator[Row]:
        """The same kinds of question, in words that no pattern has."""
        hits = []
        with _asked_differently():
            for _, _, task in _tasks():
                hits += self._ask(task, self.some[::2])
        yield "questions about pictures, new phrasings", percent(hits), "90"

    def follow_ups(self) -> Iterator[Row]:
        """Questions that only make sense after another one about the same picture."""
        rng = np.random.default_rng(SEED + 4)
        chats, wanted = [], []
        for i, scene in enumerate(self.scenes[::2]):
            at = Moment(scene, rng, grounded=i % 2 == 0)
            drawn = ((relations.ask(at, None), at) for _ in range(40))
            pairs = ((first, relations.follow_up(at, first)) for first, at in drawn)
            first, then = next((pair for pair in pairs if pair[1] is not None), (None, None))
            if first is None or then is None:
                continue
            chat = self.nano.chat()
            chat.user(first.question, upload(scene, rng), grounded=at.grounded)
            chat.assistant(answer_ids(first.answer, self.nano.codec, grounded=at.grounded))
            chat.user(then.question, grounded=at.grounded)
            chats.append(chat)
            wanted.append(verdict(then.answer))
        yield "follow-ups: where is it? and the star?", percent(self._ends(chats, wanted)), "97"

    def _ask(self, task: Task, scenes: Sequence[Scene]) -> list[bool]:
        rng = np.random.default_rng(SEED + 1)
        chats, wanted = [], []
        for i, scene in enumerate(scenes):
            at = Moment(scene, rng, grounded=i % 2 == 0)
            asked = next((asked for _ in range(12) if (asked := task(at))), None)
            if asked is None:
                continue
            chats.append(self.nano.chat())
            chats[-1].user(asked.question, upload(scene, rng), grounded=at.grounded)
            wanted.append(verdict(asked.answer))
        return self._ends(chats, wanted)

    def _ends(self, chats: list[Chat], wanted: list[str]) -> list[bool]:
        """Whether each answer comes to what is wanted."""
        answers = [self.nano.plain(ids) for ids in self.nano.answer(chats, 400)]
        return [agrees(text, end) for text, end in zip(answers, wanted, strict=True)]

    def conversing(self) -> Iterator[Row]:
        return Conversing(self.nano, self.scenes).rows()


def _tasks() -> Iterator[tuple[str, str, Task]]:
    """What is asked, the bar, and how."""

    def filtered(kind: str) -> Task:
        def task(at: Moment) -> Asked | None:
            asked = questions.count(at)
            return asked if form(asked.question) == kind else None

        return task

    yield "count: all shapes", "97", questions.count_all
    yield "count: by colour", "97", filtered("colour")
    yield "count: by shape", "97", filtered("kind")
    yield "count: by colour and shape", "97", filtered("both")
    yield "colour of a shape", "", questions.colour
    yield "which shape has a colour", "", questions.which
    yield "where is ...? (words)", "", questions.locate
    yield "is there a ...? (yes or no)", "95", questions.exists
    yield "what is left of, above ...?", "95", relations.beside
    yield "is X left of Y? (yes or no) which is higher?", "95", relations.compare
    yield "biggest, leftmost ...", "95", relations.extreme
    yield "what is at the top left?", "", relations.at_place


@contextmanager
def _asked_differently() -> Iterator[None]:
    """Puts the held-out phrasings in the place of the patterns."""
    kept = dict(ASKING)
    ASKING.update({name: list(ASKED.get(name, patterns)) for name, patterns in kept.items()})
    try:
        yield
    finally:
        ASKING.update(kept)


def main() -> None:
    """Print the table as Markdown, row by row."""
    parser = argparse.ArgumentParser(description="Evaluate kosmos-x-nano.")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parts = "captions,otherwise_drawn,nothing,questions,follow_ups,phrasings,conversing"
    parser.add_argument("--only", default=parts, help=f"of {parts}")
    parser.add_argument("--engine", choices=("vllm", "transformers"), default="vllm")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    make = ServedNano if given.engine == "vllm" else Nano
    evaluation = Evaluation(make(given.checkpoint), given.scenes)
    print("| measure | result (of) | bar |\n|---|---|---|", flush=True)
    for part in given.only.split(","):
        for label, value, bar in getattr(evaluation, part)():
            print(f"| {label} | {value} | {bar} |", flush=True)


if __name__ == "__main__":
    main()
