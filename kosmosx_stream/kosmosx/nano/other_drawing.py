"""Pictures of scenes by other means than `drawing`: OpenCV's renderer, soft scaling, JPEG.

For evaluation: none of it is in training.
"""

from __future__ import annotations

import io
from dataclasses import replace

import cv2
import numpy as np
from PIL import Image, ImageColor

from kosmosx_stream.kosmosx.nano.drawing import draw
from kosmosx_stream.kosmosx.nano.scenes import COLOURS, Background, Scene

_FRACTION_BITS = 4  # OpenCV draws at sixteenths of a pixel
PURE = tuple(name for name in COLOURS if name != "white")  # also PIL's names


def by_opencv(scene: Scene, size: int) -> Image.Image:
    """Plain fills with OpenCV's anti-aliasing, with a border where the scene has one."""
    canvas = np.asarray(draw(replace(scene, shapes=(), order=()), size)).copy()
    for index in scene.order:
        shape = scene.shapes[index]
        corners = np.round(np.array(shape.points) * size * 2**_FRACTION_BITS).astype(np.int32)
        cv2.fillPoly(canvas, [corners], shape.rgb, cv2.LINE_AA, _FRACTION_BITS)
        if shape.border:
            width = max(1, size // 90)
            cv2.polylines(canvas, [corners], True, shape.border, width, cv2.LINE_AA, _FRACTION_BITS)
    return Image.fromarray(canvas)


def softly(scene: Scene, size: int) -> Image.Image:
    """Drawn four times as large and scaled down by Lanczos' filter."""
    large = draw(scene, 4 * size)
    return large.resize((size, size), Image.Resampling.LANCZOS)


def by_jpeg(scene: Scene, size: int) -> Image.Image:
    """Stored as a JPEG of quality 35."""
    file = io.BytesIO()
    draw(scene, size, smooth=True).save(file, "JPEG", quality=35)
    return Image.open(file).convert("RGB")


def outlined(scene: Scene, size: int) -> Image.Image:
    """By thin lines alone, with OpenCV; some of training's, by PIL, are as thin."""
    canvas = np.asarray(draw(replace(scene, shapes=(), order=()), size)).copy()
    for index in scene.order:
        shape = scene.shapes[index]
        corners = np.round(np.array(shape.points) * size).astype(np.int32)
        cv2.polylines(canvas, [corners], True, shape.rgb, max(2, size // 40), cv2.LINE_AA)
    return Image.fromarray(canvas)


def pure(scene: Scene, rng: np.random.Generator) -> Scene:
    """The shapes in pure named colours on plain white, as in a first try with a library."""
    colours = [PURE[int(rng.integers(len(PURE)))] for _ in scene.shapes]
    shapes = tuple(
        replace(shape, colour=name, rgb=ImageColor.getrgb(name)[:3], border=None, finish="flat")
        for shape, name in zip(scene.shapes, colours, strict=True)
    )
    return Scene(Background("plain", ((255, 255, 255),)), shapes, scene.order)


def on_a_photo(scene: Scene, seed: int) -> Scene:
    """The same shapes before something with a photo's build, in two tones like the background's."""
    base = np.array(scene.background.colours[0])
    other = np.clip(base + np.random.default_rng(seed).uniform(-60, 60, 3), 0, 255).astype(int)
    tones = (scene.background.colours[0], (int(other[0]), int(other[1]), int(other[2])))
    return replace(scene, background=Background("photo", tones, 6.0, seed))
