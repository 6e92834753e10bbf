"""The training-time view of a stock Kosmos-2: its initial weights, a lean forward pass, the losses.

The modules are transformers' own, so the trained weights are the checkpoint. Attention is written
out as two matrix products around a softmax: faster to differentiate on a CPU, and the resampler
stays free of the causal mask that transformers' SDPA path would give it.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Kosmos2Config, Kosmos2ForConditionalGeneration
from transformers.models.kosmos2.modeling_kosmos2 import (
    Kosmos2VisionEmbeddings,
    KosmosTextAttention,
)

from kosmosx_stream.kosmosx.nano.batches import Batch
from kosmosx_stream.kosmosx.nano.drawing import IMAGE_SIZE
from kosmosx_stream.kosmosx.nano.export import PATCH, preprocessor_config
from kosmosx_stream.kosmosx.nano.scenes import COLOURS, KINDS
from kosmosx_stream.kosmosx.nano.tokenizer import GRID, PAD

PATCHES = IMAGE_SIZE // PATCH
BOX_BLUR = 0.4  # standard deviation around a box's corner, in cells of the grid
FEATURE_STD = 0.7  # the resampler's input is L2-normalised; the stock 0.02 would starve it


def make_model(
    config: Kosmos2Config, first_patch: int, checkpoint: Path | None = None
) -> Kosmos2ForConditionalGeneration:
    """A model to train: the checkpoint's, or a fresh one, initialised for training from nothing."""
    if checkpoint:
        return Kosmos2ForConditionalGeneration.from_pretrained(
            checkpoint, config=config, attn_implementation="eager"
        ).train()
    config._attn_implementation = "eager"  # noqa: SLF001
    model = Kosmos2ForConditionalGeneration(config)
    for name, weight in model.named_parameters():
        if weight.dim() == 2 and "embed" not in name and "latent_query" not in name:
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
        elif name.endswith("bias"):
            nn.init.zeros_(weight)
        if name.endswith(("out_proj.weight", "fc2.weight")):
            with torch.no_grad():
                weight.mul_((2 * config.text_config.layers) ** -0.5)
    nn.init.normal_(model.image_to_text_projection.dense.weight, std=FEATURE_STD)
    embedding = model.text_model.model.embed_tokens.weight
    nn.init.normal_(embedding, std=embedding.shape[1] ** -0.5)
    with torch.no_grad():
        embedding[first_patch : first_patch + GRID * GRID] = _grid_embedding(embedding.shape[1])
        embedding[PAD] = 0
    return model


