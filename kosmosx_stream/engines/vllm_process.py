"""How vLLM is started and asked: its arguments, environment and log, its inputs and its errors.

Importing this imports vLLM, which takes seconds: `vllm_local` does so in its own thread.
"""

import contextlib
import logging
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
from PIL import Image
from transformers import AutoConfig, PreTrainedConfig
from vllm import SamplingParams
from vllm.config import StructuredOutputsConfig
from vllm.config.logging import LoggingConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.exceptions import VLLMClientError
from vllm.inputs.engine import tokens_input
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.usage.usage_lib import UsageContext
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from kosmosx_stream.engines.checkpoint import Checkpoint
from kosmosx_stream.engines.port import (
    EngineDead,
    EngineError,
    EngineRefused,
    Generate,
)
from kosmosx_stream.engines.vllm_grammar import ANSWERED
from kosmosx_stream.engines.vllm_http import NEVER

EAGER_BELOW_BYTES = 512 * 2**20
"""Checkpoints smaller than this start faster than compilation pays back."""
KV_TOKENS = 65_536
"""On the CPU the KV cache holds so many tokens, or a whole window, within the next bounds."""
KV_BYTES = (256 * 2**20, 4 * 2**30)

FEWEST_IMAGE_TOKENS = 16
"""Of a picture in a model that does not tell before it runs; bounds how many fit the window."""


def start(model: Path, max_model_len: int | None, logging_config: Path) -> AsyncLLM:
    """Load `model` in a process of its own; takes tens of seconds and blocks.

    The process ends with the thread that calls this.

    Raises:
        Exception: whatever vLLM raises for a checkpoint or a setting that it cannot take.
    """
    # "Triton not available", on standard error: a CPU has none.
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)
    with _environment(logging_config):
        arguments = _arguments(model, max_model_len)
        arguments.logging_config = LoggingConfig(pylogging_config_file=str(logging_config))
        # vLLM batches as its own server does on this hardware: for unknown users it batches less.
        return AsyncLLM.from_engine_args(arguments, usage_context=UsageContext.OPENAI_API_SERVER)


def _arguments(model: Path, max_model_len: int | None) -> AsyncEngineArgs:
    checkpoint = Checkpoint.read(model, max_model_len)
    length = checkpoint.max_model_len
    cpu: dict[str, Any] = {}
    if current_platform.is_cpu():
        weights = sum(file.stat().st_size for file in model.glob("*.safetensors"))
        cpu = {
            # The default, 128, leaves chats' short common prefixes out of the prefix cache.
            "block_size": 32,
            "kv_cache_memory_bytes": _kv_bytes(AutoConfig.from_pretrained(model), length),
            "enforce_eager": weights < EAGER_BELOW_BYTES,
            "mm_processor_cache_gb": 0.25,
        }
    return AsyncEngineArgs(
        model=str(model),
        max_model_len=length,
        hf_overrides=checkpoint.config_overrides,
        language_model_only=checkpoint.placeholder is None,
        limit_mm_per_prompt={
            "image": length // (checkpoint.image_tokens or FEWEST_IMAGE_TOKENS),
            "video": 0,
            "audio": 0,
        },
        seed=0,
        use_tqdm_on_load=False,
        # It refuses what it cannot hold an answer to, and its grammars are our own.
        structured_outputs_config=StructuredOutputsConfig(backend="guidance"),
        **cpu,
    )


def _kv_bytes(config: PreTrainedConfig, length: int) -> int:
    """Size of the KV cache in bytes: keys and values of 2 bytes in every layer."""
    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    token = 2 * 2 * text.num_hidden_layers * heads * head
    low, high = KV_BYTES
    return max(length * token, min(high, max(low, KV_TOKENS * token)))


@contextlib.contextmanager
def _environment(logging_config: Path) -> Iterator[None]:
    """What vLLM and the processes that it starts read; what the user has set stays."""
    wanted = {
        "VLLM_LOGGING_CONFIG_PATH": str(logging_config),
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        # A forked engine would hold the server's sockets open, and forking threads is unsafe.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    }
    if current_platform.is_cpu():
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        wanted |= {
            # The model runs in the engine's process. A worker process of its own polls for work
            # (9 % of a core when idle), costs 0.5 GB, and is pinned to cores that may be busy.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "OMP_NUM_THREADS": str(max(1, cores - 1)),
        }
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def cpu_s(llm: AsyncLLM) -> float:
    """CPU time that the engine's processes have used so far, in seconds."""
    used_s = 0.0
    with contextlib.suppress(psutil.Error):  # It is dying just now.
        for process in llm.engine_core.resources.engine_manager.processes:
            top = psutil.Process(process.pid)
            for each in (top, *top.children(recursive=True)):
                used_s += sum(each.cpu_times()[:2])
    return used_s


def how_it_died(llm: AsyncLLM) -> str:
    """What ended the engine's process, as far as the system tells; vLLM's log may tell why."""
    for process in llm.engine_core.resources.engine_manager.processes:
        if code := process.exitcode:
            how = f"of {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"
            return f"vLLM's process died {how}: see vllm.log in the data folder"
    return "vLLM does not answer any more: see vllm.log in the data folder"


def sampling_params(request: Generate, never: int | None = None) -> SamplingParams:
    """How vLLM draws the answer: ids only, as they come, and `never` not among them."""
    sampling = request.sampling
    grammar = request.grammar
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        max_tokens=request.max_tokens,
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
        structured_outputs=None if grammar is None else StructuredOutputsParams(grammar=grammar),
        logit_bias=None if never is None else {never: NEVER},
        extra_args=None if grammar is None else {ANSWERED: request.answered},
    )


def reading_params() -> SamplingParams:
    """To have a prompt read: what comes then tells its length, which deltas do not."""
    return SamplingParams(max_tokens=1, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY)


def prompt(
    request: Generate, keys: Sequence[str], images: Sequence[Image.Image | None]
) -> dict[str, Any]:
    """The request as vLLM takes it. None stands for an image that it has under its key.

    What has neither images nor a grammar needs no more work, and goes out without a thread's delay.
    """
    if not images and request.grammar is None:
        ids = list(request.prompt_ids)
        return dict(tokens_input(ids, cache_salt=request.cache_salt))
    inputs: dict[str, Any] = {
        "prompt_token_ids": list(request.prompt_ids),
        "cache_salt": request.cache_salt,
    }
    if images:
        inputs["multi_modal_data"] = {"image": list(images)}
        inputs["multi_modal_uuids"] = {"image": list(keys)}
    return inputs


class ImagesForgotten(EngineError):
    """An image that was sent by its key alone is no longer cached."""


def engine_error(error: Exception) -> EngineError:
    """What an exception of vLLM means to us. Its reason lies in the cause, its message is empty."""
    cause = error.__cause__ if isinstance(error, EngineGenerateError) else error
    match cause:
        case EngineError():
            return cause
        case EngineDeadError():
            return EngineDead(str(cause))
        case ValueError() if str(cause).startswith("Cache miss for image"):
            return ImagesForgotten(str(cause))
        case VLLMClientError() | ValueError() | AssertionError():
            return EngineRefused(str(cause) or "vLLM refused the prompt")
        case _:
            return EngineError(f"{type(cause).__name__}: {cause}")
