"""vLLM's attention on the CPU, with a faster kernel where many new tokens look back at the past.

vLLM's own kernel, on CPUs without matrix tiles, widens bfloat16 to float32 and multiplies that. Its
`extend_attention_cpu`, made for other models, multiplies bfloat16 and needs two thirds of the time,
but it reads a past whose keys lie one after another; the cache holds them across. Turning them
round pays for many new tokens. Few new ones, and each token of an answer, go vLLM's way.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil

import torch
from vllm.config import VllmConfig
from vllm.v1.attention.backend import AttentionLayer, CommonAttentionMetadata
from vllm.v1.attention.backends.cpu_attn import (
    CPUAttentionBackend,
    CPUAttentionBackendImpl,
    CPUAttentionMetadata,
    CPUAttentionMetadataBuilder,
)
from vllm.v1.kv_cache_interface import AttentionSpec

MANY = 128
"""From so many new tokens of a request on, the other kernel is never slower; see the tests."""
ROWS = 128
"""New tokens that the kernel takes at once where it is told of 257 to 1,024 of them."""
TASKS_PER_THREAD = 4
"""It shares out heads and `ROWS` among the threads; with fewer of them some would wait."""


@dataclass(frozen=True)
class Extension:
    """A request's new tokens, and where the cache holds what they look back at."""

    rows: slice
    """Of the step's tokens."""
    length: torch.Tensor
    """Of the past and the new tokens together: int64 (1,)."""
    blocks: torch.Tensor
    """The cache's blocks that hold the past: int64 (blocks,), at least one."""
    places: torch.Tensor
    """Each token's row, of its first head, among the rows of the blocks: int64 (1, length)."""


@dataclass
class Metadata(CPUAttentionMetadata):
    """vLLM's own, of the requests that come first and go its way, and the others."""

    extensions: tuple[Extension, ...] = ()


class ExtendingBuilder(CPUAttentionMetadataBuilder):
    """Tells requests with many new tokens from the others, once a step."""

    def __init__(
        self,
        kv_cache_spec: AttentionSpec,
        layer_names: list[str],
        vllm_config: VllmConfig,
        device: torch.device,
    ) -> None:
        super().__init__(kv_cache_spec, layer_names, vllm_config, device)
        self.able = kv_cache_spec.dtype == torch.bfloat16 and self.isa == "vec" and fast()
        if self.able:
            # vLLM puts requests with no more new tokens before the others.
            self.reorder_batch_threshold = MANY - 1

    def build(
        self,
        common_prefix_len: int,
        common_attn_metadata: CommonAttentionMetadata,
        fast_build: bool = False,  # noqa: FBT001, FBT002  # vLLM's signature
    ) -> CPUAttentionMetadata:
        """Divide the step before its first request with many new tokens, if it has one."""
        step = common_attn_metadata
        if not self._extends(step.max_query_len):
            return super().build(common_prefix_len, step, fast_build)
        starts: list[int] = step.query_start_loc_cpu.tolist()
        new = [end - start for start, end in pairwise(starts)][: step.num_reqs]
        usual = next((i for i, tokens in enumerate(new) if self._extends(tokens)), len(new))
        if usual:
            step = replace(
                step,
                num_reqs=usual,
                query_start_loc=step.query_start_loc[: usual + 1],
                seq_lens=step.seq_lens[:usual],
                block_table_tensor=step.block_table_tensor[:usual],
            )
        built = super().build(common_prefix_len, step, fast_build)
        return Metadata(
            **vars(built) | {"num_actual_tokens": starts[usual]},
            extensions=tuple(
                self._extension(common_attn_metadata, i, slice(starts[i], starts[i + 1]))
                for i in range(usual, len(new))
            ),
        )

    def _extends(self, new: int) -> bool:
        tasks = self.num_heads * ceil(new / ROWS)
        return self.able and new >= MANY and tasks >= TASKS_PER_THREAD * torch.get_num_threads()

    def _extension(self, step: CommonAttentionMetadata, request: int, rows: slice) -> Extension:
        length = step.seq_lens[request : request + 1].long()
        past = int(length) - (rows.stop - rows.start)
        blocks = step.block_table_tensor[request, : max(1, ceil(past / self.block_size))]
        token = torch.arange(int(length))
        block, place = token // self.block_size, token % self.block_size
        places = block * self.num_kv_heads * self.block_size + place
        return Extension(rows, length, blocks.long(), places[None])


class ExtendingAttention(CPUAttentionBackendImpl):
    """One layer's attention."""

    def forward(  # noqa: PLR0917  # vLLM's signature
        self,
        layer: AttentionLayer,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        kv_cache: torch.Tensor,
        attn_metadata: CPUAttentionMetadata | None,
        output: torch.Tensor,
        output_scale: torch.Tensor | None = None,
        output_block_scale: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend; see vLLM's. The cache holds the new keys and values already."""
        extensions = attn_metadata.extensions if isinstance(attn_metadata, Metadata) else ()
        if attn_metadata is None or attn_metadata.num_actual_tokens:
            super().forward(
                layer,
                query,
                key,
                value,
                kv_cache,
                attn_metadata,
                output,
                output_scale,
                output_block_scale,
            )
        first = torch.zeros(1, dtype=torch.int64)
        for each in extensions:
            keys, values = self._past(each.blocks, kv_cache)
            new = each.rows.stop - each.rows.start
            torch.ops._C.extend_attention_cpu(  # noqa: SLF001  # where vLLM's kernels are
                q_extend=query[each.rows],
                k_extend=key[each.rows],
                v_extend=value[each.rows],
                o_extend=output[each.rows],
                k_buffer=_rows(keys),
                v_buffer=_rows(values),
                req_to_token=each.places,
                req_pool_indices=first,
                seq_lens=each.length,
                extend_seq_lens=torch.tensor([new]),
                extend_start_loc=first,
                max_len_extend=max(2 * ROWS + 1, new),
                sm_scale=self.scale,
                logit_cap=0.0,
                is_cross_attn=False,
                sliding_window_size=-1,
                encoder_lens=None,
                sinks=None,
            )
        return output

    def _past(
        self, blocks: torch.Tensor, kv_cache: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of these blocks, each (blocks, heads, tokens, head size)."""
        # Of each head a block holds the keys, (head size, tokens), and the values after them.
        held = kv_cache.view(*kv_cache.shape[:2], 2, -1, self.head_size)
        keys, values = (held[:, :, i].index_select(0, blocks) for i in (0, 1))
        across = keys.view(*keys.shape[:2], self.head_size, -1)
        return across.mT.contiguous(), values


class ExtendingBackend(CPUAttentionBackend):
    """vLLM's, of these parts."""

    @staticmethod
    def get_impl_cls() -> type[ExtendingAttention]:
        return ExtendingAttention

    @staticmethod
    def get_builder_cls() -> type[ExtendingBuilder]:
        return ExtendingBuilder


def fast() -> bool:
    """Whether this CPU multiplies bfloat16. With matrix tiles vLLM's own kernel is the faster."""
    return torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001  # vLLM asks the same way


def _rows(held: torch.Tensor) -> torch.Tensor:
    """(blocks, heads, tokens, head size), seen as (rows, heads, head size).

    A row's heads lie a block's tokens apart, so the last rows are not of a first head.
    """
    blocks, heads, tokens, size = held.shape
    rows = (blocks * heads - (heads - 1)) * tokens
    return held.as_strided((rows, heads, size), (size, tokens * size, 1))
