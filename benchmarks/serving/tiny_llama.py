"""A Llama of two thin layers that says words for ever: speed needs no sense."""

import json
import re
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from kosmosx_stream.settings import NANO_CHECKPOINT

WORD = re.compile("▁[A-Za-z]+")  # as SentencePiece writes a word with a blank before it
WIDTH, LAYERS, HEADS, POSITIONS = 128, 2, 2, 4096
TEMPLATE = (
    "{% for message in messages %}<s>{{ message['role'] }}: {{ message['content'] }}</s>"
    "{% endfor %}{% if add_generation_prompt %}<s>assistant:{% endif %}"
)


@torch.no_grad()
def write_tiny_llama(folder: Path) -> None:
    """Write it in bfloat16 with the bundled model's tokenizer and a chat template.

    Every token of an answer is a word, so that every server shows all of them, and none ends it.
    """
    base = json.loads((NANO_CHECKPOINT / "config.json").read_text())["text_config"]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=base["vocab_size"],
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=POSITIONS,
        bos_token_id=0,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).bfloat16()
    vocabulary = Tokenizer.from_file(str(NANO_CHECKPOINT / "tokenizer.json")).get_vocab()
    words = {number for piece, number in vocabulary.items() if WORD.fullmatch(piece)}
    for number in set(range(config.vocab_size)) - words:
        model.lm_head.weight[number] = 0  # A logit of 0 is never the largest of so many.
    model.save_pretrained(folder)
    shutil.copy(NANO_CHECKPOINT / "tokenizer.json", folder)
    tokenizer = json.loads((NANO_CHECKPOINT / "tokenizer_config.json").read_text())
    tokenizer["chat_template"] = TEMPLATE
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
