"""Writes the checkpoint folder: stock Kosmos-2 layout, bf16, loadable without this package."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    GenerationConfig,
    Kosmos2Config,
    Kosmos2ForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from kosmosx_stream.kosmosx.nano.drawing import IMAGE_SIZE
from kosmosx_stream.kosmosx.nano.tokenizer import BOS, EOS, PAD, WINDOW, save_tokenizer

LATENTS = 36
PATCH = 16


def make_config(
    vocab_size: int, *, vision: int = 256, text: int = 256, layers: int = 4
) -> Kosmos2Config:
    """The nano's shape; heads are 64 wide, the vision tower and the decoder equally deep."""
    return Kosmos2Config(
        architectures=["Kosmos2ForConditionalGeneration"],
        latent_query_num=LATENTS,
        vision_config={
            "hidden_size": vision,
            "intermediate_size": 4 * vision,
            "num_hidden_layers": layers,
            "num_attention_heads": vision // 64,
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH,
        },
        text_config={
            "vocab_size": vocab_size,
            "max_position_embeddings": WINDOW,
            "embed_dim": text,
            "layers": layers,
            "ffn_dim": 4 * text,
            "attention_heads": text // 64,
            "dropout": 0.0,
            "attention_dropout": 0.0,
            "bos_token_id": BOS,
            "pad_token_id": PAD,
            "eos_token_id": EOS,
        },
        bos_token_id=BOS,
        pad_token_id=PAD,
        eos_token_id=EOS,
    )


def preprocessor_config() -> dict[str, Any]:
    """CLIP preprocessing, but a plain square resize: no crop, so boxes cover the whole picture."""
    return {
        "image_processor_type": "CLIPImageProcessor",
        "processor_class": "Kosmos2Processor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        "resample": 3,
        "do_center_crop": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }


def export(
    model: Kosmos2ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> None:
    """Write weights, configs and tokenizer to `folder`, each file replaced in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        _write(model, tokenizer, Path(scratch))
        for path in Path(scratch).iterdir():
            path.chmod(0o644)
            path.replace(folder / path.name)


def _write(
    model: Kosmos2ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> None:
    state = {
        name: weight.detach().to(torch.bfloat16).contiguous()
        for name, weight in model.state_dict().items()
        if name != "text_model.lm_head.weight"  # tied to the embedding
    }
    # transformers takes this row for zeros whatever is stored, and vLLM does not: as the embedding
    # is the head, too, it is the padding's own log-probability.
    words = "text_model.model.embed_tokens.weight"
    state[words] = state[words].index_fill(0, torch.tensor(PAD), 0)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads(model.config.to_json_string())
    config["dtype"] = "bfloat16"
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    GenerationConfig(
        bos_token_id=BOS, pad_token_id=PAD, eos_token_id=EOS, do_sample=False, max_new_tokens=256
    ).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    settings = json.dumps(preprocessor_config(), indent=2)
    (folder / "preprocessor_config.json").write_text(settings + "\n")
