"""The decoder's layers on vLLM's parallel building blocks.

The arithmetic is that of transformers' `modeling_kosmos2` (Magneto's sub-LN transformer,
arXiv:2210.06423, with sinusoidal positions). A tensor is (tokens, width): vLLM packs all
requests of a step into one axis. Under tensor parallelism of size n a rank holds width / n of
the attention's and the feed-forward's inner width.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # its usual name
from transformers import Kosmos2TextConfig
from vllm.config import CacheConfig
from vllm.distributed import (
    divide,
    get_tensor_model_parallel_world_size,
    tensor_model_parallel_all_gather,
)
from vllm.model_executor.layers.activation import get_act_fn
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.linear import (
    ColumnParallelLinear,
    QKVParallelLinear,
    RowParallelLinear,
)
from vllm.model_executor.layers.quantization import QuantizationConfig
from vllm.model_executor.model_loader.weight_utils import sharded_weight_loader
from vllm.model_executor.utils import set_weight_attrs


class SinusoidalPositions(nn.Module):
    """Row p is the embedding of the p-th token of a prompt.

    transformers numbers the first token `pad_token_id + 1` (`create_position_ids_from_input_ids`);
    the offset is built into the table. The table is computed, not loaded.
    """

    table: torch.Tensor

    def __init__(self, positions: int, width: int, pad_token_id: int) -> None:
        super().__init__()
        half = width // 2
        rate = torch.exp(torch.arange(half, dtype=torch.float32) * -(math.log(10000) / (half - 1)))
        first = pad_token_id + 1
        angle = torch.arange(first, first + positions, dtype=torch.float32)[:, None] * rate
        table = torch.cat([angle.sin(), angle.cos()], dim=1).to(torch.get_default_dtype())
        self.register_buffer("table", table, persistent=False)

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        """Positions int64 (tokens,) → (tokens, width)."""
        return self.table.index_select(0, positions)


class ShardedLayerNorm(nn.Module):
    """LayerNorm over an axis of which every rank holds an equal slice.

    Each rank gathers (mean, sum of squared deviations) of the slices, two numbers a token, and
    merges them exactly (Chan, Golub & LeVeque 1979), so that no rank needs the others' values.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.ranks = get_tensor_model_parallel_world_size()
        self.eps = eps
        shard = divide(width, self.ranks)
        self.weight = nn.Parameter(torch.ones(shard))
        self.bias = nn.Parameter(torch.zeros(shard))
        for parameter in (self.weight, self.bias):
            set_weight_attrs(parameter, {"weight_loader": sharded_weight_loader(0)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(tokens, width / ranks) → the same shape and dtype."""
        if self.ranks == 1:
            return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
        values = x.float()
        mean, variance = self._moments(values)
        normed = (values - mean) * torch.rsqrt(variance + self.eps)
        return (normed * self.weight.float() + self.bias.float()).to(x.dtype)

    def _moments(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and biased variance over all ranks, each float32 (tokens, 1)."""
        shard = values.shape[-1]
        local_mean = values.mean(dim=-1, keepdim=True)
        local_m2 = (values - local_mean).square().sum(dim=-1, keepdim=True)
        # (tokens, 2) of each rank, side by side: mean, M2, mean, M2, …
        gathered = tensor_model_parallel_all_gather(torch.cat([local_mean, local_m2], dim=-1))
        means, m2s = gathered[..., 0::2], gathered[..., 1::2]
        mean = means.mean(dim=-1, keepdim=True)
        m2 = m2s.sum(dim=-1, keepdim=True) + shard * (means - mean).square().sum(-1, keepdim=True)
        return mean, m2 / (shard * self.ranks)


class TextAttention(nn.Module):
    """Causal self-attention with a LayerNorm before the output projection."""

    def __init__(
        self,
        config: Kosmos2TextConfig,
        cache_config: CacheConfig | None,
        quant_config: QuantizationConfig | None,
        prefix: str,
    ) -> None:
        super().__init__()
        width, heads = config.embed_dim, config.attention_heads
        head_size = divide(width, heads)
        local_heads = divide(heads, get_tensor_model_parallel_world_size())
        self.qkv_proj = QKVParallelLinear(
            width, head_size, heads, quant_config=quant_config, prefix=f"{prefix}.qkv_proj"
        )
        self.out_proj = RowParallelLinear(
            width, width, quant_config=quant_config, prefix=f"{prefix}.out_proj"
        )
        self.inner_attn_ln = ShardedLayerNorm(width, config.layer_norm_eps)
        self.attn = Attention(
            local_heads,
            head_size,
            scale=head_size**-0.5,
            cache_config=cache_config,
            quant_config=quant_config,
            prefix=f"{prefix}.attn",
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(tokens, width) → (tokens, width)."""
        qkv, _ = self.qkv_proj(x)
        query, key, value = qkv.chunk(3, dim=-1)
        out, _ = self.out_proj(self.inner_attn_ln(self.attn(query, key, value)))
        return out


class FeedForward(nn.Module):
    """Two linear layers with a LayerNorm after the activation."""

    def __init__(
        self, config: Kosmos2TextConfig, quant_config: QuantizationConfig | None, prefix: str
    ) -> None:
        super().__init__()
        width, inner = config.embed_dim, config.ffn_dim
        self.fc1 = ColumnParallelLinear(
            width, inner, quant_config=quant_config, prefix=f"{prefix}.fc1"
        )
        self.fc2 = RowParallelLinear(
            inner, width, quant_config=quant_config, prefix=f"{prefix}.fc2"
        )
        self.act = get_act_fn(config.activation_function)
        self.ffn_layernorm = ShardedLayerNorm(inner, config.layer_norm_eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(tokens, width) → (tokens, width)."""
        inner, _ = self.fc1(x)
        out, _ = self.fc2(self.ffn_layernorm(self.act(inner)))
        return out


class TextBlock(nn.Module):
    """A pre-LN decoder layer. `final_layer_norm` is the feed-forward's, as in the checkpoint."""

    def __init__(
        self,
        config: Kosmos2TextConfig,
        cache_config: CacheConfig | None,
        quant_config: QuantizationConfig | None,
        prefix: str,
    ) -> None:
        super().__init__()
        width, eps = config.embed_dim, config.layer_norm_eps
        self.self_attn_layer_norm = nn.LayerNorm(width, eps=eps)
        self.self_attn = TextAttention(config, cache_config, quant_config, f"{prefix}.self_attn")
        self.final_layer_norm = nn.LayerNorm(width, eps=eps)
        self.ffn = FeedForward(config, quant_config, f"{prefix}.ffn")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(tokens, width) → (tokens, width)."""
        x = x + self.self_attn(self.self_attn_layer_norm(x))
        return x + self.ffn(self.final_layer_norm(x))
