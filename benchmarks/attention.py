"""Attention to a long past on a CPU with matrix tiles (AMX): our kernel against vLLM's.

    python -m benchmarks.attention [--past 4000] [--new 10 50 150] [--conversations 1] [--heads 6]
        [--key-heads 6] [--width 64] [--threads 1] [--spare-core] [--rounds 30]

One layer after another, as in a model, so that no layer's keys and values are near the CPU any
more when they are read again. Both kernels take turns on the same cache in one process; a number is
the median over the rounds, of a layer. Compare ratios, not machines.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace

import torch
from vllm import _custom_ops as ops
from vllm.platforms import current_platform

from kosmosx_stream.engines import tile_registers, vllm_tiled_attention

LAYERS, BLOCK = 6, 32


class Layers:
    """Random keys and values of conversations, and random questions about them."""

    def __init__(self, given: argparse.Namespace, new: int) -> None:
        heads, key_heads, width = given.heads, given.key_heads or given.heads, given.width
        tokens, talks = given.past + new, given.conversations
        row = -(-tokens // BLOCK)
        self.blocks = torch.randperm(talks * row, dtype=torch.int32).view(talks, row)
        at = torch.arange(tokens)
        slots = (self.blocks[:, at // BLOCK].long() * BLOCK + at % BLOCK).flatten()
        self.caches = []
        for _ in range(LAYERS):
            keys, values = torch.randn(2, len(slots), key_heads, width).to(torch.bfloat16)
            cache = torch.zeros(talks * row, key_heads, BLOCK, 2 * width, dtype=torch.bfloat16)
            ops.cpu_attn_reshape_and_cache(keys, values, *_halves(cache), slots, "amx")
            self.caches.append(cache)
        self.queries = torch.randn(talks * new, heads, width).to(torch.bfloat16)
        self.mixed = torch.empty_like(self.queries)
        self.scale = width**-0.5
        self.spare_core = given.spare_core
        self.starts = torch.arange(talks + 1, dtype=torch.int32) * new
        self.lengths = torch.full((talks,), tokens, dtype=torch.int32)
        self.schedule = ops.cpu_attn_get_scheduler_metadata(
            talks,
            heads,
            key_heads,
            width,
            self.lengths,
            torch.bfloat16,
            self.starts,
            causal=True,
            sliding_window_size=-1,
            isa="amx",
            enable_kv_split=True,
        )

    def vllms(self, cache: torch.Tensor) -> None:
        """The peer."""
        ops.cpu_attention_with_kv_cache(
            self.queries,
            *_halves(cache),
            self.mixed,
            self.starts,
            self.lengths,
            self.scale,
            causal=True,
            alibi_slopes=None,
            sliding_window=-1,
            block_table=self.blocks,
            softcap=0,
            scheduler_metadata=self.schedule,
            s_aux=None,
        )

    def ours(self, cache: torch.Tensor) -> None:
        """As the engine calls it."""
        metadata = SimpleNamespace(
            query_start_loc=self.starts, seq_lens=self.lengths, block_table=self.blocks
        )
        kernel = vllm_tiled_attention.compiled()
        assert kernel is not None, "it cannot be compiled here"
        kernel(
            vllm_tiled_attention.call_of(
                self.queries, cache, metadata, self.scale, self.mixed, spare_core=self.spare_core
            )
        )

    def ms(self, attention: Callable[[torch.Tensor], None]) -> float:
        """Of a layer."""
        start = time.perf_counter()
        for cache in self.caches:
            attention(cache)
        return 1000 * (time.perf_counter() - start) / LAYERS


def _halves(cache: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values, as vLLM's kernels take them."""
    blocks, heads, block, width = cache.shape
    keys, values = cache.view(blocks, heads, 2 * block, width // 2).chunk(2, dim=2)
    return keys, values


def main() -> None:
    """Print a line for each number of new tokens."""
    parser = argparse.ArgumentParser(description="Our attention against vLLM's.")
    parser.add_argument("--past", type=int, default=4000, help="tokens")
    parser.add_argument("--new", type=int, nargs="+", default=(10, 50, 150), help="tokens")
    parser.add_argument("--conversations", type=int, default=1, help="at once")
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--key-heads", type=int, help="as many, if not told")
    parser.add_argument("--width", type=int, default=64, help="of a head")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--spare-core", action="store_true", help="may help ours")
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    tile_registers.request()
    current_platform.import_kernels()
    torch.set_num_threads(given.threads)
    for new in given.new:
        layers = Layers(given, new)
        contenders = (layers.vllms, layers.ours)
        rounds = [[layers.ms(each) for each in contenders] for _ in range(given.rounds + 1)]
        theirs, ours = (statistics.median(each) for each in zip(*rounds[1:], strict=True))
        print(
            f"{new:4} new tokens behind {given.past}: vLLM {theirs:.2f} ms, ours {ours:.2f} ms, "
            f"{theirs / ours:.2f} x"
        )


if __name__ == "__main__":
    main()
