"""A plain conversation with a Kosmos-2 checkpoint through transformers, greedy and on the CPU.

For evaluation and tests; the server has its own engines. Attention is eager: transformers' default
would make the image resampler causal, which these weights were not trained for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer, Kosmos2ForConditionalGeneration

from kosmosx_stream.kosmosx.nano import CHECKPOINT
from kosmosx_stream.kosmosx.nano.dialogues import image_ids
from kosmosx_stream.kosmosx.nano.tokenizer import BOS, EOS, PAD, Codec


class Chat:
    """The token ids of a conversation so far, and its pictures."""

    def __init__(self, nano: Nano, instructions: str = "") -> None:
        self.nano = nano
        self.ids: list[int] = [BOS, *nano.codec.encode(instructions)]
        self.pictures: list[Image.Image] = []
        self.image_starts: list[int] = []

    def user(
        self, text: str, picture: Image.Image | None = None, *, grounded: bool = False
    ) -> None:
        """Append a user's turn, up to where the answer begins."""
        codec = self.nano.codec
        if picture is not None:
            self.pictures.append(picture)
            self.image_starts.append(len(self.ids) + 1)
            self.ids += image_ids(codec, self.nano.latents)
        if grounded:
            self.ids.append(codec.tags["<grounding>"])
        for part in ("Question:", text, "Answer:"):
            self.ids += codec.encode(part)

    def assistant(self, ids: Sequence[int]) -> None:
        """Append an answer."""
        self.ids += [*ids, EOS]

    def ask(self, text: str, picture: Image.Image | None = None, *, grounded: bool = False) -> str:
        """One turn: the answer with its tags, and with the answer appended to the conversation."""
        self.user(text, picture, grounded=grounded)
        answer = self.nano.answer([self])[0]
        self.assistant(answer)
        return self.nano.text(answer)


class Nano:
    """A loaded checkpoint."""

    def __init__(self, folder: Path = CHECKPOINT) -> None:
        self.model = Kosmos2ForConditionalGeneration.from_pretrained(
            folder, attn_implementation="eager", dtype=torch.float32
        ).eval()
        self.codec = Codec(AutoTokenizer.from_pretrained(folder))
        self.processor = AutoImageProcessor.from_pretrained(folder)
        self.latents = int(self.model.config.latent_query_num)

    def chat(self, instructions: str = "") -> Chat:
        return Chat(self, instructions)

    def text(self, ids: Sequence[int]) -> str:
        """The text of an answer, tags included."""
        return str(self.codec.tokenizer.decode(ids, skip_special_tokens=False))

    def plain(self, ids: Sequence[int]) -> str:
        """The text of an answer without its tags."""
        return str(self.codec.tokenizer.decode(ids, skip_special_tokens=True))

    def answer(self, chats: Sequence[Chat], limit: int = 160) -> list[list[int]]:
        """The next answer of each conversation, without the closing `</s>`.

        Conversations of equal length run together: padded batches are wrong in transformers.
        """
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, chat in enumerate(chats):
            groups[len(chat.ids), len(chat.pictures)].append(index)
        answers: list[list[int]] = [[] for _ in chats]
        for indices in groups.values():
            for start in range(0, len(indices), 50):
                part = indices[start : start + 50]
                rows = self._generate([chats[i] for i in part], limit)
                for index, row in zip(part, rows, strict=True):
                    answers[index] = row
        return answers

    def _generate(self, chats: Sequence[Chat], limit: int) -> list[list[int]]:
        ids = torch.tensor([chat.ids for chat in chats])
        settings = {
            "attention_mask": torch.ones_like(ids),
            "max_new_tokens": limit,
            "do_sample": False,
            "pad_token_id": PAD,
        }
        if chats[0].pictures:
            mask = torch.zeros_like(ids)
            for row, chat in enumerate(chats):
                for start in chat.image_starts:
                    mask[row, start : start + self.latents] = 1
            pixels = self.pixels([picture for chat in chats for picture in chat.pictures])
            out = self.model.generate(
                pixel_values=pixels, input_ids=ids, image_embeds_position_mask=mask, **settings
            )
        else:
            out = self.model.text_model.generate(input_ids=ids, **settings)
        rows = out[:, ids.shape[1] :].tolist()
        return [row[: row.index(EOS)] if EOS in row else row for row in rows]

    def pixels(self, pictures: Sequence[Image.Image]) -> Tensor:
        """CLIP preprocessing: (pictures, 3, side, side)."""
        batch = self.processor(
            [picture.convert("RGB") for picture in pictures], return_tensors="pt"
        )
        pixels: Tensor = batch["pixel_values"]
        return pixels.to(self.model.dtype)
