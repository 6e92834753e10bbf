"""A Kosmos-2 checkpoint as every engine reads it, and the prompts that no engine can run on it.

Knows numbers and files; imports neither vLLM nor torch.
"""

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Self

import msgspec
from PIL import Image

from kosmosx_stream.engines.port import EngineRefused, Generate, ImageInput

MAX_MODEL_LEN = 20_000


class _TextConfig(msgspec.Struct):
    """Defaults are those of transformers' `Kosmos2TextConfig`: a file may leave them out."""

    vocab_size: int = 65037
    max_position_embeddings: int = 2048
    bos_token_id: int = 0
    eos_token_id: int = 2


class _Config(msgspec.Struct):
    text_config: _TextConfig
    latent_query_num: int = 64


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Ids and lengths of the model in `folder`.

    `pair` are the ids of `<image>` and `</image>`; `image_tokens` come between them for the model.
    """

    folder: Path
    pair: tuple[int, int]
    begin: int
    end: int
    vocab_size: int
    image_tokens: int
    max_model_len: int

    @classmethod
    def read(cls, folder: Path, max_model_len: int | None = None) -> Self:
        """Read the files of a checkpoint; without `max_model_len` the model's own length.

        Raises:
            ValueError: `max_model_len` is more than the model was made for.
        """
        config = msgspec.json.decode((folder / "config.json").read_bytes(), type=_Config)
        text = config.text_config
        tokens = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
        ids = {token["content"]: token["id"] for token in tokens}
        longest = text.max_position_embeddings
        if max_model_len is not None and max_model_len > longest:
            raise ValueError(f"max_model_len is {max_model_len}; the model was made for {longest}")
        return cls(
            folder=folder,
            pair=(ids["<image>"], ids["</image>"]),
            begin=text.bos_token_id,
            end=text.eos_token_id,
            vocab_size=text.vocab_size,
            image_tokens=config.latent_query_num,
            max_model_len=max_model_len or min(MAX_MODEL_LEN, longest),
        )

    def count(self, prompt_ids: tuple[int, ...], images: int) -> int:
        """Tokens of the expanded prompt."""
        return len(prompt_ids) + images * self.image_tokens

    def check(self, request: Generate) -> None:
        """Refuse what cannot run, before anything is computed.

        Raises:
            EngineRefused: pairs and images are not equally many, or the prompt is empty, too long
                or not made of the model's tokens.
        """
        ids = request.prompt_ids
        foreign = next((each for each in ids if not 0 <= each < self.vocab_size), None)
        if foreign is not None:
            raise EngineRefused(f"the model has no token {foreign}")
        # Without this check vLLM would take a pair that has no image for text.
        pairs = sum(pair == self.pair for pair in pairwise(ids))
        if pairs != len(request.images):
            raise EngineRefused(f"{pairs} <image></image> pairs for {len(request.images)} images")
        tokens = self.count(ids, pairs)
        if not 0 < tokens < self.max_model_len:
            raise EngineRefused(
                f"the prompt has {tokens} tokens; the model takes {self.max_model_len} with answer"
            )


def decode(image: ImageInput) -> Image.Image:
    """The picture in RGB.

    Raises:
        EngineRefused: not an image.
    """
    try:
        return Image.open(io.BytesIO(image.data)).convert("RGB")
    except OSError as error:
        raise EngineRefused(f"an image cannot be decoded: {error}") from error
