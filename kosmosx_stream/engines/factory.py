"""Which engine the settings mean; the one place that names the adapters."""

from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import assert_never

from kosmosx_stream.engines.checkpoint import Checkpoint
from kosmosx_stream.engines.deterministic import DeterministicEngine
from kosmosx_stream.engines.port import Engine
from kosmosx_stream.engines.supervisor import Supervisor
from kosmosx_stream.engines.transformers_local import TransformersEngine
from kosmosx_stream.engines.vllm_local import VllmEngine
from kosmosx_stream.engines.vllm_remote import RemoteEngine
from kosmosx_stream.settings import NANO_CHECKPOINT, Settings


def running(settings: Settings) -> AbstractAsyncContextManager[Engine]:
    """Start the engine, and end it on leaving."""
    match settings.engine:
        case "vllm":
            # It has a process of its own, which may die or hang without the server.
            return Supervisor.running(partial(VllmEngine.running, settings))
        case "remote":
            return RemoteEngine.running(settings)
        case "transformers":
            return TransformersEngine.running(settings)
        case "deterministic":
            return DeterministicEngine.running(settings)
        case never:
            assert_never(never)


def caution(settings: Settings) -> str | None:
    """What is told before it starts, whichever engine it is: a window wider than the model's own.

    Raises:
        Exception: whatever is wrong with the checkpoint's files, or with the window.
    """
    checkpoint = Checkpoint.read(settings.model, settings.max_model_len)
    if not checkpoint.widened:
        return None
    return (
        f"KOSMOSX_MAX_MODEL_LEN is {checkpoint.max_model_len}, and the model in {settings.model}"
        f" was made for {checkpoint.made_for} tokens (max_position_embeddings): how well it answers"
        " beyond them is for you to check"
    )


def announcement(settings: Settings) -> str:
    """What is told while it starts."""
    if settings.engine == "remote":
        return f"waiting for a model at {' or '.join(settings.engine_urls)} ..."
    bundled = settings.engine == "vllm" and settings.model == NANO_CHECKPOINT
    return f"loading {settings.model} {'(about 20 s) ' if bundled else ''}..."


def complaint(settings: Settings, error: Exception) -> str:
    """What is told when it does not."""
    return f"the model in {settings.model} cannot be served: {error}"