def _grid_embedding(width: int) -> Tensor:
    """Location tokens as smooth waves of row and column: float32 (1024, width).

    Neighbouring cells start out alike, so what the tied output head learns about one carries over.
    """
    angles = torch.arange(GRID)[:, None] * math.pi / GRID * torch.arange(1, width // 4 + 1) / 4
    waves = torch.cat([angles.sin(), angles.cos()], 1)
    rows = waves[:, None].expand(GRID, GRID, -1)
    columns = waves[None].expand(GRID, GRID, -1)
    grid = torch.cat([rows, columns], 2).reshape(GRID * GRID, -1)
    rotation, _ = torch.linalg.qr(torch.randn(width, width))
    grid = (grid - grid.mean(0)) @ rotation
    return grid / grid.norm(dim=1, keepdim=True)


class AuxiliaryHeads(nn.Module):
    """Throw-away heads that ask features directly what they show: kind, colour and box."""

    def __init__(self, vision: int, text: int) -> None:
        super().__init__()
        self.outputs = len(KINDS) + 1 + len(COLOURS) + 4
        self.patch = nn.Linear(vision, self.outputs)
        self.latent = nn.Linear(text, self.outputs)

    @staticmethod
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropies and an L1 of the box.

        Args:
            outputs: (N, outputs)
            targets: float32 (N, 6): kind (the last one: nothing), colour, box.
        """
        kinds, colours, boxes = outputs.float().split([len(KINDS) + 1, len(COLOURS), 4], dim=1)
        kind = targets[:, 0].long()
        there = kind < len(KINDS)
        loss = F.cross_entropy(kinds, kind)
        if there.any():
            loss = loss + F.cross_entropy(colours[there], targets[there, 1].long())
            loss = loss + 4 * F.l1_loss(boxes[there], targets[there, 2:])
        return loss


def normalise(images: Tensor) -> Tensor:
    """uint8 (images, side, side, 3) to CLIP-normalised bfloat16 (images, 3, side, side)."""
    settings = preprocessor_config()
    mean, std = (torch.tensor(settings[key]) for key in ("image_mean", "image_std"))
    return ((images / 255 - mean) / std).permute(0, 3, 1, 2).bfloat16().contiguous()


def see(model: Kosmos2ForConditionalGeneration, images: Tensor) -> tuple[Tensor, Tensor]:
    """Patch features (images, patches, vision) and image embeddings (images, latents, text)."""
    tower = model.vision_model.model
    hidden = tower.pre_layrnorm(patch_embeddings(tower.embeddings, normalise(images)))
    features = tower.post_layernorm(tower.encoder(inputs_embeds=hidden)[0])
    embeds, _ = model.image_to_text_projection(F.normalize(features, dim=-1))
    return features[:, 1:], embeds


def patch_embeddings(embeddings: Kosmos2VisionEmbeddings, pixels: Tensor) -> Tensor:
    """As transformers', by one product: the convolution's gradient is slow on a CPU."""
    rows = pixels.unflatten(2, (PATCHES, PATCH)).unflatten(4, (PATCHES, PATCH))
    flat = rows.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    patches = flat @ embeddings.patch_embedding.weight.flatten(1).T
    whole = embeddings.class_embedding.expand(len(pixels), 1, -1)
    places: Tensor = embeddings.position_embedding(embeddings.position_ids)
    return torch.cat([whole, patches], 1) + places


def read(model: Kosmos2ForConditionalGeneration, batch: Batch, embeds: Tensor) -> Tensor:
    """Decode the sequences: hidden states (rows, tokens, text)."""
    decoder = model.text_model.model
    tokens = decoder.embed_tokens(batch.ids)
    where = batch.image_mask
    tokens = tokens.masked_scatter(where[..., None], embeds.reshape(-1, embeds.shape[-1]))
    places = decoder.embed_positions.weights[batch.positions + PAD + 1].to(tokens.dtype)
    hidden = tokens * decoder.embed_scale + places
    length = batch.ids.shape[1]
    mask = torch.full((length, length), float("-inf"), dtype=hidden.dtype).triu(1)
    for layer in decoder.layers:
        hidden = hidden + _attend(layer.self_attn, layer.self_attn_layer_norm(hidden), mask)
        hidden = hidden + layer.ffn(layer.final_layer_norm(hidden))
    return decoder.layer_norm(hidden)


def _attend(attention: KosmosTextAttention, hidden: Tensor, mask: Tensor) -> Tensor:
    """Causal self-attention with the sub-LayerNorm before the output projection."""
    rows, length, width = hidden.shape
    heads = attention.num_heads

    def split(tensor: Tensor) -> Tensor:
        tensor = tensor.view(rows, length, heads, -1).transpose(1, 2)
        return tensor.reshape(rows * heads, length, -1)

    query = split(attention.q_proj(hidden))
    key = split(attention.k_proj(hidden))
    value = split(attention.v_proj(hidden))
    scores = torch.baddbmm(mask, query, key.transpose(1, 2), alpha=attention.scaling)
    mixed = torch.bmm(scores.softmax(-1), value)
    mixed = mixed.view(rows, heads, length, -1).transpose(1, 2).reshape(rows, length, width)
    out: Tensor = attention.out_proj(attention.inner_attn_ln(mixed))
    return out


def corner_targets(corners: Tensor) -> Tensor:
    """How well each cell of the grid stands for a place: float32 (N, 1024) of (N, 2), sums of 1.

    A place between two cells belongs to both. One cell alone as the target would be a coin toss
    there, and would not say where in the cell the place is.
    """
    distance = torch.arange(GRID) + 0.5 - corners[..., None] * GRID
    columns, rows = (-(distance**2) / (2 * BOX_BLUR**2)).softmax(-1).unbind(1)
    return (rows[:, :, None] * columns[:, None]).flatten(1)


def language_loss(
    model: Kosmos2ForConditionalGeneration, batch: Batch, hidden: Tensor, first_patch: int
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the answers' words and of their boxes' corners, means over all tokens."""
    learnt = batch.learn[:, 1:]
    targets = batch.ids[:, 1:][learnt]
    scores = model.text_model.lm_head(hidden[:, :-1][learnt]).float().log_softmax(-1)
    boxes = targets >= first_patch
    words = F.nll_loss(scores[~boxes], targets[~boxes], reduction="sum")
    cells = scores[boxes, first_patch : first_patch + GRID * GRID]
    corners = -(corner_targets(batch.corners) * cells).sum()
    return words / len(targets), corners / len(targets)
