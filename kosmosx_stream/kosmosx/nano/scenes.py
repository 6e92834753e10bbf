"""Scenes of flat shapes, as values: what is on a picture, and how it is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

Rgb = tuple[int, int, int]
Corner = tuple[float, float]

KINDS = (
    "circle",
    "square",
    "triangle",
    "star",
    "diamond",
    "hexagon",
    "cross",
    "heart",
    "rectangle",
    "oval",
)
# A colour is drawn near one of its anchors, or between two of them.
COLOURS: dict[str, tuple[Rgb, ...]] = {
    "red": ((255, 0, 0), (225, 30, 40), (200, 20, 30), (230, 55, 50)),
    "green": ((0, 128, 0), (40, 160, 60), (0, 200, 0), (0, 255, 0), (70, 160, 70), (50, 205, 50)),
    "blue": ((0, 0, 255), (30, 60, 220), (30, 100, 220), (30, 136, 229), (10, 20, 150)),
    "yellow": ((255, 255, 0), (255, 225, 30), (250, 240, 60), (253, 216, 53)),
    "orange": ((255, 165, 0), (255, 140, 0), (245, 125, 30), (250, 150, 40)),
    "purple": ((128, 0, 128), (145, 30, 180), (140, 60, 200), (110, 20, 150), (142, 36, 170)),
    "pink": ((255, 192, 203), (255, 105, 180), (250, 140, 190), (240, 98, 146)),
    "brown": ((139, 69, 19), (165, 42, 42), (120, 75, 40), (150, 95, 45), (121, 85, 72)),
    "black": ((0, 0, 0), (20, 20, 22), (32, 32, 32)),
    "gray": ((128, 128, 128), (110, 112, 115), (150, 150, 150), (169, 169, 169)),
    "white": ((255, 255, 255), (245, 245, 245)),
    "cyan": ((0, 255, 255), (0, 220, 225), (40, 205, 220)),
}
LEAN = 0.02  # of the picture's side: less than half of what makes shapes differ in place


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape; lengths and places are fractions of the picture's side."""

    kind: str
    colour: str
    rgb: Rgb
    points: tuple[tuple[float, float], ...]
    border: Rgb | None = None  # a line around it
    finish: str = "flat"  # or hollow (a thick line only), dashed (its border), shaded, shadow
    line: float = 0.0  # width of a hollow one's, as a share of the side; 0: by the shape's size
    lean: float = 0.0  # added to its place when shapes are told in order, see `told_loosely`

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        xs, ys = zip(*self.points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def centre(self) -> tuple[float, float]:
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    @property
    def area(self) -> float:
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)

    @property
    def cells(self) -> tuple[int, int]:
        """Top-left and bottom-right cell of the 32x32 grid, by Kosmos-2's rounding."""
        left, top, right, bottom = (min(max(v, 0.0), 1.0) for v in self.box)
        first = math.floor(top * 32) * 32 + math.floor(left * 32)
        last = math.ceil(bottom * 32 - 1) * 32 + math.ceil(right * 32 - 1)
        return first, last


@dataclass(frozen=True, slots=True)
class Background:
    """What lies behind the shapes: `style` with its colours; `seed` places stripes and clutter."""

    style: str  # plain, gradient, stripes, clutter, texture, photo, doodles
    colours: tuple[Rgb, ...]
    noise: float = 0.0  # standard deviation over 0-255
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """Shapes from left to right on a background."""

    background: Background
    shapes: tuple[Shape, ...]
    order: tuple[int, ...] = field(default=())  # the painting order, indices into shapes


def told_loosely(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same picture, but shapes that lie almost level may be told in either order.

    A model that took the wrong one of two first can then go on with the other.
    """
    shapes = [replace(shape, lean=float(rng.uniform(-LEAN, LEAN))) for shape in scene.shapes]
    ranked = sorted(range(len(shapes)), key=lambda i: shapes[i].centre[0] + shapes[i].lean)
    order = tuple(ranked.index(i) for i in scene.order)
    return replace(scene, shapes=tuple(shapes[i] for i in ranked), order=order)
