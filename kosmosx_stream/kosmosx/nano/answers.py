"""What is seen in a scene, in words: the true answers, whatever was asked for them.

Answers give the evidence before the verdict: every shape first, then what follows from it ("I see a
red circle #1, a blue star and a red heart #2: two."). A small decoder can read off what it has just
written, but can neither count nor choose in its head. The order of shapes is left to right, unless
the question is about height.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kosmosx_stream.kosmosx.nano.scenes import Scene, Shape

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that stand for shapes; with boxes when the turn is grounded."""

    text: str
    shapes: tuple[Shape, ...]


Answer = tuple[str | Phrase, ...]
Note = Callable[[Shape], str]
Order = Literal["across", "left to right", "down", "by size"]
NO_SHAPE = "no shape I know"


@dataclass(frozen=True, slots=True)
class Target:
    """What a question is about: a colour, a kind, both, or neither."""

    colour: str | None = None
    kind: str | None = None

    def picks(self, scene: Scene) -> tuple[Shape, ...]:
        return tuple(
            shape
            for shape in scene.shapes
            if self.colour in (None, shape.colour) and self.kind in (None, shape.kind)
        )

    @property
    def name(self) -> str:
        """Such as "red circle" or "star"; a colour alone has no noun."""
        return " ".join(word for word in (self.colour, self.kind) if word)

    @property
    def plural(self) -> str:
        if self.kind is None:
            return f"{self.colour} shapes" if self.colour else "shapes"
        kinds = {"cross": "crosses"}.get(self.kind, self.kind + "s")
        return f"{self.colour} {kinds}" if self.colour else kinds

    @property
    def nothing(self) -> str:
        """Such as "no red circle", "nothing red" or "no shape I know"."""
        if self.kind:
            return f"no {self.name}"
        return f"nothing {self.colour}" if self.colour else NO_SHAPE


@dataclass(frozen=True, slots=True)
class Moment:
    """The situation a question is asked in: the picture, and whether boxes are wanted."""

    scene: Scene
    rng: np.random.Generator
    grounded: bool


def article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def where(shape: Shape) -> str:
    """The ninth of the picture the shape's centre lies in, in words."""
    x, y = shape.centre
    column = "left" if x < 0.36 else "right" if x > 0.64 else ""
    row = "top" if y < 0.36 else "bottom" if y > 0.64 else ""
    if row:
        return f"at the {row} {column}".rstrip()
    return f"on the {column}" if column else "in the middle"


def joined(words: Sequence[str]) -> str:
    """Such as "red, blue and green"."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" and {words[-1]}"


def listing(shapes: Sequence[Shape], *, places: bool = False, note: Note | None = None) -> Answer:
    """Such as "a red circle, a blue star and a red circle", each phrase with its box.

    With `places` each shape is followed by where it is; with `note`, by what that says of it.
    """
    parts: list[str | Phrase] = []
    for i, shape in enumerate(shapes):
        if i:
            parts.append("and" if i == len(shapes) - 1 else ",")
        parts.append(Phrase(article(f"{shape.colour} {shape.kind}"), (shape,)))
        if places:
            parts.append(where(shape))
        if note is not None and (words := note(shape)):
            parts.append(words)
    return tuple(parts)


def numbers(counting: Sequence[Shape]) -> Note:
    """Running numbers for these shapes, "#1", "#2" ..., and nothing for the others."""
    return lambda shape: f"#{counting.index(shape) + 1}" if shape in counting else ""


def _across(shape: Shape) -> float:
    return shape.centre[0] + shape.lean


ORDERS: dict[Order, tuple[str, Callable[[Shape], float]]] = {
    "across": ("I see", _across),
    "left to right": ("I see from left to right", _across),
    "down": ("I see from top to bottom", lambda shape: shape.centre[1] + shape.lean),
    "by size": ("I see from biggest to smallest", lambda shape: shape.lean - shape.area**0.5),
}


def ordered(scene: Scene, order: Order) -> list[Shape]:
    """The shapes in the order in which the evidence tells them."""
    return sorted(scene.shapes, key=ORDERS[order][1])


def evidence(
    at: Moment,
    *,
    places: bool = False,
    order: Order = "across",
    counting: Sequence[Shape] = (),
    note: Note | None = None,
) -> Answer:
    """Everything in the picture; where it is too, if there are no boxes to tell.

    Those of `counting` get running numbers; `note` says something else of each shape instead.
    """
    if not at.scene.shapes:
        return (f"I see {NO_SHAPE}",)
    shapes = ordered(at.scene, order)
    places = places or not at.grounded
    return (ORDERS[order][0], *listing(shapes, places=places, note=note or numbers(counting)))


def names(shapes: Sequence[Shape]) -> str:
    """Such as "a red circle and a blue star" or "nothing", without boxes."""
    if not shapes:
        return "nothing"
    text = ""
    for part in listing(shapes):
        words = part if isinstance(part, str) else part.text
        text += words if words == "," or not text else f" {words}"
    return text


def counted(at: Moment, target: Target) -> Answer:
    found = target.picks(at.scene)
    return (*evidence(at, counting=found), f": {NUMBERS[len(found)]}.")


def coloured(at: Moment, kind: str) -> Answer:
    target = Target(kind=kind)
    found = target.picks(at.scene)
    if not found:
        return (*evidence(at), f", but {target.nothing}.")
    seen = evidence(at, counting=found)
    if len(found) == 1:
        return (*seen, f". The {kind} is {found[0].colour}.")
    return (*seen, f". The {target.plural} are {joined([s.colour for s in found])}.")


def placed(at: Moment, target: Target) -> Answer:
    found = target.picks(at.scene)
    if not found:
        return (*evidence(at), f", but {target.nothing}.")
    places = [f"the {shape.colour} {shape.kind} is {where(shape)}" for shape in found]
    return (*evidence(at, counting=found), f". {joined(places).capitalize()}.")
