"""A Kosmos-2 checkpoint of 23 million random weights for benchmarks: speed needs no sense."""

import json
import shutil
from pathlib import Path

import torch
from transformers import Kosmos2Config, Kosmos2ForConditionalGeneration

from kosmosx_stream.settings import NANO_CHECKPOINT

POSITIONS = 8192
WIDTH, LAYERS, HEADS = 384, 6, 6


@torch.no_grad()
def write_random_checkpoint(folder: Path) -> int:
    """Write it in bfloat16 with the bundled model's tokenizer; returns the number of weights."""
    base = json.loads((NANO_CHECKPOINT / "config.json").read_text())
    base["text_config"] |= {
        "embed_dim": WIDTH,
        "ffn_dim": 4 * WIDTH,
        "layers": LAYERS,
        "attention_heads": HEADS,
        "max_position_embeddings": POSITIONS,
    }
    base["vision_config"] |= {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
    }
    torch.manual_seed(0)
    model = Kosmos2ForConditionalGeneration(Kosmos2Config(**base)).bfloat16()
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            scale = 1.0 if "embed" in name or "latent" in name else weight.shape[-1] ** -0.5
            weight.normal_(0, scale)
    # The end token's logit is 0, never the largest: answers have the lengths that are asked for.
    model.text_model.model.embed_tokens.weight[model.config.text_config.eos_token_id] = 0
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        shutil.copy(NANO_CHECKPOINT / name, folder)
    return sum(weight.numel() for weight in model.parameters())
