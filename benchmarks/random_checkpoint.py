"""A Kosmos-2 checkpoint of random weights for benchmarks: speed needs no sense."""

import json
import shutil
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, Kosmos2Config

from kosmosx_stream.settings import NANO_CHECKPOINT

POSITIONS = 8192
WIDTH, LAYERS = 384, 6
"""Of 23 million weights; the published model has 2,048 and 24."""
HEAD = 64


def small(width: int, layers: int) -> Kosmos2Config:
    """The bundled model, made larger.

    Args:
        width: of the text model, a multiple of 64; its heads are as wide as the published model's.
        layers: of the text model.
    """
    base = json.loads((NANO_CHECKPOINT / "config.json").read_text())
    base["text_config"] |= {
        "embed_dim": width,
        "ffn_dim": 4 * width,
        "layers": layers,
        "attention_heads": width // HEAD,
        "max_position_embeddings": POSITIONS,
    }
    base["vision_config"] |= {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": WIDTH // HEAD,
    }
    return Kosmos2Config(**base)


def published() -> Kosmos2Config:
    """The published model, with 1,664 million weights and longer conversations."""
    config = Kosmos2Config(architectures=["Kosmos2ForConditionalGeneration"])
    config.text_config.max_position_embeddings = POSITIONS
    return config


@torch.no_grad()
def write_random_checkpoint(folder: Path, config: Kosmos2Config) -> int:
    """Write it in bfloat16 with the bundled model's tokenizer; returns the number of weights."""
    torch.manual_seed(0)
    # Made in bfloat16, it takes its memory once.
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            scale = 1.0 if "embed" in name or "latent" in name else weight.shape[-1] ** -0.5
            weight.normal_(0, scale)
    # The end token's logit is 0, never the largest: answers have the lengths that are asked for.
    model.text_model.model.embed_tokens.weight[model.config.text_config.eos_token_id] = 0
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(NANO_CHECKPOINT / name, folder)
    settings = json.loads((NANO_CHECKPOINT / "preprocessor_config.json").read_text())
    side = config.vision_config.image_size
    settings["size"] = {"height": side, "width": side}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return sum(weight.numel() for weight in model.parameters())
