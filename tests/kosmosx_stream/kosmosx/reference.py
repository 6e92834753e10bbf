"""Greedy answers of transformers, one prompt at a time: what vLLM must repeat.

Attention is eager, because transformers' SDPA makes the resampler causal; and prompts run one by
one, because its left-padded batches number positions wrongly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoImageProcessor, Kosmos2ForConditionalGeneration


@dataclass(frozen=True)
class Prompt:
    """Ids with one adjacent `<image></image>` pair per image."""

    ids: list[int]
    images: tuple[Image.Image, ...] = ()


@dataclass(frozen=True)
class Answer:
    """Generated ids and the log-probability of each."""

    ids: list[int]
    logprobs: list[float]


class Reference:
    def __init__(self, folder: Path, begin: int, end: int, dtype: torch.dtype = torch.float32):
        self.model = Kosmos2ForConditionalGeneration.from_pretrained(
            folder, dtype=dtype, attn_implementation="eager"
        ).eval()
        self.processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        self.begin, self.end = begin, end
        self.latents = self.model.config.latent_query_num

    def expand(self, ids: Sequence[int]) -> tuple[list[int], list[bool]]:
        """Ids with the latents' places opened, and the mask of those places."""
        out: list[int] = []
        mask: list[bool] = []
        for index, token in enumerate(ids):
            out.append(token)
            mask.append(False)
            if token == self.begin and list(ids[index + 1 : index + 2]) == [self.end]:
                # transformers' processor writes unk + 1, unk + 2, … here; any but padding will do.
                out += [self.begin] * self.latents
                mask += [True] * self.latents
        return out, mask

    def logprobs(self, prompt: Prompt) -> list[float]:
        """Log-probability of every token as the first of the answer."""
        _, (first, *_) = self.steps(prompt, 1)
        return first.tolist()

    def greedy(self, prompt: Prompt, tokens: int) -> Answer:
        ids, steps = self.steps(prompt, tokens)
        return Answer(ids, [step[id_].item() for step, id_ in zip(steps, ids, strict=True)])

    @torch.no_grad()
    def steps(self, prompt: Prompt, tokens: int) -> tuple[list[int], list[torch.Tensor]]:
        """Ids, and for each the log-probabilities float32 (vocabulary,) it was picked from."""
        ids, mask = self.expand(prompt.ids)
        options = {
            "input_ids": torch.tensor([ids]),
            "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
            "do_sample": False,
            "no_repeat_ngram_size": 0,  # which the published checkpoint asks for
            "max_new_tokens": tokens,
            # No token ends the answer, and none is masked, as with `ignore_eos`.
            "eos_token_id": self.model.config.text_config.vocab_size,
            "output_logits": True,
            "return_dict_in_generate": True,
        }
        if prompt.images:
            pixels = self.processor(images=list(prompt.images), return_tensors="pt")
            result = self.model.generate(
                pixel_values=pixels["pixel_values"].to(self.model.dtype),
                image_embeds_position_mask=torch.tensor([mask]),
                **options,
            )
        else:
            result = self.model.text_model.generate(**options)
        steps = [step[0].float().log_softmax(-1) for step in result.logits]
        return result.sequences[0, len(ids) :].tolist(), steps
