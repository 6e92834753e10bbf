"""How right an answer about a scene is. Pure, but for transformers' reading of boxes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from transformers.models.kosmos2.processing_kosmos2 import (
    extract_entities_with_patch_indices,
    patch_index_to_coordinate,
)

from kosmosx_stream.kosmosx.nano.answers import Answer
from kosmosx_stream.kosmosx.nano.dialogues import plain
from kosmosx_stream.kosmosx.nano.scenes import COLOURS, Scene

Box = tuple[float, float, float, float]
Row = tuple[str, str, str]
"""What was measured, the result, and what is asked for (in percent, or empty)."""
SEED = 20_000_003  # far from any training seed


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


def names_all(text: str, scene: Scene) -> bool:
    """Whether a caption names exactly what is there."""
    return named(text) == expected(scene)


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


def best_ious(scene: Scene) -> Iterator[float]:
    """IoU of each shape's box with the cells of the grid that hold it: no answer does better."""
    for shape in scene.shapes:
        yield iou(patch_index_to_coordinate(*shape.cells, 32), shape.box)


def verdict(answer: Answer) -> str:
    """What the answer comes to: all of it, or what follows the evidence."""
    text, last = plain(answer), answer[-1]
    if len(answer) == 1 or not text.startswith("I see") or not isinstance(last, str):
        return text
    stripped = last.lstrip(".,: ")
    return "so yes" if stripped.startswith("so yes") else stripped


def agrees(text: str, end: str) -> bool:
    """Whether an answer comes to this verdict; shapes after its colon may have any order."""
    head, colon, shapes = end.partition(": ")
    if not colon or end.startswith("#") or not named(shapes):
        return end in text
    _, told, said = text.rpartition(head + colon)
    return bool(told) and named(said) == named(shapes)


def form(question: str) -> str:
    """Which filter a question for a count uses."""
    if not re.search(rf"\b({'|'.join(COLOURS)}|grey)\b", question):
        return "kind"
    return "colour" if re.search(r"\bshapes\b", question) else "both"


def percent(hits: Sequence[bool]) -> str:
    return f"{100 * sum(hits) / max(1, len(hits)):.1f} %  ({len(hits)})"
