"""What lies behind the shapes, and the tones of all colours."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from kosmosx_stream.kosmosx.nano.scenes import COLOURS, Background, Rgb


def clipped(values: Iterable[float]) -> Rgb:
    """The colour that is closest to these channels."""
    r, g, b = (int(min(max(v, 0), 255)) for v in values)
    return r, g, b


def sample_rgb(colour: str, rng: np.random.Generator) -> Rgb:
    """A tone of a named colour."""
    anchors = COLOURS[colour]
    first = np.array(anchors[rng.integers(len(anchors))], float)
    if rng.random() < 0.35:
        return clipped(first)
    if rng.random() < 0.5:
        other = np.array(anchors[rng.integers(len(anchors))], float)
        first += (other - first) * rng.uniform(0, 0.5)
    jitter = 4 if colour in ("white", "black", "gray") else 9
    return clipped(first + rng.uniform(-jitter, jitter, 3))


def distance(one: Rgb, other: Rgb) -> float:
    """A rough perceptual distance of two colours, 0 to about 765."""
    red, green, blue = (a - b for a, b in zip(one, other, strict=True))
    return math.sqrt(2 * red * red + 4 * green * green + 3 * blue * blue)


_STYLES = (0.48, 0.15, 0.1, 0.09, 0.06, 0.09, 0.03)
_STYLES_HARD = (0.26, 0.1, 0.08, 0.1, 0.08, 0.24, 0.14)
_STYLES_ALONE = (0.1, 0.05, 0.03, 0.07, 0.07, 0.35, 0.33)


def sample_background(
    rng: np.random.Generator, *, shapes: bool = True, hard: bool = False
) -> Background:
    """Plain in many tones (white most often) or one of the other styles; noise on some.

    Without `shapes` the picture is mostly something that the model does not know; a `hard` one is
    seldom plain.
    """
    styles = ["plain", "gradient", "stripes", "clutter", "texture", "photo", "doodles"]
    shares = _STYLES_HARD if hard else _STYLES
    style = str(rng.choice(styles, p=shares if shapes else _STYLES_ALONE))
    base = _background_tone(rng)
    if style == "plain":
        colours: tuple[Rgb, ...] = (base,)
    elif style == "gradient":
        shift = rng.uniform(-70, 70, 3) if rng.random() < 0.6 else rng.uniform(-160, 160, 3)
        colours = (base, clipped(np.array(base) + shift))
    elif style in ("texture", "photo"):
        colours = (base, *(clipped(np.array(base) + rng.uniform(-60, 60, 3)) for _ in range(2)))
    elif style == "doodles":
        ink = sample_rgb(str(rng.choice(tuple(COLOURS))), rng)
        dark = distance(base, (255, 255, 255)) < distance(base, (0, 0, 0))
        contrast: Rgb = (20, 20, 20) if dark else (245, 245, 245)
        colours = (base, ink if distance(ink, base) > 150 else contrast)
    else:
        colours = (base, clipped(np.array(base) + rng.choice([-1, 1]) * rng.uniform(12, 38, 3)))
    noise = float(rng.uniform(2, 14)) if rng.random() < 0.2 else 0.0
    return Background(style, colours, noise, int(rng.integers(1 << 31)))


def _background_tone(rng: np.random.Generator) -> Rgb:
    draw = rng.random()
    if draw < 0.3:
        return 255, 255, 255
    if draw < 0.36:
        return 0, 0, 0
    if draw < 0.5:
        return clipped([rng.uniform(20, 250)] * 3)
    if draw < 0.8:
        return clipped(rng.uniform(190, 255, 3))
    return clipped(rng.uniform(0, 255, 3))
