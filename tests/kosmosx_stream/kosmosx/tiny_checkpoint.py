"""Writes tiny random Kosmos-2 checkpoints, complete enough for transformers and for vLLM."""

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    CLIPImageProcessorPil,
    Kosmos2Config,
    Kosmos2ForConditionalGeneration,
    PreTrainedTokenizerFast,
)

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<image>", "</image>")
BOS, PAD, EOS, UNK, BOI, EOI = range(len(SPECIAL))

POSITIONS = 512


@dataclass(frozen=True)
class Shape:
    """What the tests vary."""

    tied: bool
    vocab_size: int
    heads: int = 4
    head_size: int = 32
    image_size: int = 56
    vision_heads: int = 3
    latents: int = 9
    seed: int = 0


def config_of(shape: Shape) -> Kosmos2Config:
    width = shape.heads * shape.head_size
    return Kosmos2Config(
        text_config={
            "vocab_size": shape.vocab_size,
            "embed_dim": width,
            "ffn_dim": 3 * width,
            "layers": 2,
            "attention_heads": shape.heads,
            "max_position_embeddings": POSITIONS,
            "tie_word_embeddings": shape.tied,
        },
        vision_config={
            "hidden_size": 32 * shape.vision_heads,
            "intermediate_size": 160,
            "num_hidden_layers": 2,
            "num_attention_heads": shape.vision_heads,
            "image_size": shape.image_size,
        },
        latent_query_num=shape.latents,
        tie_word_embeddings=shape.tied,
        architectures=["Kosmos2ForConditionalGeneration"],
    )


@torch.no_grad()
def randomize(model: Kosmos2ForConditionalGeneration, seed: int) -> None:
    """Weights under which every part matters: fan-in scaled, norms and biases not neutral."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("latent_query") or "embedding" in name:
            parameter.copy_(noise)
        elif parameter.dim() == 1:
            neutral = float("norm" in name and name.endswith("weight"))
            parameter.copy_(neutral + 0.2 * noise)
        else:
            parameter.copy_(1.5 * noise / parameter.shape[-1] ** 0.5)
    # L2-normalised features are small; images must be heard.
    model.image_to_text_projection.dense.weight.mul_(8)
    # transformers zeroes the first row whenever it loads a checkpoint, whatever the file says, and
    # numbers positions wrongly once padding is generated.
    model.text_model.model.embed_tokens.weight[PAD] = 0
    model.text_model.lm_head.weight[PAD] = 0


def write(shape: Shape, folder: Path) -> Path:
    """Write a checkpoint with its tokenizer and preprocessor, and give the folder back."""
    model = Kosmos2ForConditionalGeneration(config_of(shape))
    randomize(model, shape.seed)
    model.save_pretrained(folder)
    write_tokenizer(shape.vocab_size, folder)
    size = {"height": shape.image_size, "width": shape.image_size}
    CLIPImageProcessorPil(size=size, do_center_crop=False).save_pretrained(folder)
    return folder


def write_tokenizer(vocab_size: int, folder: Path) -> None:
    """One that has a word for every id."""
    vocabulary = {token: index for index, token in enumerate(SPECIAL)}
    vocabulary |= {f"w{index}": index for index in range(len(SPECIAL), vocab_size)}
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(vocabulary, unk_token="<unk>")),
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<image>", "</image>"],
    ).save_pretrained(folder)
