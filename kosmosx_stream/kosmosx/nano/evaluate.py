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
from pathlib import Path

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
    expected,
    form,
    matched_ious,
    named,
    percent,
    verdict,
)
from kosmosx_stream.kosmosx.nano.served_chat import ServedNano

Rng = np.random.Generator


def scenes_of(count: int, shapes: Sequence[int] = range(1, 9)) -> list[Scene]:
    """The held-out scenes, with so many shapes in turn; they overlap as in training."""
    rng = np.random.default_rng(SEED)
    return [sample_scene(rng, shapes[i % len(shapes)]) for i in range(count)]


def upload(scene: Scene, rng: Rng) -> Image.Image:
    """The picture as a user would send it: 224 to 512 pixels, soft or hard edges."""
    smooth = bool(rng.random() < 0.5)
    return draw(scene, int(rng.integers(224, 513)), smooth=smooth)


class Evaluation:
    """Runs the measurements; each yields rows of the table."""

    def __init__(self, nano: Nano, scenes: int) -> None:
        self.nano = nano
        self.scenes = scenes_of(scenes)
        self.some = self.scenes[: max(1, scenes // 4)]

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

    def captions(self) -> Iterator[Row]:
        """Are all shapes named, and how good are the boxes?"""
        rng = np.random.default_rng(SEED)
        texts = self._captions([upload(scene, rng) for scene in self.scenes])
        right = [named(t) == expected(s) for t, s in zip(texts, self.scenes, strict=True)]
        yield "every shape named with its colour, 1 to 8 shapes", percent(right), "98"
        sizes = [len(scene.shapes) for scene in self.scenes]
        few = [ok for ok, size in zip(right, sizes, strict=True) if size <= 3]
        yield "- up to 3 shapes", percent(few), "99.5"
        for wanted in range(1, 9):
            part = [ok for ok, size in zip(right, sizes, strict=True) if size == wanted]
            yield f"- {wanted} shape{'s' if wanted > 1 else ''}", percent(part), ""
        found = [v for t, s in zip(texts, self.scenes, strict=True) for v in matched_ious(t, s)]
        ceiling = np.mean([v for scene in self.scenes for v in best_ious(scene)])
        value = f"{np.mean(found):.3f}  ({len(found)})"
        yield "mean IoU of boxes with the right name", value, f"{ceiling - 0.015:.3f}"
        yield "- the best that the 32x32 grid allows", f"{ceiling:.3f}", ""
        texts = self._captions(
            [upload(scene, rng) for scene in self.some], "What do you see?", grounded=False
        )
        right = [named(t) == expected(s) for t, s in zip(texts, self.some, strict=True)]
        yield "every shape named: without boxes", percent(right), "98"

    def otherwise_drawn(self) -> Iterator[Row]:
        """Captions of pictures that were drawn by other means than those of training."""
        rng = np.random.default_rng(SEED + 2)
        photos = [on_a_photo(scene, SEED + i) for i, scene in enumerate(self.some)]
        plain = [pure(scene, rng) for scene in self.some]
        kinds: dict[str, tuple[Sequence[Scene], Callable[[Scene, int], Image.Image]]] = {
            "by OpenCV, its anti-aliasing": (self.some, by_opencv),
            "scaled down by Lanczos' filter": (self.some, softly),
            "JPEG of quality 35": (self.some, by_jpeg),
            "before the build of a photo": (photos, draw),
            "pure named colours on white": (plain, draw),
            "by thin lines alone": (plain, outlined),
        }
        for label, (scenes, means) in kinds.items():
            texts = self._captions([means(scene, int(rng.integers(224, 513))) for scene in scenes])
            right = [named(t) == expected(s) for t, s in zip(texts, scenes, strict=True)]
            yield f"every shape named: {label}", percent(right), "92"

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
