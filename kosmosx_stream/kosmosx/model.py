"""Kosmos-2 for vLLM: the decoder, the image resampler, and the model that joins them.

An image's way: (3, size, size) pixels → vLLM's CLIP encoder → every patch through the final
LayerNorm, L2-normalised → the resampler's `latent_query_num` embeddings, which take the place of
the placeholders' token embeddings. Numerically it is transformers' class of the same name with
`attn_implementation="eager"`: its default, SDPA, hides later patches from earlier latents.
"""

# ruff: noqa: ARG002, ARG003  # vLLM names the arguments and passes all of them

import math
from collections.abc import Iterable
from typing import Annotated

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # its usual name
from transformers import Kosmos2Config, Kosmos2TextConfig
from vllm.compilation.decorators import support_torch_compile
from vllm.config import VllmConfig
from vllm.distributed import divide, get_tensor_model_parallel_world_size
from vllm.model_executor.layers.linear import ColumnParallelLinear, RowParallelLinear
from vllm.model_executor.layers.logits_processor import LogitsProcessor
from vllm.model_executor.layers.quantization import QuantizationConfig
from vllm.model_executor.layers.vocab_parallel_embedding import (
    ParallelLMHead,
    VocabParallelEmbedding,
)
from vllm.model_executor.models.clip import CLIPVisionTransformer
from vllm.model_executor.models.interfaces import MultiModalEmbeddings, SupportsMultiModal
from vllm.model_executor.models.module_mapping import MultiModelKeys
from vllm.model_executor.models.utils import AutoWeightsLoader, WeightsMapper, maybe_prefix
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.sequence import IntermediateTensors
from vllm.utils.tensor_schema import TensorSchema, TensorShape

from kosmosx_stream.kosmosx.layers import SinusoidalPositions, TextBlock
from kosmosx_stream.kosmosx.processing import (
    Kosmos2DummyInputs,
    Kosmos2MultiModalProcessor,
    Kosmos2ProcessingInfo,
)
from kosmosx_stream.kosmosx.weights import checked


class ImagePixels(TensorSchema):
    """Preprocessed images: float (images, 3, size, size)."""

    data: Annotated[torch.Tensor, TensorShape("bn", 3, "h", "w")]


@support_torch_compile
class TextDecoder(nn.Module):
    """Embeddings, blocks and the final norm."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        config: Kosmos2TextConfig = vllm_config.model_config.hf_config.text_config
        width, quant_config = config.embed_dim, vllm_config.quant_config
        self.embed_scale = math.sqrt(width) if config.scale_embedding else 1.0
        self.embed_tokens = VocabParallelEmbedding(
            config.vocab_size, width, quant_config=quant_config, prefix=f"{prefix}.embed_tokens"
        )
        self.embed_positions = SinusoidalPositions(
            vllm_config.model_config.max_model_len, width, config.pad_token_id
        )
        self.layers = nn.ModuleList(
            TextBlock(config, vllm_config.cache_config, quant_config, f"{prefix}.layers.{index}")
            for index in range(config.layers)
        )
        self.layer_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(
        self,
        input_ids: torch.Tensor | None,
        positions: torch.Tensor,
        inputs_embeds: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Hidden states (tokens, width) of one step.

        `inputs_embeds` (tokens, width) already holds the images' embeddings, unscaled:
        transformers merges them first and scales text and image alike.
        """
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        hidden = inputs_embeds * self.embed_scale + self.embed_positions(positions)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.layer_norm(hidden)


