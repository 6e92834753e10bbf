"""Draws scenes, with PIL, the way a person with a drawing tool would.

The same scene always draws the same pixels, at any size, and the model sees them through the same
square bicubic resize as an upload.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from kosmosx_stream.kosmosx.nano.scenes import Background, Rgb, Scene, Shape

Pixels = npt.NDArray[np.uint8]
IMAGE_SIZE = 192  # the model's picture, pixels a side
_SHADE = (120, 120, 125)


def _draw_background(background: Background, size: int) -> Image.Image:
    rng = np.random.default_rng(background.seed)
    base = background.colours[0]
    if background.style == "gradient":
        return _gradient(background.colours, int(rng.integers(4)), size)
    if background.style == "texture":
        return _texture(background.colours, rng, size)
    if background.style == "photo":
        return _photo(background.colours, rng, size)
    image = Image.new("RGB", (size, size), base)
    draw = ImageDraw.Draw(image)
    if background.style == "stripes":
        step = rng.uniform(0.05, 0.2) * size
        slope = rng.choice([0.0, 1.0, -1.0]) * size
        upright = rng.random() < 0.5
        for i in range(-20, 40):
            line = [(2 * i * step, -1.0), (2 * i * step + slope, size + 1.0)]
            points = line if upright else [(y, x) for x, y in line]
            draw.line(points, fill=background.colours[1], width=max(1, round(step * 0.8)))
    elif background.style == "doodles":
        for _ in range(int(rng.integers(1, 5))):
            _doodle(draw, rng, background.colours[1], size)
    elif background.style == "clutter":
        for _ in range(int(rng.integers(10, 60))):
            x, y, dx, dy = rng.uniform(-0.1, 1.1, 4) * size
            reach = rng.uniform(0.01, 0.03) * size
            if rng.random() < 0.5:
                draw.line([(x, y), (dx, dy)], fill=background.colours[1], width=max(1, size // 110))
            else:
                draw.ellipse(
                    (x - reach, y - reach, x + reach, y + reach), fill=background.colours[1]
                )
    return image


def _gradient(colours: tuple[Rgb, ...], direction: int, size: int) -> Image.Image:
    ramp = np.linspace(0, 1, 16)
    grid = (
        np.tile(ramp, (16, 1)),
        np.tile(ramp[:, None], (1, 16)),
        (ramp[:, None] + ramp) / 2,
        np.hypot(ramp[:, None] - 0.5, ramp - 0.5) * math.sqrt(2),
    )[direction][..., None]
    small = np.array(colours[0]) * (1 - grid) + np.array(colours[1]) * grid
    return Image.fromarray(small.astype(np.uint8)).resize((size, size), Image.Resampling.BILINEAR)


def _texture(colours: tuple[Rgb, ...], rng: np.random.Generator, size: int) -> Image.Image:
    """Soft patches of a few tones, coarse and fine, as in an unsharp photo."""
    cells = int(rng.integers(3, 24))
    shares = rng.dirichlet(np.full(len(colours), 0.7), (cells, cells))
    small = (shares @ np.array(colours, float)).astype(np.uint8)
    return Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)


def _photo(colours: tuple[Rgb, ...], rng: np.random.Generator, size: int) -> Image.Image:
    """Regions of a few tones at many scales, lit unevenly, with grain: the build of a photo."""
    side = min(size, 128)
    fields = [_octaves(rng, side, fall=0.55) * 3 for _ in colours]
    sharp = float(rng.choice([1.5, 4.0, 12.0]))
    weights = np.exp(sharp * (np.stack(fields) - np.max(fields, axis=0)))
    shares = weights / weights.sum(0)
    light = 1 + 0.12 * _octaves(rng, side, fall=0.7)
    picture = np.einsum("chw,ck->hwk", shares, np.array(colours, float)) * light[..., None]
    picture += rng.standard_normal((side, side, 1)) * rng.uniform(0, 12)
    small = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    return small.resize((size, size), Image.Resampling.BICUBIC)


def _octaves(rng: np.random.Generator, side: int, *, fall: float) -> npt.NDArray[np.float32]:
    """Noise with the spectrum of natural pictures: finer grids count less by `fall` each."""
    total = np.zeros((side, side), np.float32)
    for octave in range(5):
        cells = 3 * 2**octave
        grid = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
        whole = np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC))
        total += fall**octave * whole
    return total


def _doodle(pen: ImageDraw.ImageDraw, rng: np.random.Generator, ink: Rgb, size: int) -> None:
    """Something the model has no name for: a scribble, an arc, an arrow, a figure, writing."""
    x, y = rng.uniform(0.1, 0.9, 2) * size
    reach = rng.uniform(0.06, 0.22) * size
    width = max(1, round(reach / rng.uniform(5, 14)))
    match int(rng.integers(6)):
        case 0:
            points = [tuple(p) for p in np.array((x, y)) + rng.normal(0, reach / 2, (7, 2))]
            pen.line(points, fill=ink, width=width, joint="curve")
        case 1:
            spans = (x - reach, y - reach, x + reach, y + reach)
            start = rng.uniform(0, 360)
            pen.arc(spans, start, start + rng.uniform(60, 250), fill=ink, width=width)
        case 2:
            angle = rng.uniform(0, 2 * math.pi)
            dx, dy = reach * math.cos(angle), reach * math.sin(angle)
            pen.line([(x - dx, y - dy), (x + dx, y + dy)], fill=ink, width=width)
            for turn in (2.5, -2.5):
                tip = (x + dx, y + dy)
                side = (math.cos(angle + turn) * reach / 2, math.sin(angle + turn) * reach / 2)
                pen.line([tip, (tip[0] + side[0], tip[1] + side[1])], fill=ink, width=width)
        case 3:
            head = reach / 3
            pen.ellipse((x - head, y - reach, x + head, y - head), outline=ink, width=width)
            limbs = ((0, -head, 0, head), (-head, 0, head, 0), (0, head, -head, reach))
            for a, b, c, d in (*limbs, (0, head, head, reach)):
                pen.line([(x + a, y + b), (x + c, y + d)], fill=ink, width=width)
        case 4:
            letters = "".join(rng.choice(list("ABEFGHKMNRSWabdeghkmnqy23456789"), 5))
            pen.text((x - reach, y), letters, fill=ink, font_size=reach)
        case _:
            for i in range(4):
                step = reach * (i - 1.5) / 2
                points = [(x - reach, y + step), (x, y + step - reach / 3), (x + reach, y + step)]
                pen.line(points, fill=ink, width=width, joint="curve")


def draw(scene: Scene, size: int, *, smooth: bool = False) -> Image.Image:
    """Draw a scene as an RGB picture of `size` pixels a side; `smooth` softens the edges."""
    scale = size * 2 if smooth else size
    image = _draw_background(scene.background, scale)
    pen = ImageDraw.Draw(image)
    for index in scene.order or range(len(scene.shapes)):
        shape = scene.shapes[index]
        corners = [(x * scale, y * scale) for x, y in shape.points]
        _draw_shape(image, pen, shape, corners)
    return image.reduce(2) if smooth else image


def _draw_shape(
    image: Image.Image,
    pen: ImageDraw.ImageDraw,
    shape: Shape,
    corners: list[tuple[float, float]],
) -> None:
    side = image.width
    width = max(1, side // 80) if shape.border else 0
    if shape.finish == "hollow":
        line = max(2, round(side * (shape.line or min(0.16 * shape.area**0.5, 0.05))))
        pen.polygon(corners, outline=shape.rgb, width=line)
        return
    if shape.finish == "shadow":
        drop = side * 0.015
        pen.polygon([(x + drop, y + drop) for x, y in corners], fill=_SHADE)
    if shape.finish == "shaded":
        _fill_shaded(image, shape, corners)
        pen.polygon(corners, outline=shape.border, width=width)
        return
    if shape.finish == "dashed" and shape.border:
        pen.polygon(corners, fill=shape.rgb)
        _dashes(pen, corners, shape.border, width)
        return
    pen.polygon(corners, fill=shape.rgb, outline=shape.border, width=width)


def _fill_shaded(image: Image.Image, shape: Shape, corners: list[tuple[float, float]]) -> None:
    """From a little lighter at the top to a little darker below."""
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).polygon(corners, fill=255)
    left, top, right, bottom = (round(value * image.width) for value in shape.box)
    ramp = np.linspace(1.12, 0.84, max(1, bottom - top))[:, None, None] * np.array(shape.rgb)
    ramp = np.broadcast_to(ramp, (ramp.shape[0], max(1, right - left), 3))
    fill = Image.fromarray(np.clip(ramp, 0, 255).astype(np.uint8))
    image.paste(fill, (left, top), mask.crop((left, top, left + fill.width, top + fill.height)))


def _dashes(
    pen: ImageDraw.ImageDraw, corners: list[tuple[float, float]], ink: Rgb, width: int
) -> None:
    """Every other stretch of the outline."""
    ring = np.array([*corners, corners[0]])
    on = True
    for start, end in pairwise(ring):
        parts = max(1, round(float(np.hypot(*(end - start))) / (5 * width)))
        for i in range(parts):
            a, b = (start + (end - start) * t / parts for t in (i, i + 1))
            if on:
                pen.line([tuple(a), tuple(b)], fill=ink, width=width)
            on = not on


def seen(scene: Scene, size: int, *, smooth: bool = False) -> Pixels:
    """What the model is shown of an upload of `size` pixels: uint8 (IMAGE_SIZE, IMAGE_SIZE, 3)."""
    image = draw(scene, size, smooth=smooth)
    if size != IMAGE_SIZE:
        image = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    if scene.background.noise:
        rng = np.random.default_rng(scene.background.seed + 1)
        grain = rng.standard_normal(pixels.shape, np.float32) * scene.background.noise
        pixels = np.clip(pixels + grain, 0, 255).astype(np.uint8)
    return pixels
