"""A request that gave way to others may read its pictures again.

Where the prefix cache has a picture's tokens, vLLM sends a new request to the model's process
without the picture's pixels. When such a request gives way to others (the cache is full) and its
blocks are taken meanwhile, the picture is read again: without pixels that ends the engine. The
newer of vLLM's two model runners is sent all of it when the request goes on; the other, which a CPU
has, is not. vLLM has no setting for that; this wraps the one method that leaves the pixels out
(`NewRequestData.from_request`, vLLM 0.32), in the engine's process.

Importing this imports vLLM.
"""

from functools import wraps
from typing import Any

from vllm.v1.core.sched.output import NewRequestData
from vllm.v1.request import Request


def install() -> None:
    """Wrap vLLM's method, once a process."""
    make = NewRequestData.from_request
    if hasattr(make, "__wrapped__"):
        return

    @wraps(make)
    def from_request(
        request: Request,
        block_ids: tuple[list[int], ...],
        prefill_token_ids: list[int] | None = None,
        **options: Any,
    ) -> NewRequestData:
        data = make(request, block_ids, prefill_token_ids, **options)
        if prefill_token_ids is None:  # The newer runner's requests have them.
            data.mm_features = request.mm_features
        return data

    NewRequestData.from_request = staticmethod(from_request)