class TextModel(nn.Module):
    """The language model: decoder and head."""

    # Here, not at the top, where it would also catch the resampler's separate `x_attn.q_proj`.
    hf_to_vllm_mapper = WeightsMapper(
        orig_to_new_stacked={
            ".q_proj": (".qkv_proj", "q"),
            ".k_proj": (".qkv_proj", "k"),
            ".v_proj": (".qkv_proj", "v"),
        }
    )

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        config: Kosmos2Config = vllm_config.model_config.hf_config
        text: Kosmos2TextConfig = config.text_config
        self.model = TextDecoder(vllm_config=vllm_config, prefix=maybe_prefix(prefix, "model"))
        self.lm_head = ParallelLMHead(
            text.vocab_size,
            text.embed_dim,
            quant_config=vllm_config.quant_config,
            prefix=maybe_prefix(prefix, "lm_head"),
        )
        if config.tie_word_embeddings:
            self.lm_head = self.lm_head.tie_weights(self.model.embed_tokens)
        self.logits_processor = LogitsProcessor(text.vocab_size)

    def embed_input_ids(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Token embeddings, unscaled: int64 (tokens,) → (tokens, width)."""
        return self.model.embed_tokens(input_ids)

    def forward(
        self,
        input_ids: torch.Tensor | None,
        positions: torch.Tensor,
        inputs_embeds: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Hidden states (tokens, width)."""
        return self.model(input_ids, positions, inputs_embeds)

    def compute_logits(self, hidden_states: torch.Tensor) -> torch.Tensor | None:
        """(sequences, width) → (sequences, vocab_size); None on ranks that do not sample."""
        return self.logits_processor(self.lm_head, hidden_states)

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        """Load the tensors below `text_model.`."""
        loader = AutoWeightsLoader(self)
        return loader.load_weights(weights, mapper=self.hf_to_vllm_mapper)


class CrossAttention(nn.Module):
    """Attention of the latent queries over image features and themselves. No mask."""

    def __init__(
        self, config: Kosmos2TextConfig, quant_config: QuantizationConfig | None, prefix: str
    ) -> None:
        super().__init__()
        width = config.embed_dim
        self.head_size = divide(width, config.attention_heads)
        self.local_heads = divide(config.attention_heads, get_tensor_model_parallel_world_size())

        def column(name: str) -> ColumnParallelLinear:
            return ColumnParallelLinear(
                width, width, quant_config=quant_config, prefix=f"{prefix}.{name}"
            )

        self.q_proj, self.k_proj, self.v_proj = (column(f"{part}_proj") for part in "qkv")
        self.out_proj = RowParallelLinear(
            width, width, quant_config=quant_config, prefix=f"{prefix}.out_proj"
        )

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """(images, length, local width) → (images, local heads, length, head size)."""
        return x.unflatten(-1, (self.local_heads, self.head_size)).transpose(1, 2)

    def forward(self, queries: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """Queries (images, latents, width) over memory (images, length, width) → as queries."""
        query, key, value = (
            self._heads(projection(x)[0])
            for projection, x in (
                (self.q_proj, queries),
                (self.k_proj, memory),
                (self.v_proj, memory),
            )
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        out, _ = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out


class Resampler(nn.Module):
    """Turns an image's patches into `latent_query_num` embeddings of the decoder's width."""

    def __init__(
        self, config: Kosmos2Config, quant_config: QuantizationConfig | None, prefix: str
    ) -> None:
        super().__init__()
        width = config.text_config.embed_dim
        self.dense = nn.Linear(config.vision_config.hidden_size, width)
        self.latent_query = nn.Parameter(torch.empty(config.latent_query_num, width))
        self.x_attn = CrossAttention(config.text_config, quant_config, f"{prefix}.x_attn")

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(images, patches + 1, vision width) → (images, latents, width)."""
        memory = self.dense(features)
        latents = self.latent_query.expand(memory.shape[0], -1, -1)
        return self.x_attn(latents, torch.cat([memory, latents], dim=1))


@MULTIMODAL_REGISTRY.register_processor(
    Kosmos2MultiModalProcessor,
    info=Kosmos2ProcessingInfo,
    dummy_inputs=Kosmos2DummyInputs,
)
class Kosmos2ForConditionalGeneration(nn.Module, SupportsMultiModal):
    """The whole model, as vLLM sees it."""

    hf_to_vllm_mapper = WeightsMapper(orig_to_new_prefix={"vision_model.model.": "vision_model."})

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        """Text that stands for an image in a chat template of vLLM's own server."""
        if modality == "image":
            return "<image></image>"
        raise ValueError(f"Kosmos-2 takes images, not {modality}")

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        self.config: Kosmos2Config = vllm_config.model_config.hf_config
        self.quant_config = vllm_config.quant_config
        with self._mark_tower_model(vllm_config, "image"):  # type: ignore[operator]
            self.vision_model = CLIPVisionTransformer(
                self.config.vision_config,
                self.quant_config,
                require_post_norm=True,
                prefix=maybe_prefix(prefix, "vision_model"),
            )
            self.image_to_text_projection = Resampler(
                self.config, self.quant_config, maybe_prefix(prefix, "image_to_text_projection")
            )
        with self._mark_language_model(vllm_config):  # type: ignore[operator]
            self.text_model = TextModel(
                vllm_config=vllm_config, prefix=maybe_prefix(prefix, "text_model")
            )

    def embed_multimodal(self, **kwargs: object) -> MultiModalEmbeddings:
        """pixel_values (images, 3, size, size) → (images, latent_query_num, width)."""
        pixel_values = kwargs.get("pixel_values")
        if pixel_values is None:
            return []
        size = self.config.vision_config.image_size
        pixels = ImagePixels(data=pixel_values, resolve_bindings={"h": size, "w": size})["data"]
        features = F.normalize(self.vision_model(pixels), dim=-1)
        return self.image_to_text_projection(features)

    def forward(
        self,
        input_ids: torch.Tensor | None,
        positions: torch.Tensor,
        intermediate_tensors: IntermediateTensors | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: object,
    ) -> torch.Tensor:
        """Hidden states (tokens, width); no pipeline stages, so no intermediate tensors."""
        return self.text_model(input_ids, positions, inputs_embeds)

    def compute_logits(self, hidden_states: torch.Tensor) -> torch.Tensor | None:
        """(sequences, width) → (sequences, vocab_size)."""
        return self.text_model.compute_logits(hidden_states)

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        """Load a checkpoint.

        Raises:
            WeightNamesError: names are unknown or missing. Quantized checkpoints carry other
                names and are left to vLLM's own check.
        """
        if self.quant_config is None:
            weights = checked(self.config, weights)
        return AutoWeightsLoader(self).load_weights(weights, mapper=self.hf_to_vllm_mapper)

    def get_mm_mapping(self) -> MultiModelKeys:
        """Which submodules are what, by name."""
        return MultiModelKeys.from_string_field(
            language_model="text_model",
            connector="image_to_text_projection",
            tower_model="vision_model",
        )
