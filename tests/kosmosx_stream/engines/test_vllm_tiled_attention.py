"""Our attention on matrix tiles against float32's, over vLLM's own cache."""

# ruff: noqa: PLC0415  # importing vLLM takes seconds; collecting the tests should not

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import torch

if TYPE_CHECKING:
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackendImpl

pytestmark = [
    pytest.mark.filterwarnings("default"),  # torch's and vLLM's own deprecations
    pytest.mark.skipif(
        " amx_bf16 " not in f"{Path('/proc/cpuinfo').read_text()} ",
        reason="a CPU without matrix tiles",
    ),
]


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Sequences of `past` tokens, each of which `new` more are asked about."""

    new: tuple[int, ...]
    past: tuple[int, ...]
    heads: int = 4
    key_heads: int = 4
    width: int = 64
    block: int = 32


SHAPES = (
    Shape(new=(50,), past=(1000,)),
    Shape(new=(2,), past=(0,)),
    Shape(new=(31, 32, 33), past=(1, 0, 31)),
    Shape(new=(300,), past=(0,)),  # more than take turns on the same keys
    Shape(new=(5, 1, 140, 1), past=(0, 777, 128, 127)),  # some generate, some read
    Shape(new=(70, 17), past=(100, 300), heads=8, key_heads=2, block=64),
    Shape(new=(33,), past=(260,), heads=2, key_heads=2, width=256, block=128),
    Shape(new=(20,), past=(129,), heads=1, key_heads=1, width=32),
    Shape(new=(40,), past=(95,), heads=3, key_heads=1, width=96, block=64),
    Shape(new=(1, 43, 2), past=(300, 0, 31), heads=15, key_heads=5),
)


class Case:
    """Random queries, keys and values; keys and values are in vLLM's cache, in mixed-up blocks."""

    def __init__(self, shape: Shape, loudness: float = 1.0) -> None:
        from vllm import _custom_ops as ops
        from vllm.platforms import current_platform

        from kosmosx_stream.engines import tile_registers

        tile_registers.request()
        current_platform.import_kernels()
        draw = torch.Generator().manual_seed(7)

        def random(*size: int) -> torch.Tensor:
            return torch.randn(*size, generator=draw).to(torch.bfloat16)

        self.shape = shape
        self.lengths = [new + past for new, past in zip(shape.new, shape.past, strict=True)]
        row = -(-max(self.lengths) // shape.block)
        places = torch.randperm(len(self.lengths) * row, generator=draw, dtype=torch.int32)
        self.blocks = places.view(len(self.lengths), row)
        size = (places.numel(), shape.key_heads, shape.block, 2 * shape.width)
        self.cache = torch.zeros(size, dtype=torch.bfloat16)
        # As the model hands them over: a part of what one product gave for queries, keys, values.
        self.queries = loudness * random(sum(shape.new), 3 * shape.heads, shape.width)
        self.queries = self.queries[:, : shape.heads]
        self.keys = [random(each, shape.key_heads, shape.width) for each in self.lengths]
        self.values = [random(each, shape.key_heads, shape.width) for each in self.lengths]
        halves = self.cache.view(*size[:2], 2 * shape.block, shape.width).chunk(2, dim=2)
        for blocks, keys, values in zip(self.blocks, self.keys, self.values, strict=True):
            at = torch.arange(len(keys))
            slots = blocks[at // shape.block].long() * shape.block + at % shape.block
            ops.cpu_attn_reshape_and_cache(keys, values, *halves, slots, "amx")

    @property
    def metadata(self) -> SimpleNamespace:
        """As vLLM builds it."""
        from vllm import _custom_ops as ops

        new = torch.tensor([0, *self.shape.new], dtype=torch.int32)
        starts = new.cumsum(0, dtype=torch.int32)
        lengths = torch.tensor(self.lengths, dtype=torch.int32)
        return SimpleNamespace(
            num_actual_tokens=int(starts[-1]),
            max_query_len=max(self.shape.new),
            max_seq_len=max(self.lengths),
            query_start_loc=starts,
            seq_lens=lengths,
            block_table=self.blocks,
            causal=True,
            dynamic_causal=None,
            scheduler_metadata=ops.cpu_attn_get_scheduler_metadata(
                len(lengths),
                self.shape.heads,
                self.shape.key_heads,
                self.shape.width,
                lengths,
                torch.bfloat16,
                starts,
                causal=True,
                sliding_window_size=-1,
                isa="amx",
                enable_kv_split=True,
            ),
        )

    @property
    def scale(self) -> float:
        return self.shape.width**-0.5

    def exact(self) -> torch.Tensor:
        """What float32 makes of the same numbers."""
        share = self.shape.heads // self.shape.key_heads
        answers = []
        for queries, keys, values in zip(
            self.queries.float().split(self.shape.new), self.keys, self.values, strict=True
        ):
            scores = torch.einsum(
                "qhd,khd->hqk", queries * self.scale, keys.float().repeat_interleave(share, 1)
            )
            past = len(keys) - len(queries)
            seen = torch.ones(len(queries), len(keys), dtype=torch.bool).tril(past)
            weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
            told = values.float().repeat_interleave(share, 1)
            answers.append(torch.einsum("hqk,khd->qhd", weights, told))
        return torch.cat(answers)


def impl(case: Case, **other: Any) -> "CPUAttentionBackendImpl":
    """A layer of the model, as far as attention goes."""
    from vllm.v1.attention.backend import AttentionType
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackendImpl

    made = CPUAttentionBackendImpl.__new__(CPUAttentionBackendImpl)
    made.__dict__ |= {
        "scale": case.scale,
        "head_size": case.shape.width,
        "attn_type": AttentionType.DECODER,
        "alibi_slopes": None,
        "sliding_window": -1,
        "logits_soft_cap": 0,
        "sinks": None,
        "kv_cache_dtype": "auto",
        **other,
    }
    return made


@pytest.fixture
def forward() -> Iterator[Any]:
    """The wrapped method of vLLM; not for other tests."""
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackendImpl

    from kosmosx_stream.engines import vllm_tiled_attention

    before = CPUAttentionBackendImpl.forward
    vllm_tiled_attention.install()
    yield CPUAttentionBackendImpl.forward
    CPUAttentionBackendImpl.forward = before


def mixed(forward: Any, case: Case, **other: Any) -> torch.Tensor:
    layer = SimpleNamespace(_k_scale_float=1.0, _v_scale_float=1.0)
    output = torch.full(case.queries.shape, torch.nan, dtype=torch.bfloat16)
    forward(impl(case, **other), layer, case.queries, None, None, case.cache, case.metadata, output)
    return output


@pytest.mark.parametrize("loudness", [1.0, 20.0], ids=["soft", "sharp"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_float32s_within_bfloat16(forward: Any, shape: Shape, loudness: float) -> None:
    case = Case(shape, loudness)
    exact = case.exact()
    assert (mixed(forward, case).float() - exact).abs().max() < 0.01 * exact.abs().max()


def test_many_cores_and_one_compute_the_same_numbers(forward: Any) -> None:
    case = Case(Shape(new=(100, 60), past=(300, 20)))
    threads = torch.get_num_threads()
    answers = []
    try:
        for count in (1, 16):  # Of so few queries each of many cores takes fewer.
            torch.set_num_threads(count)
            answers.append(mixed(forward, case))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*answers)


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


LONG = Shape(new=(100,), past=(2000,))
TALKS = Shape(new=(1,) * 8, past=(2000,) * 8)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("shape", [LONG, TALKS], ids=["a question", "tokens of many answers"])
def test_a_spare_core_helps_with_a_long_past(
    forward: Any, monkeypatch: pytest.MonkeyPatch, shape: Shape
) -> None:
    from kosmosx_stream.engines import vllm_tiled_attention

    case = Case(shape)
    exact = case.exact()

    def others_s() -> float:
        """CPU time that other threads used for it."""
        before = time.process_time() - time.thread_time()
        answer = mixed(forward, case)
        assert (answer.float() - exact).abs().max() < 0.01 * exact.abs().max()
        return time.process_time() - time.thread_time() - before

    monkeypatch.setattr(vllm_tiled_attention, "_spare_core", lambda: True)
    deadline = time.monotonic() + 60
    while others_s() < 5e-5:  # A core that is busy is left alone for a while.
        assert time.monotonic() < deadline
        time.sleep(0.05)
    monkeypatch.setattr(vllm_tiled_attention, "_spare_core", lambda: False)
    assert min(others_s() for _ in range(20)) < 5e-5


def forbid_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    from kosmosx_stream.engines import vllm_tiled_attention

    monkeypatch.setattr(
        vllm_tiled_attention, "call_of", lambda *_, **__: pytest.fail("it was called")
    )


def test_what_the_kernel_cannot_do_is_left_to_vllm(
    forward: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(Shape(new=(40,), past=(300,)))
    everything = mixed(forward, case)
    forbid_the_kernel(monkeypatch)
    near = mixed(forward, case, sliding_window=16)
    assert not near.isnan().any()
    assert not torch.allclose(near, everything, atol=0.05)


def test_one_new_token_each_is_left_to_vllm_without_help(
    forward: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kosmosx_stream.engines import vllm_tiled_attention

    forbid_the_kernel(monkeypatch)
    few, short = Shape(new=(1, 1), past=(300, 20)), Shape(new=(1,) * 40, past=(500,) * 40)
    for shape, spare in ((few, True), (short, True), (TALKS, False)):
        monkeypatch.setattr(vllm_tiled_attention, "_spare_core", lambda spare=spare: spare)
        case = Case(shape)
        assert torch.allclose(mixed(forward, case).float(), case.exact(), atol=0.02)


def test_without_a_compiler_vllms_own_kernel_runs(
    forward: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from kosmosx_stream.engines import vllm_tiled_attention

    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(vllm_tiled_attention.logger, "parent", logging.getLogger())
    vllm_tiled_attention.compiled.cache_clear()
    case = Case(Shape(new=(40,), past=(300,)))
    answer = mixed(forward, case)
    vllm_tiled_attention.compiled.cache_clear()
    assert torch.allclose(answer.float(), case.exact(), atol=0.02)
    assert "no-such-compiler" in caplog.text
