"""A checkpoint in vLLM and in transformers, whose greedy answers are to be the same."""

# ruff: noqa: PLC0415  # importing vLLM takes seconds; collecting the tests should not

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.kosmosx_stream.kosmosx import tiny_checkpoint as tiny
from tests.kosmosx_stream.kosmosx.reference import Prompt, Reference

TOKENS = 24
LOGPROB_TOLERANCE = 3e-4


def picture(seed: int, width: int = 80, height: int = 60) -> Image.Image:
    """Blocks of random colour: something to see after any resizing."""
    cells = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((width, height), Image.Resampling.NEAREST)


@dataclass(frozen=True)
class Served:
    """One answer of vLLM."""

    ids: list[int]
    logprobs: list[float]
    prompt_tokens: int
    cached_tokens: int


class Pair:
    """The same checkpoint in vLLM and in transformers.

    vLLM runs in this process, which saves the start of another interpreter; `processes` gives it
    its own, as in serving.
    """

    def __init__(self, folder: Path, *, processes: bool = False, **options: Any) -> None:
        from vllm import LLM

        dtype = getattr(torch, options.setdefault("dtype", "float32"))
        vocabulary = json.loads((folder / "tokenizer.json").read_text())
        added = {token["content"]: token["id"] for token in vocabulary["added_tokens"]}
        self.begin, self.end = added["<image>"], added["</image>"]
        self.reference = Reference(folder, self.begin, self.end, dtype)
        self.vocab_size: int = self.reference.model.config.text_config.vocab_size
        self.patch = pytest.MonkeyPatch()
        self.patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", str(int(processes)))
        self.patch.setattr(torch, "set_num_threads", torch.set_num_threads)  # vLLM replaces it
        self.llm = LLM(
            model=str(folder),
            **{"block_size": 32, "kv_cache_memory_bytes": 2**27, "enforce_eager": True, "seed": 0}
            | options,
        )

    def prompt(self, seed: int, *parts: int | Image.Image) -> Prompt:
        """`<s>`, then random words for every number, a pair for every image."""
        rng = random.Random(seed)
        ids, images = [tiny.BOS], []
        for part in parts:
            if isinstance(part, int):
                ids += [rng.randrange(len(tiny.SPECIAL), self.vocab_size) for _ in range(part)]
            else:
                ids += [self.begin, self.end]
                images.append(part)
        return Prompt(ids, tuple(images))

    def serve(
        self, prompts: Sequence[Prompt], tokens: int = TOKENS, cache_salt: str | None = None
    ) -> list[Served]:
        from vllm import SamplingParams

        sampling = SamplingParams(
            temperature=0, max_tokens=tokens, ignore_eos=True, logprobs=0, detokenize=False
        )
        requests = [
            {"prompt_token_ids": prompt.ids}
            | ({"multi_modal_data": {"image": list(prompt.images)}} if prompt.images else {})
            | ({"cache_salt": cache_salt} if cache_salt else {})
            for prompt in prompts
        ]
        return [_served(output) for output in self.llm.generate(requests, sampling, use_tqdm=False)]

    def assert_equal(self, prompts: Sequence[Prompt], tokens: int = TOKENS) -> list[Served]:
        answers = self.serve(prompts, tokens)
        for prompt, got in zip(prompts, answers, strict=True):
            want = self.reference.greedy(prompt, tokens)
            assert got.ids == want.ids
            assert got.logprobs == pytest.approx(want.logprobs, abs=LOGPROB_TOLERANCE)
            assert got.prompt_tokens == len(self.reference.expand(prompt.ids)[0])
        return answers

    def close(self) -> None:
        from vllm.distributed import cleanup_dist_env_and_memory

        self.llm.llm_engine.engine_core.shutdown()
        del self.llm
        cleanup_dist_env_and_memory()
        self.patch.undo()


def _served(output: Any) -> Served:
    completion = output.outputs[0]
    logprobs = [next(iter(step.values())).logprob for step in completion.logprobs]
    ids = list(completion.token_ids)
    return Served(ids, logprobs, len(output.prompt_token_ids), output.num_cached_tokens)
