"""Endless batches of dialogues, drawn and tokenised on the fly in a worker process."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset

from kosmosx_stream.kosmosx.nano.dialogues import Dialogue, Writer
from kosmosx_stream.kosmosx.nano.drawing import IMAGE_SIZE, seen
from kosmosx_stream.kosmosx.nano.export import LATENTS, PATCH
from kosmosx_stream.kosmosx.nano.sampling import sample_scene
from kosmosx_stream.kosmosx.nano.scenes import COLOURS, KINDS, Corner, Scene
from kosmosx_stream.kosmosx.nano.tokenizer import PAD, WINDOW, Codec

_COLOUR_INDEX = {name: i for i, name in enumerate(COLOURS)}


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded dialogues and their pictures, in the order the placeholders appear."""

    ids: Tensor  # int64 (rows, tokens)
    positions: Tensor  # int64 (rows, tokens)
    learn: Tensor  # bool (rows, tokens)
    image_mask: Tensor  # bool (rows, tokens)
    corners: Tensor  # float32 (location tokens, 2): what they stand for, as fractions of the side
    images: Tensor  # uint8 (images, IMAGE_SIZE, IMAGE_SIZE, 3)
    patch_targets: Tensor  # float32 (images * patches, 6)
    latent_targets: Tensor  # float32 (images * latents, 6)


def look(scene: Scene, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The scene as uploaded: soft edges at the model's size, or another size, scaled."""
    if rng.random() < 0.5:
        pixels = seen(scene, IMAGE_SIZE, smooth=True)
    else:
        pixels = seen(scene, int(rng.integers(112, 512)), smooth=False)
    return compressed(pixels, int(rng.integers(25, 95))) if rng.random() < 0.12 else pixels


def compressed(pixels: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """The picture with the noise of a JPEG of that quality."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def cell_targets(scene: Scene, side: int, *, centres: bool) -> npt.NDArray[np.float32]:
    """What each cell of a side x side grid shows: float32 (side * side, 6), see AuxiliaryHeads.

    With `centres` a cell shows the shape whose centre lies in it, else the one that covers it.
    """
    targets = np.zeros((side, side, 6), np.float32)
    targets[..., 0] = len(KINDS)
    middles = (np.arange(side) + 0.5) / side
    for index in scene.order or range(len(scene.shapes)):
        shape = scene.shapes[index]
        left, top, right, bottom = shape.box
        values = (KINDS.index(shape.kind), _COLOUR_INDEX[shape.colour], left, top, right, bottom)
        if centres:
            x, y = (min(int(v * side), side - 1) for v in shape.centre)
            targets[y, x] = values
        else:
            rows = (middles >= top) & (middles <= bottom)
            columns = (middles >= left) & (middles <= right)
            targets[np.ix_(rows, columns)] = values
    return targets.reshape(-1, 6)


def _places(dialogue: Dialogue, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Position of each token; half the time turns lie further apart than they are.

    The jumps teach every position up to the limit, and long distances, at the price of a short
    sequence.
    """
    length = len(dialogue.ids)
    steps = np.ones(length, np.int64)
    steps[0] = 0
    slack = WINDOW - 1 - length
    if slack > 0 and rng.random() < 0.5:
        jumps = rng.choice(dialogue.turns, int(rng.integers(1, 5)))
        shares = rng.dirichlet(np.ones(len(jumps))) * rng.integers(0, slack)
        for turn, share in zip(jumps, shares, strict=True):
            steps[turn] += int(share)
    return np.minimum(np.cumsum(steps), WINDOW - 1)


def collate(dialogues: list[Dialogue], rng: np.random.Generator) -> Batch:
    """Pad dialogues to the longest and draw their pictures."""
    length = max(len(dialogue.ids) for dialogue in dialogues)
    ids = np.full((len(dialogues), length), PAD, np.int64)
    positions = np.zeros_like(ids)
    learn, image_mask = np.zeros(ids.shape, bool), np.zeros(ids.shape, bool)
    scenes: list[Scene] = []
    corners: list[Corner] = []
    for row, dialogue in enumerate(dialogues):
        size = len(dialogue.ids)
        ids[row, :size] = dialogue.ids
        learn[row, :size] = dialogue.learn
        positions[row, :size] = _places(dialogue, rng)
        for start in dialogue.images:
            image_mask[row, start : start + LATENTS] = True
        scenes += dialogue.scenes
        corners += dialogue.corners
    images, patches, latents = _pictures(scenes, rng)
    return Batch(
        ids=torch.from_numpy(ids),
        positions=torch.from_numpy(positions),
        learn=torch.from_numpy(learn),
        image_mask=torch.from_numpy(image_mask),
        corners=torch.tensor(corners).reshape(len(corners), 2),
        images=images,
        patch_targets=patches,
        latent_targets=latents,
    )


def _pictures(scenes: list[Scene], rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    side, latent_side = IMAGE_SIZE // PATCH, round(LATENTS**0.5)
    if not scenes:
        none = torch.zeros(0, 6)
        return torch.zeros(0, IMAGE_SIZE, IMAGE_SIZE, 3, dtype=torch.uint8), none, none
    images = np.stack([look(scene, rng) for scene in scenes])
    patches = np.concatenate([cell_targets(scene, side, centres=False) for scene in scenes])
    latents = np.concatenate([cell_targets(scene, latent_side, centres=True) for scene in scenes])
    return torch.from_numpy(images), torch.from_numpy(patches), torch.from_numpy(latents)


class Dialogues(IterableDataset[Batch]):
    """Batches of about `tokens` tokens; `mix` is (length budget, weight) of the dialogues."""

    def __init__(
        self, codec: Codec, seed: int, tokens: int, mix: tuple[tuple[int, float], ...]
    ) -> None:
        self.codec = codec
        self.seed = seed
        self.tokens = tokens
        self.mix = mix

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng(self.seed)
        writer = Writer(self.codec, rng, LATENTS)
        budgets, weights = zip(*self.mix, strict=True)
        while True:
            budget = int(rng.choice(budgets, p=np.array(weights) / sum(weights)))
            rows = 4 * max(1, self.tokens // (budget + 80))
            pool = [
                writer.write(int(rng.integers(budget // 2, budget)), pictures=rng.random() > 0.08)
                for _ in range(rows)
            ]
            batches = list(_chunks(pool, self.tokens))
            for index in rng.permutation(len(batches)):
                yield collate(batches[index], rng)


def _chunks(dialogues: list[Dialogue], tokens: int) -> Iterator[list[Dialogue]]:
    """Full groups of dialogues alike in length, at most `tokens` padded; drops a remainder."""
    group: list[Dialogue] = []
    for dialogue in sorted(dialogues, key=lambda d: -len(d.ids)):
        if len(dialogue.ids) > WINDOW:
            continue
        group.append(dialogue)
        if (len(group) + 1) * len(group[0].ids) > tokens:
            yield group
            group = []


class Pictures(IterableDataset[Batch]):
    """Batches of pictures alone, for the first phase."""

    def __init__(self, seed: int, count: int) -> None:
        self.seed = seed
        self.count = count

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng(self.seed)
        none = torch.zeros(0, 0)
        while True:
            scenes = [
                sample_scene(
                    rng,
                    int(rng.integers(0 if rng.random() < 0.3 else 1, 9)),
                    hard=bool(rng.random() < 0.5),
                )
                for _ in range(self.count)
            ]
            images, patches, latents = _pictures(scenes, rng)
            yield Batch(none, none, none, none, none, images, patches, latents)
