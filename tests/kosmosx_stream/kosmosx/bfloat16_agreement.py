"""How far greedy answers in bfloat16 agree with float32, ties told from errors: a command.

    python -m tests.kosmosx_stream.kosmosx.bfloat16_agreement [--tokens 48] [--json FILE]

vLLM and transformers answer the same prompts on nano in bfloat16; transformers in float32 is right.
Where an answer leaves the right one, float32's log-probabilities of the two tokens are compared: a
difference that the rounding of bfloat16 makes by itself is a tie, a larger one is an error. Exits
with 1 if vLLM errs.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from PIL import Image

from conversation.items import Image as Shown
from conversation.items import Message, Text
from kosmosx_stream.engines.checkpoint import Checkpoint
from kosmosx_stream.kosmosx.prompt import Kosmos2Format
from kosmosx_stream.settings import NANO_CHECKPOINT
from tests.kosmosx_stream.kosmosx.reference import Prompt, Reference

SCENES = sorted((Path(__file__).parents[3] / "web_demo/samples").glob("scene-*.png"))
ASKED = ("Describe the picture.", "How many shapes are there?", "What color is the circle?")
SAID = ("Hello!", "What can you do?", "Tell me a joke.", "My name is Ada. What is my name?")
ENDS = Checkpoint.read(NANO_CHECKPOINT).ends
ROUNDINGS = 4
"""A tie is a difference of so many times the mean error of transformers' own bfloat16."""


@dataclass(frozen=True)
class Agreement:
    """Answers in bfloat16 against those in float32; differences are of log-probabilities."""

    answers: int
    answers_equal: int
    tokens_before_splits: int
    splits_at_ties: int
    splits_at_errors: int
    largest_difference_at_a_split: float
    mean_error: float


@dataclass(frozen=True)
class Step:
    """A token that was picked, and its log-probability."""

    token: int
    logprob: float


def prompts(chat: Kosmos2Format) -> list[Prompt]:
    """Every question about every scene, and small talk."""
    made = []
    for scene in SCENES:
        with Image.open(scene) as file:
            picture = file.convert("RGB")
        made += [Prompt(_ids(chat, Shown("", "auto"), Text(each)), (picture,)) for each in ASKED]
    return made + [Prompt(_ids(chat, Text(each))) for each in SAID]


def _ids(chat: Kosmos2Format, *parts: Text | Shown) -> list[int]:
    message = Message(id="m", role="user", content=parts)
    return [*chat.opening(None), *chat.segment([message], grounding=len(parts) > 1)]


def by_vllm(asked: Sequence[Prompt], tokens: int) -> list[list[Step]]:
    os.environ |= {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
    }
    from vllm import LLM, SamplingParams  # noqa: PLC0415

    llm = LLM(
        model=str(NANO_CHECKPOINT), dtype="bfloat16", block_size=32, enforce_eager=True, seed=0
    )
    sampling = SamplingParams(
        temperature=0, max_tokens=tokens, ignore_eos=True, logprobs=0, detokenize=False
    )
    requests: list[Any] = [
        {"prompt_token_ids": prompt.ids}
        | ({"multi_modal_data": {"image": list(prompt.images)}} if prompt.images else {})
        for prompt in asked
    ]
    answers = []
    for output in llm.generate(requests, sampling, use_tqdm=False):
        said = output.outputs[0]
        picked = zip(said.token_ids, said.logprobs, strict=True)
        answers.append([Step(token, logprobs[token].logprob) for token, logprobs in picked])
    return answers


def compared(
    exact: Sequence[Sequence[torch.Tensor]], answers: Sequence[Sequence[Step]], tie: float
) -> Agreement:
    """`exact` are float32's log-probabilities (vocabulary,) of every step of every answer."""
    errors: list[float] = []
    differences: list[float] = []
    for rows, answer in zip(exact, answers, strict=True):
        for row, step in zip(rows, answer, strict=True):
            errors.append(abs(row[step.token].item() - step.logprob))
            if step.token != int(row.argmax()):
                differences.append((row.max() - row[step.token]).item())
            if step.token != int(row.argmax()) or step.token in ENDS:
                break
    return Agreement(
        answers=len(answers),
        answers_equal=len(answers) - len(differences),
        tokens_before_splits=len(errors) - len(differences),
        splits_at_ties=sum(each <= tie for each in differences),
        splits_at_errors=sum(each > tie for each in differences),
        largest_difference_at_a_split=max(differences, default=0.0),
        mean_error=fmean(errors),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Agreement of bfloat16 with float32.")
    parser.add_argument("--tokens", type=int, default=48, help="of each answer")
    parser.add_argument("--json", type=Path, help="write the result there too")
    given = parser.parse_args()
    asked = prompts(Kosmos2Format.from_checkpoint(NANO_CHECKPOINT))
    begin, end = asked[0].ids[1:3]
    exact = Reference(NANO_CHECKPOINT, begin, end)
    rows = [exact.steps(prompt, given.tokens)[1] for prompt in asked]
    rounded = Reference(NANO_CHECKPOINT, begin, end, torch.bfloat16)
    theirs = []
    for prompt in asked:
        ids, steps = rounded.steps(prompt, given.tokens)
        pairs = zip(ids, steps, strict=True)
        theirs.append([Step(token, step[token].item()) for token, step in pairs])
    tie = ROUNDINGS * compared(rows, theirs, 0).mean_error
    served = compared(rows, by_vllm(asked, given.tokens), tie)
    result = {
        "tie": tie,
        "vllm": asdict(served),
        "transformers": asdict(compared(rows, theirs, tie)),
    }
    print(json.dumps(result, indent=2))  # noqa: T201
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if served.splits_at_errors else 0


if __name__ == "__main__":
    sys.exit(main())
