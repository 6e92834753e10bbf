"""A step of many kinds of requests at once, against attention written out in float32."""

# ruff: noqa: PLC0415  # importing vLLM takes seconds; collecting the tests should not

from itertools import accumulate
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.filterwarnings("default")  # torch's and vLLM's own deprecations
HEADS, SIZE, BLOCK = 5, 64, 32
TOLERANCE = 0.01
"""Outputs are below 4; bfloat16 has 8 bits."""

# (tokens of the past, new tokens) of each request
FEW = [(0, 1), (75, 1), (40, 90), (0, 17)]
MANY = [(0, 128), (31, 200), (96, 128), (333, 300), (45, 1100)]
LATE = [(50, 1), (0, 3)]
"""vLLM puts these first; they would be right elsewhere, too."""


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Step:
    """A step's queries and its requests' keys and values, also in a cache of scattered blocks."""

    def __init__(self, requests: list[tuple[int, int]]) -> None:
        from vllm import _custom_ops as ops
        from vllm.platforms import current_platform

        current_platform.import_kernels()
        torch.manual_seed(0)
        self.requests = requests
        self.starts = [0, *accumulate(new for _, new in requests)]
        self.lengths = [past + new for past, new in requests]
        self.query = _normal(self.starts[-1])
        self.keys = [_normal(length) for length in self.lengths]
        self.values = [_normal(length) for length in self.lengths]
        widest = -(-max(self.lengths) // BLOCK)
        self.table = torch.randperm(len(requests) * widest, dtype=torch.int32).view(-1, widest)
        self.cache = torch.zeros(self.table.numel(), HEADS, BLOCK, 2 * SIZE, dtype=torch.bfloat16)
        halves = self.cache.view(-1, HEADS, 2 * BLOCK, SIZE).chunk(2, dim=2)
        for row, keys, values in zip(self.table, self.keys, self.values, strict=True):
            token = torch.arange(len(keys))
            slots = row[token // BLOCK].long() * BLOCK + token % BLOCK
            ops.cpu_attn_reshape_and_cache(keys, values, *halves, slots, "vec")

    def new(self, held: list[torch.Tensor]) -> torch.Tensor:
        pairs = zip(held, self.requests, strict=True)
        return torch.cat([each[past:] for each, (past, _) in pairs])

    def wanted(self) -> torch.Tensor:
        answers = []
        for i, (past, new) in enumerate(self.requests):
            query = self.query[self.starts[i] : self.starts[i + 1]].float()
            scores = torch.einsum("qhd,khd->hqk", query, self.keys[i].float()) * SIZE**-0.5
            unseen = torch.ones(new, past + new, dtype=torch.bool).triu(past + 1)
            weights = scores.masked_fill(unseen, -torch.inf).softmax(-1)
            answers.append(torch.einsum("hqk,khd->qhd", weights, self.values[i].float()))
        return torch.cat(answers)

    def attended(self) -> tuple[torch.Tensor, int]:
        """The outputs, and how many requests the faster kernel took."""
        from kosmosx_stream.kosmosx import cpu_attention

        builder = _bare(
            cpu_attention.ExtendingBuilder,
            able=cpu_attention.fast(), isa="vec", block_size=BLOCK, dtype=torch.bfloat16,
            num_heads=HEADS, num_kv_heads=HEADS, head_dim=SIZE, window_size=-1,
            kv_cache_dtype="auto", is_cross_attention=False, is_encoder_only_attention=False,
        )  # fmt: skip
        layer = _bare(
            cpu_attention.ExtendingAttention,
            num_heads=HEADS, num_kv_heads=HEADS, head_size=SIZE, scale=SIZE**-0.5,
            attn_type="decoder", alibi_slopes=None, sliding_window=-1, logits_soft_cap=0,
            sinks=None, kv_cache_dtype="auto", use_zentorch_sdpa=False,
        )  # fmt: skip
        metadata = builder.build(0, self._metadata())
        output = torch.full_like(self.query, torch.nan)
        scales: Any = SimpleNamespace(isa="vec", _k_scale_float=1.0, _v_scale_float=1.0)
        keys, values = self.new(self.keys), self.new(self.values)
        layer.forward(scales, self.query, keys, values, self.cache, metadata, output)
        return output.float(), len(getattr(metadata, "extensions", ()))

    def _metadata(self) -> Any:
        from vllm.v1.attention.backend import CommonAttentionMetadata

        starts = torch.tensor(self.starts, dtype=torch.int32)
        return CommonAttentionMetadata(
            query_start_loc=starts,
            query_start_loc_cpu=starts,
            seq_lens=torch.tensor(self.lengths, dtype=torch.int32),
            num_reqs=len(self.requests),
            num_actual_tokens=self.starts[-1],
            max_query_len=max(new for _, new in self.requests),
            max_seq_len=max(self.lengths),
            block_table_tensor=self.table,
            slot_mapping=torch.empty(0),
        )


def _normal(tokens: int) -> torch.Tensor:
    return torch.randn(tokens, HEADS, SIZE).bfloat16()


def _bare(kind: Any, **parts: Any) -> Any:
    """One made of its parts: vLLM's constructors want a whole engine's configuration."""
    made = kind.__new__(kind)
    vars(made).update(parts)
    return made


@pytest.mark.parametrize(
    ("requests", "taken"),
    [(FEW, 0), (MANY, 5), (FEW + MANY, 5), (FEW + MANY + LATE, 7)],
    ids=["few new tokens", "many", "few, then many", "vLLM's order not kept"],
)
def test_every_request_attends_to_its_own_past(requests: list[tuple[int, int]], taken: int) -> None:
    from kosmosx_stream.kosmosx import cpu_attention

    step = Step(requests)
    got, faster = step.attended()
    torch.testing.assert_close(got, step.wanted(), atol=TOLERANCE, rtol=TOLERANCE)
    assert faster == (taken if cpu_attention.fast() else 0)


def test_with_too_little_to_share_among_the_threads_vllm_does_all() -> None:
    torch.set_num_threads(2)
    step = Step([(10, 128), (0, 1)])
    got, faster = step.attended()
    torch.testing.assert_close(got, step.wanted(), atol=TOLERANCE, rtol=TOLERANCE)
    assert not faster
