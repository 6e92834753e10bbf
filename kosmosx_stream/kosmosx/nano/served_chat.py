"""The same conversations through vLLM in this process: the same tokens, many times sooner.

vLLM's float32 answers are transformers' to the token (`tests/.../test_parity.py`), and it takes
conversations of unequal length together, which transformers cannot.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kosmosx_stream.engines.checkpoint import Checkpoint
from kosmosx_stream.kosmosx.nano import CHECKPOINT
from kosmosx_stream.kosmosx.nano.chat import Chat, Nano

LONGEST = 20_000  # tokens of a conversation


class ServedNano(Nano):
    """A checkpoint, answering by vLLM."""

    def __init__(self, folder: Path = CHECKPOINT) -> None:
        super().__init__(folder)
        os.environ |= {
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_LOGGING_LEVEL": "ERROR",
        }
        from vllm import LLM  # noqa: PLC0415  # takes seconds, and nobody else needs it

        self._llm = LLM(
            str(folder),
            dtype="float32",
            block_size=32,
            enforce_eager=True,
            max_num_seqs=64,
            seed=0,
            max_model_len=LONGEST,
            hf_overrides=Checkpoint.read(folder, LONGEST).config_overrides,
        )

    def answer(self, chats: Sequence[Chat], limit: int = 160) -> list[list[int]]:
        from vllm import SamplingParams  # noqa: PLC0415

        greedy = SamplingParams(temperature=0, max_tokens=limit, detokenize=False)
        outputs = self._llm.generate([_prompt(chat) for chat in chats], greedy, use_tqdm=False)
        end = self.codec.tokenizer.eos_token_id
        return [[token for token in each.outputs[0].token_ids if token != end] for each in outputs]


def _prompt(chat: Chat) -> dict[str, Any]:
    """VLLM opens the places of a picture itself, between an adjacent pair of tags."""
    latents = chat.nano.latents
    places = {start + at for start in chat.image_starts for at in range(latents)}
    ids = [token for at, token in enumerate(chat.ids) if at not in places]
    prompt: dict[str, Any] = {"prompt_token_ids": ids}
    if chat.pictures:
        prompt["multi_modal_data"] = {"image": [each.convert("RGB") for each in chat.pictures]}
    return prompt
