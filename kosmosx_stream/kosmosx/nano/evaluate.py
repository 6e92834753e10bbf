"""Measures a checkpoint on scenes, names and phrasings it never saw, and prints the table.

    python -m kosmosx_stream.kosmosx.nano.evaluate [--checkpoint FOLDER] [--scenes 300]

Everything runs through stock transformers, greedy, in float32.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageColor
from transformers.models.kosmos2.processing_kosmos2 import (
    extract_entities_with_patch_indices,
    patch_index_to_coordinate,
)

from kosmosx_stream.kosmosx.nano import CHECKPOINT
from kosmosx_stream.kosmosx.nano.answers import Answer, Moment
from kosmosx_stream.kosmosx.nano.chat import Chat, Nano
from kosmosx_stream.kosmosx.nano.dialogues import answer_ids, plain
from kosmosx_stream.kosmosx.nano.held_out import NAMES, PHRASINGS, TELLINGS
from kosmosx_stream.kosmosx.nano.questions import (
    Asked,
    Task,
    colour,
    count,
    count_all,
    exists,
    locate,
    which,
)
from kosmosx_stream.kosmosx.nano.relations import ask, at_place, beside, compare, extreme
from kosmosx_stream.kosmosx.nano.scenes import COLOURS, Background, Scene, draw, sample_scene
from kosmosx_stream.kosmosx.nano.smalltalk import recall, talk

SEED = 20_000_003  # far from any training seed
PURE = tuple(name for name in COLOURS if name != "white")  # also PIL's names
Rng = np.random.Generator
Box = tuple[float, float, float, float]
Row = tuple[str, str]


def scenes_of(count: int, shapes: Sequence[int] = range(1, 6)) -> list[Scene]:
    """The held-out scenes, with so many shapes in turn."""
    rng = np.random.default_rng(SEED)
    return [sample_scene(rng, shapes[i % len(shapes)]) for i in range(count)]


def upload(scene: Scene, rng: Rng, *, smooth: bool | None = None) -> Image.Image:
    """The picture as a user would send it: 224 to 512 pixels, soft or hard edges."""
    soft = bool(rng.random() < 0.5) if smooth is None else smooth
    return draw(scene, int(rng.integers(224, 513)), smooth=soft)


def iou(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def named(text: str) -> Counter[str]:
    """The "colour kind" pairs a caption names."""
    words = re.findall(r"\b(?:an?|another) ([a-z]+ [a-z]+)", re.sub(r"<[^>]*>", "", text))
    return Counter(words)


def expected(scene: Scene) -> Counter[str]:
    return Counter(f"{shape.colour} {shape.kind}" for shape in scene.shapes)


def matched_ious(text: str, scene: Scene) -> Iterator[float]:
    """IoU of each box whose phrase names a shape of the scene."""
    left = list(scene.shapes)
    for phrase, _, boxes in extract_entities_with_patch_indices(text):
        name = " ".join(phrase.split()[1:])
        fits = [shape for shape in left if f"{shape.colour} {shape.kind}" == name]
        if not fits:
            continue
        box = patch_index_to_coordinate(*boxes[0], 32)
        best = max(fits, key=lambda shape: iou(box, shape.box))
        left.remove(best)
        yield iou(box, best.box)


def percent(hits: list[bool]) -> str:
    return f"{100 * sum(hits) / max(1, len(hits)):.1f} %  ({len(hits)})"


class Evaluation:
    """Runs the measurements; each yields rows of the table."""

    def __init__(self, nano: Nano, scenes: int) -> None:
        self.nano = nano
        self.scenes = scenes_of(scenes)

    def _texts(self, chats: list[Chat]) -> list[str]:
        return [self.nano.text(ids) for ids in self.nano.answer(chats)]

    def captions(self) -> Iterator[Row]:
        """Are all shapes named, and how good are the boxes?"""
        variants: tuple[tuple[str, str, bool, bool | None], ...] = (
            ("caption with boxes", "Describe the picture.", True, None),
            ("caption without boxes", "What do you see?", False, None),
            ("caption, hard-edged drawing", "Describe this image.", True, False),
            ("picture alone, no text", "", True, None),
        )
        for label, question, grounded, smooth in variants:
            rng = np.random.default_rng(SEED)
            chats = []
            for scene in self.scenes:
                chats.append(self.nano.chat())
                chats[-1].user(question, upload(scene, rng, smooth=smooth), grounded=grounded)
            texts = self._texts(chats)
            right = [named(t) == expected(s) for t, s in zip(texts, self.scenes, strict=True)]
            yield f"every shape named with its colour: {label}", percent(right)
            if label != variants[0][0]:
                continue
            for size in range(1, 6):
                part = [
                    ok for ok, s in zip(right, self.scenes, strict=True) if len(s.shapes) == size
                ]
                yield f"- of which {size} shape{'s' if size > 1 else ''}", percent(part)
            found = [v for t, s in zip(texts, self.scenes, strict=True) for v in matched_ious(t, s)]
            yield "mean IoU of boxes with the right name", f"{np.mean(found):.3f}  ({len(found)})"
            yield "- of which IoU at least 0.5", percent([value >= 0.5 for value in found])
        yield "the best mean IoU the 32x32 grid allows", f"{np.mean(list(self._ceiling())):.3f}"

    def _ceiling(self) -> Iterator[float]:
        for scene in self.scenes:
            for shape in scene.shapes:
                yield iou(patch_index_to_coordinate(*shape.cells, 32), shape.box)

    def questions(self) -> Iterator[Row]:
        """Single questions about a fresh picture; half with boxes, half without."""

        def filtered(form: str) -> Task:
            def task(at: Moment) -> Asked | None:
                asked = count(at)
                return asked if _form(asked.question) == form else None

            return task

        tasks: dict[str, Task] = {
            "count: all shapes": count_all,
            "count: by colour": filtered("colour"),
            "count: by shape": filtered("kind"),
            "count: by colour and shape": filtered("both"),
            "colour of a shape": colour,
            "which shape has a colour": which,
            "is there a ...?": exists,
            "where is ...? (words)": locate,
            "what is left of, above ...?": beside,
            "is X left of Y? which is higher?": compare,
            "biggest, leftmost ...": extreme,
            "what is at the top left?": at_place,
        }
        for label, task in tasks.items():
            yield f"{label}, with boxes", self._ask(task, grounded=True)
            yield label, self._ask(task, grounded=False)

    def _ask(self, task: Task, *, grounded: bool) -> str:
        rng = np.random.default_rng(SEED + 1)
        chats, wanted = [], []
        for scene in self.scenes:
            at = Moment(scene, rng, grounded)
            asked = next((asked for _ in range(12) if (asked := task(at))), None)
            if asked is None:
                continue
            chats.append(self.nano.chat())
            chats[-1].user(asked.question, upload(scene, rng), grounded=grounded)
            wanted.append(verdict(asked.answer))
        answers = [self.nano.plain(ids) for ids in self.nano.answer(chats)]
        return percent([end in text for text, end in zip(answers, wanted, strict=True)])

    def busy(self) -> Iterator[Row]:
        """Captions of fuller pictures than the other measurements have."""
        rng = np.random.default_rng(SEED)
        for shapes in (6, 7, 8):
            scenes = scenes_of(len(self.scenes) // 3, [shapes])
            chats = []
            for scene in scenes:
                chats.append(self.nano.chat())
                chats[-1].user("Describe the picture.", upload(scene, rng), grounded=True)
            right = [
                named(text) == expected(scene)
                for text, scene in zip(self._texts(chats), scenes, strict=True)
            ]
            yield f"every shape named with its colour: {shapes} shapes", percent(right)

    def small_talk(self) -> Iterator[Row]:
        """Template questions, and phrasings that are in no template."""
        rng = np.random.default_rng(SEED)
        turns = [talk(rng, seen_picture=False) for _ in range(200)]
        known = [(turn.question, turn.answer) for turn in turns]
        yield "small talk, trained phrasings", percent(self._says(known))
        yield "small talk, new phrasings", percent(self._says(list(PHRASINGS)))

    def _says(self, turns: list[tuple[str, str]]) -> list[bool]:
        chats = []
        for question, _ in turns:
            chats.append(self.nano.chat())
            chats[-1].user(question)
        answers = [self.nano.plain(ids) for ids in self.nano.answer(chats)]
        return [text == answer for text, (_, answer) in zip(answers, turns, strict=True)]

    def memory(self) -> Iterator[Row]:
        """Recall of names the training never had, after other turns."""
        for turns, pictures in ((0, False), (3, False), (10, False), (10, True), (25, True)):
            hits, lengths = [], []
            for i, name in enumerate(NAMES):
                chat = self._long_chat(name, turns, SEED + i, pictures=pictures)
                lengths.append(len(chat.ids))
                hits.append(self.nano.plain(self.nano.answer([chat])[0]) == f"Your name is {name}.")
            kind = "turns about pictures and small talk" if pictures else "turns of small talk"
            label = f"unseen name recalled after {turns} {kind}"
            yield f"{label}, {round(np.mean(lengths))} tokens", percent(hits)

    def _long_chat(self, name: str, turns: int, seed: int, *, pictures: bool) -> Chat:
        """Tell a name, talk for some turns with true answers, ask for the name."""
        rng = np.random.default_rng(seed)
        chat, codec = self.nano.chat(), self.nano.codec
        chat.user(TELLINGS[seed % len(TELLINGS)].format(name))
        chat.assistant(codec.encode(f"Nice to meet you, {name}!"))
        scene = self.scenes[0]
        for turn in range(turns):
            fresh = pictures and turn % 5 == 0
            if fresh:
                scene = self.scenes[int(rng.integers(len(self.scenes)))]
            if fresh or (pictures and rng.random() < 0.6):
                asked = ask(Moment(scene, rng, grounded=True), None)
                chat.user(asked.question, upload(scene, rng) if fresh else None, grounded=True)
                chat.assistant(answer_ids(asked.answer, codec, grounded=True))
            else:
                said = talk(rng, seen_picture=pictures)
                chat.user(said.question, grounded=pictures)
                chat.assistant(codec.encode(said.answer))
        chat.user(recall("name", name, rng).question, grounded=pictures and turns > 0)
        return chat

    def drawn_by_hand(self) -> Iterator[Row]:
        """One pure-coloured shape on plain white, as in a first try with a drawing library."""
        rng = np.random.default_rng(SEED)
        hits = []
        for scene in self.scenes[:100]:
            colours = [PURE[int(rng.integers(len(PURE)))] for _ in scene.shapes]
            shapes = tuple(
                replace(shape, colour=name, rgb=ImageColor.getrgb(name)[:3])
                for shape, name in zip(scene.shapes, colours, strict=True)
            )
            pure = Scene(Background("plain", ((255, 255, 255),)), shapes)
            picture = upload(pure, rng, smooth=False)
            text = self.nano.chat().ask("What is in this image?", picture, grounded=True)
            hits.append(named(text) == expected(pure))
        yield "pure named colours on white, hard edges", percent(hits)

    def rows(self) -> Iterator[Row]:
        yield from self.captions()
        yield from self.busy()
        yield from self.drawn_by_hand()
        yield from self.questions()
        yield from self.small_talk()
        yield from self.memory()


def _form(question: str) -> str:
    """Which filter a count question uses."""
    if not re.search(rf"\b({'|'.join(COLOURS)}|grey)\b", question):
        return "kind"
    return "colour" if re.search(r"\bshapes\b", question) else "both"


def verdict(answer: Answer) -> str:
    """What the answer comes to: all of it, or what follows the evidence."""
    text, last = plain(answer), answer[-1]
    if len(answer) == 1 or not text.startswith("I see") or not isinstance(last, str):
        return text
    stripped = last.lstrip(".,: ")
    return "so yes" if stripped.startswith("so yes") else stripped


def main() -> None:
    """Print the table as Markdown, row by row."""
    parser = argparse.ArgumentParser(description="Evaluate kosmos-x-nano.")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print("| measure | result (of) |\n|---|---|", flush=True)
    for label, value in Evaluation(Nano(given.checkpoint), given.scenes).rows():
        print(f"| {label} | {value} |", flush=True)


if __name__ == "__main__":
    main()
