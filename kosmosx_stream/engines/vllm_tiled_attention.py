"""New words look back at a long past sooner: vLLM's attention on CPUs with matrix tiles (AMX).

What a question about a long conversation waits for is its attention to all that was said before,
and there memory, which vLLM's kernel reads only when it needs it. `tiled_attention.cpp` computes
the same, on the same cache, where there is much to read with the help of the core that vLLM leaves
to the server. It is compiled when vLLM loads a model, in a second; where that cannot be, or a layer
wants what it does not do, vLLM's own kernel runs. vLLM's CPU has one attention backend; this wraps
its `forward` (vLLM 0.32), in the engine's process.

Importing this imports vLLM.
"""

import ctypes
import functools
import logging
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from vllm.platforms import current_platform
from vllm.v1.attention.backend import AttentionType
from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackendImpl, CPUAttentionMetadata

SOURCE = Path(__file__).with_name("tiled_attention.cpp")
TARGET = ("-mavx512f", "-mavx512dq", "-mavx512bf16", "-mamx-tile", "-mamx-bf16")
FLAGS = ("-O3", *TARGET, "-fopenmp", "-shared", "-fPIC")
KEYS, WIDEST = 128, 256
"""Limits of the kernel: a whole number of blocks has so many keys, and a head at most so many
columns."""
KEYS_A_TOKEN, KEYS_A_THREAD = 8_000, 64_000
"""Of a layer. Where each sequence has one new token and fewer keys, help saves less time than the
server needs to send the token; where each thread has fewer to read, no time."""

logger = logging.getLogger(f"vllm.{__name__}")  # for vllm.log


def install() -> None:
    """Wrap vLLM's method, once a process, on a CPU that has tiles."""
    forward = CPUAttentionBackendImpl.forward
    # vLLM asks the same of torch.
    tiles = current_platform.is_cpu() and torch.cpu._is_amx_tile_supported()  # noqa: SLF001
    if hasattr(forward, "__wrapped__") or not tiles:
        return

    @functools.wraps(forward)
    def tiled(  # noqa: PLR0917  # vLLM's
        impl: CPUAttentionBackendImpl,
        layer: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        kv_cache: torch.Tensor,
        attn_metadata: CPUAttentionMetadata | None,
        output: torch.Tensor,
        *more: Any,
        **options: Any,
    ) -> torch.Tensor:
        kernel = compiled()  # compiled by vLLM's first call, which has no metadata and warms up
        if kernel is None or attn_metadata is None or not _takes(impl, kv_cache, attn_metadata):
            return forward(
                impl, layer, query, key, value, kv_cache, attn_metadata, output, *more, **options
            )
        kernel(
            call_of(query, kv_cache, attn_metadata, impl.scale, output, spare_core=_spare_core())
        )
        return output

    CPUAttentionBackendImpl.forward = tiled


def _takes(
    impl: CPUAttentionBackendImpl, kv_cache: torch.Tensor, metadata: CPUAttentionMetadata
) -> bool:
    """Whether the kernel computes this.

    Where each sequence has one new token, vLLM's is as fast, and splits a past among many cores: it
    runs unless a core can help ours. Attention without a causal mask, with a window, a bias of any
    kind, or in other numbers is left to it.
    """
    keys = kv_cache.shape[1] * metadata.max_seq_len
    share = keys * len(metadata.seq_lens) / torch.get_num_threads()
    many = keys >= KEYS_A_TOKEN and share >= KEYS_A_THREAD
    return (
        (metadata.max_query_len > 1 or (many and _spare_core()))
        and kv_cache.dtype is torch.bfloat16
        and KEYS % kv_cache.shape[2] == 0
        and impl.head_size % 32 == 0
        and impl.head_size <= WIDEST
        and impl.attn_type == AttentionType.DECODER
        and metadata.causal
        and metadata.dynamic_causal is None
        and impl.alibi_slopes is None
        and impl.sliding_window == -1
        and not impl.logits_soft_cap
        and impl.sinks is None
    )


def _spare_core() -> bool:
    """Whether one core only does not compute: the server's, which waits while much is read."""
    return len(os.sched_getaffinity(0)) == torch.get_num_threads() + 1


class _Call(ctypes.Structure):
    """`Call` of the source, where shapes are told."""

    _fields_ = (
        ("queries", ctypes.c_void_p),
        ("query_token", ctypes.c_int64),
        ("query_head", ctypes.c_int64),
        ("mixed", ctypes.c_void_p),
        ("mixed_token", ctypes.c_int64),
        ("mixed_head", ctypes.c_int64),
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("cache_block", ctypes.c_int64),
        ("cache_head", ctypes.c_int64),
        ("starts", ctypes.c_void_p),
        ("lengths", ctypes.c_void_p),
        ("blocks", ctypes.c_void_p),
        ("blocks_row", ctypes.c_int64),
        ("sequences", ctypes.c_int32),
        ("heads", ctypes.c_int32),
        ("key_heads", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("block", ctypes.c_int32),
        ("spare_core", ctypes.c_int32),
        ("scale", ctypes.c_float),
    )


Kernel = Callable[[Any], None]


@functools.cache
def compiled() -> Kernel | None:
    """The compiled source, loaded; None, and a line in the log, where it cannot be compiled."""
    compiler = os.environ.get("CXX", "g++")
    try:
        with tempfile.TemporaryDirectory() as folder:
            library = f"{folder}/tiled_attention.so"
            command = [compiler, *FLAGS, str(SOURCE), "-o", library]
            subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
            kernel = ctypes.CDLL(library).attention
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        logger.warning("Long conversations answer later, vLLM's attention runs: %s", reason)
        return None
    kernel.argtypes, kernel.restype = [ctypes.POINTER(_Call)], None
    return kernel


def call_of(
    query: torch.Tensor,
    kv_cache: torch.Tensor,
    metadata: CPUAttentionMetadata,
    scale: float,
    output: torch.Tensor,
    *,
    spare_core: bool,
) -> _Call:
    """Attention of `query` (tokens, heads, width) over vLLM's cache, into `output`, as it is.

    The cache (blocks, key heads, block, 2 x width) has of each head's block its keys, then values.
    Where there is much to read, a thread more takes part if there is a `spare_core`.
    """
    _, heads, width = query.shape
    _, key_heads, block, _ = kv_cache.shape
    return _Call(
        queries=query.data_ptr(),
        query_token=query.stride(0),
        query_head=query.stride(1),
        mixed=output.data_ptr(),
        mixed_token=output.stride(0),
        mixed_head=output.stride(1),
        keys=kv_cache.data_ptr(),
        values=kv_cache.data_ptr() + block * width * kv_cache.element_size(),
        cache_block=kv_cache.stride(0),
        cache_head=kv_cache.stride(1),
        starts=metadata.query_start_loc.data_ptr(),
        lengths=metadata.seq_lens.data_ptr(),
        blocks=metadata.block_table.data_ptr(),
        blocks_row=metadata.block_table.stride(0),
        sequences=len(metadata.seq_lens),
        heads=heads,
        key_heads=key_heads,
        width=width,
        block=block,
        spare_core=spare_core,
        scale=scale,
    )
