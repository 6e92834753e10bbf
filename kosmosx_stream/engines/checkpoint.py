"""A checkpoint as every engine reads it, and the prompts that no engine can run on it.

Knows numbers and files; imports neither vLLM nor torch.
"""

import io
import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from operator import countOf
from pathlib import Path
from typing import Any, Self

import msgspec
from PIL import Image

from kosmosx_stream.engines.port import EngineRefused, FinishReason, Generate, ImageInput
from kosmosx_stream.kosmosx.plugin import ARCHITECTURE as KOSMOS2

MAX_MODEL_LEN = 20_000

_KOSMOS2_TEXT = {
    "vocab_size": 65037,
    "max_position_embeddings": 2048,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
"""Defaults of transformers' `Kosmos2TextConfig`: a file may leave them out."""
_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length")
"""What configurations call the longest prompt plus answer."""
_PLACEHOLDERS = ("boi_token_index", "image_token_index", "image_token_id")
"""What they call the token that their chat templates write for a picture."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Ids and lengths of the model in `folder`.

    `begin` is a token that a prompt may consist of; `ends` are those that end an answer.
    `placeholder` are the ids that stand for a picture in a prompt (Kosmos-2: `<image></image>`),
    to which the model adds `image_tokens`; None where it takes no pictures. Only Kosmos-2's files
    tell `image_tokens`: how many another model adds is known to the engine that runs it, and until
    then they are 0. `made_for` is the longest prompt plus answer by its files, `max_model_len` what
    it is given.
    """

    folder: Path
    architecture: str
    placeholder: tuple[int, ...] | None
    begin: int
    ends: tuple[int, ...]
    vocab_size: int
    image_tokens: int
    made_for: int
    max_model_len: int

    @classmethod
    def read(cls, folder: Path, max_model_len: int | None = None) -> Self:
        """Read the files of a checkpoint; without `max_model_len` the model's own length.

        Kosmos-2 can be given more than it was made for: its positions are computed, not learnt.

        Raises:
            ValueError: `max_model_len` is more than the model was made for, or a number that every
                engine needs is missing.
        """
        config = _json(folder / "config.json")
        (architecture, *_) = config.get("architectures") or ("",)
        kosmos2 = architecture == KOSMOS2
        text = {**(_KOSMOS2_TEXT if kosmos2 else {}), **config.get("text_config", config)}
        tokens = {each["content"]: each["id"] for each in _added_tokens(folder)}
        longest = next((text[name] for name in _LENGTHS if text.get(name)), max_model_len)
        if longest is None or "vocab_size" not in text:
            raise ValueError(f"{folder / 'config.json'} has no {_LENGTHS[0]} or no vocab_size")
        if max_model_len is not None and max_model_len > longest and not kosmos2:
            raise ValueError(
                f"KOSMOSX_MAX_MODEL_LEN is {max_model_len}; the model was made for {longest}"
            )
        ends = tuple(sorted({*_ends(folder, text, tokens)}))
        return cls(
            folder=folder,
            architecture=architecture,
            placeholder=(tokens["<image>"], tokens["</image>"])
            if kosmos2
            else _placeholder(config),
            begin=next(each for each in (text.get("bos_token_id"), *ends, 0) if each is not None),
            ends=ends,
            vocab_size=text["vocab_size"],
            image_tokens=config.get("latent_query_num", 64) if kosmos2 else 0,
            made_for=longest,
            max_model_len=max_model_len or min(MAX_MODEL_LEN, longest),
        )

    @property
    def kosmos2(self) -> bool:
        """Whether it is one of ours, and not any other chat model."""
        return self.architecture == KOSMOS2

    @property
    def widened(self) -> bool:
        """Whether it is given a longer window than it was made for."""
        return self.max_model_len > self.made_for

    @property
    def config_overrides(self) -> dict[str, Any]:
        """What vLLM is to read instead of what the files say: Kosmos-2's window."""
        if not self.kosmos2:
            return {}
        return {"text_config": {"max_position_embeddings": self.max_model_len}}

    @property
    def never(self) -> int | None:
        """A token that no answer may hold: later it would be taken for a picture.

        Kosmos-2's placeholder is a pair, and one of its tokens alone is text.
        """
        match self.placeholder:
            case (token,) if self.image_tokens:
                return token
            case _:
                return None

    @property
    def unpriced(self) -> bool:
        """Whether it takes pictures, of which its files do not tell how many tokens they add."""
        return self.placeholder is not None and not self.image_tokens

    def seeing(self, image_tokens: int) -> Self:
        """The same, once it is known how many tokens a picture adds to a prompt."""
        return msgspec.structs.replace(self, image_tokens=image_tokens)

    def count(self, prompt_ids: tuple[int, ...], images: int) -> int:
        """Tokens of the expanded prompt."""
        return len(prompt_ids) + images * self.image_tokens

    def budget(self, request: Generate) -> int:
        """Tokens that the answer may have: as many as were asked for, within the window."""
        prompt = self.count(request.prompt_ids, len(request.images))
        return min(request.max_tokens, self.max_model_len - prompt)

    def finish_reason(self, token: int, left: int) -> FinishReason | None:
        """Why an answer is over with this token, if it is; `left` more it may have."""
        if token in self.ends:
            return "stop"
        return None if left else "length"

    def check(self, request: Generate) -> None:
        """Refuse what cannot run, before anything is computed.

        Raises:
            EngineRefused: pairs and images are not equally many, or the prompt is empty, too long
                or not made of the model's tokens.
        """
        ids = request.prompt_ids
        for extreme in (min(ids, default=0), max(ids, default=0)):
            if not 0 <= extreme < self.vocab_size:
                raise EngineRefused(f"the model has no token {extreme}")
        if request.images and not self.image_tokens:
            raise EngineRefused("the model takes no images")
        # Without this check vLLM would take a placeholder that has no image for text.
        places = self._places(ids) if self.image_tokens else 0
        if places != len(request.images):
            raise EngineRefused(f"{places} placeholders for {len(request.images)} images")
        tokens = self.count(ids, places)
        if not 0 < tokens < self.max_model_len:
            raise EngineRefused(
                f"the prompt has {tokens} tokens; the model takes {self.max_model_len} with answer"
            )

    def _places(self, ids: tuple[int, ...]) -> int:
        """Placeholders among the ids."""
        match self.placeholder:
            case (token,):
                return ids.count(token)
            case (begin, end) if begin in ids:
                return countOf(pairwise(ids), (begin, end))
            case _:
                return 0


def _placeholder(config: Mapping[str, Any]) -> tuple[int] | None:
    """The token for a picture, if the model has one."""
    return next(((config[name],) for name in _PLACEHOLDERS if config.get(name) is not None), None)


def _ends(folder: Path, text: Mapping[str, Any], tokens: Mapping[str, int]) -> Iterator[int]:
    """What ends an answer, as vLLM sees it: the generation's end tokens, and the tokenizer's."""
    generation = _json(folder / "generation_config.json")
    match generation.get("eos_token_id", text.get("eos_token_id")):
        case int(end):
            yield end
        case list(ends):
            yield from ends
    match _json(folder / "tokenizer_config.json").get("eos_token"):
        case {"content": str(spelling)} | str(spelling) if spelling in tokens:
            yield tokens[spelling]


def _added_tokens(folder: Path) -> list[dict[str, Any]]:
    added: list[dict[str, Any]] = _json(folder / "tokenizer.json").get("added_tokens", [])
    return added


def _json(path: Path) -> dict[str, Any]:
    """A file of the folder; a missing one says nothing."""
    content: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return content


def decode(image: ImageInput) -> Image.Image:
    """The picture in RGB.

    Raises:
        EngineRefused: not an image.
    """
    try:
        return Image.open(io.BytesIO(image.data)).convert("RGB")
    except OSError as error:
        raise EngineRefused(f"an image cannot be decoded: {error}") from error
