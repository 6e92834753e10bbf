"""Models of transformers, one token a step: weights, KV cache, and the draw of a token.

Importing this imports torch and transformers, which takes seconds: `transformers_local` does so
in its own thread. Everything here blocks.
"""

import os
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from PIL import Image
from torch.nn.functional import normalize
from transformers import (
    AutoModelForCausalLM,
    CLIPImageProcessorPil,
    DynamicCache,
    Kosmos2ForConditionalGeneration,
)
from transformers.utils import logging

from conversation.entries import Sampling
from kosmosx_stream.engines.checkpoint import Checkpoint
from kosmosx_stream.engines.guide import Guide
from kosmosx_stream.engines.port import Generate

READ = 512
"""Tokens at a time. Eager attention needs memory for each pair of a new token and one before it."""
GREEDY_BELOW = 1e-5
"""Dividing by a smaller temperature would only add noise; vLLM has the same bound."""


class Model(Protocol):
    """Weights, in float32 on the CPU."""

    def answer(
        self, request: Generate, images: Sequence[Image.Image], guide: Guide | None
    ) -> "Answer":
        """An answer to begin; the images are the request's, decoded."""
        ...

    def logits(
        self, ids: Sequence[int], cache: DynamicCache, images: Sequence[Image.Image]
    ) -> torch.Tensor:
        """Have the model read ids behind what is in the cache; what comes next.

        The ids are as in the port: a pair for each image. float32 (1, 1, vocabulary).
        """
        ...


class TextModel:
    """Any language model that transformers knows."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.whole = _load(AutoModelForCausalLM, checkpoint)

    def answer(
        self, request: Generate, images: Sequence[Image.Image], guide: Guide | None
    ) -> "Answer":
        assert not images, "the checkpoint takes none"
        return Answer(self, request, (), guide)

    def logits(
        self, ids: Sequence[int], cache: DynamicCache, _images: Sequence[Image.Image]
    ) -> torch.Tensor:
        return self.whole(
            input_ids=torch.tensor([ids]), past_key_values=cache, use_cache=True, logits_to_keep=1
        ).logits


class Kosmos2Model:
    """Kosmos-2, with attention that masks no patch of a picture.

    transformers' default attention makes the image resampler causal, which the model was not
    trained to be; eager attention is right.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        assert checkpoint.placeholder is not None
        self.whole = _load(Kosmos2ForConditionalGeneration, checkpoint, attn_implementation="eager")
        self._pair = checkpoint.placeholder
        self._image_tokens = checkpoint.image_tokens
        self._processor = CLIPImageProcessorPil.from_pretrained(
            checkpoint.folder, local_files_only=True
        )

    def expand(self, prompt_ids: Sequence[int]) -> tuple[list[int], list[bool]]:
        """Ids with places opened in every pair, and which ids are such places."""
        ids: list[int] = []
        places: list[bool] = []
        for token, following in zip(prompt_ids, (*prompt_ids[1:], None), strict=True):
            opened = self._image_tokens if (token, following) == self._pair else 0
            ids += [token] * (1 + opened)  # what stands in a place is not looked at
            places += [False] + [True] * opened
        return ids, places

    def pixels(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """float32 (images, 3, height, width)."""
        values = self._processor(images=list(images), return_tensors="pt")["pixel_values"]
        return torch.as_tensor(values)

    def answer(
        self, request: Generate, images: Sequence[Image.Image], guide: Guide | None
    ) -> "Answer":
        return Answer(self, request, images, guide)

    def logits(
        self, ids: Sequence[int], cache: DynamicCache, images: Sequence[Image.Image]
    ) -> torch.Tensor:
        *before, last = self._embed(ids, images).split(READ, dim=1)
        for part in before:
            self._read(part, cache)
        return self._read(last, cache)

    def _read(self, embeds: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
        # By ids transformers would give padding no position, and a model may generate padding.
        return self.whole.text_model(
            inputs_embeds=embeds, past_key_values=cache, use_cache=True, logits_to_keep=1
        ).logits

    def _embed(self, ids: Sequence[int], images: Sequence[Image.Image]) -> torch.Tensor:
        """What ids and images stand for, without their positions: float32 (1, tokens, width)."""
        ids, places = self.expand(ids)
        embeds: torch.Tensor = self.whole.text_model.model.embed_tokens(torch.tensor([ids]))
        if images:
            embeds[torch.tensor([places])] = self._see(images).flatten(0, 1)
        return embeds

    def _see(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """What stands in the places of the images: float32 (images, latents, width)."""
        tower = self.whole.vision_model
        features = tower.model.post_layernorm(tower(pixel_values=self.pixels(images))[0])
        latents, _ = self.whole.image_to_text_projection(normalize(features, dim=-1))
        return torch.as_tensor(latents)


def _load(kind: Any, checkpoint: Checkpoint, **options: Any) -> Any:
    """The weights of a checkpoint.

    Raises:
        ValueError: some are missing.
    """
    logging.disable_progress_bar()
    if "OMP_NUM_THREADS" not in os.environ:
        # One core is for the server. Threads that wait for each other on busy cores crawl.
        torch.set_num_threads(max(1, torch.get_num_threads() - 1))
    model, report = kind.from_pretrained(
        checkpoint.folder,
        dtype=torch.float32,
        local_files_only=True,
        output_loading_info=True,
        **options,
    )
    if report["missing_keys"]:  # transformers would go on with random numbers
        raise ValueError(f"the checkpoint lacks {sorted(report['missing_keys'])}")
    return model.eval()


class Answer:
    """One answer in the making: its KV cache and its random numbers."""

    def __init__(
        self,
        model: Model,
        request: Generate,
        images: Sequence[Image.Image],
        guide: Guide | None,
    ) -> None:
        self._model = model
        self._unread: Sequence[int] = request.prompt_ids
        self._images = images
        self._sampling = request.sampling
        self._guide = guide
        self._cache = DynamicCache()
        self._generator = torch.Generator()
        if request.sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(request.sampling.seed)

    @property
    def length(self) -> int:
        """Tokens that the model has read so far."""
        return int(self._cache.get_seq_length())

    @torch.inference_mode()
    def step(self) -> int:
        """Have the model read what is new, the whole prompt at first, and draw the next token."""
        logits = self._read()[0, -1]
        if self._guide is not None:
            logits[torch.from_numpy(~self._guide.allowed())] = -torch.inf
        token = draw(logits, self._sampling, self._generator)
        self._unread, self._images = [token], ()
        if self._guide is not None:
            self._guide.accept(token)
        return token

    def _read(self) -> torch.Tensor:
        """Logits of what comes next: float32 (1, 1, vocabulary)."""
        return self._model.logits(self._unread, self._cache, self._images)


def draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """A token by its logits, float32 (vocabulary,)."""
    if sampling.temperature < GREEDY_BELOW:
        return int(logits.argmax())
    probabilities = (logits / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        ascending, order = probabilities.sort()
        unlikely = ascending.cumsum(-1) <= 1 - sampling.top_p
        unlikely[-1] = False  # rounding must not leave nothing to draw
        probabilities[order[unlikely]] = 0
    return int(torch.multinomial(probabilities, 1, generator=generator))
