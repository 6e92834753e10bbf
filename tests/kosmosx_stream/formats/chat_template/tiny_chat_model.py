"""Tiny random chat models that are not Kosmos-2: templates, tokenizers, and whole checkpoints.

The templates are written after those of well-known families, for what is peculiar to each:

- chatml: a system prompt of its own where there is none (Qwen2.5, SmolLM2).
- llama3: contents are trimmed; `<|begin_of_text|>`; two ends, `<|eot_id|>` and `<|end_of_text|>`.
- mistral: instructions are written into a user's message; roles must alternate; no answer prefix.
- gemma: system messages are refused; the assistant is called `model`.
- zephyr: the names of the roles are plain text, not control tokens.
- phi: without an answer to follow, the prompt ends in another token; role tokens swallow blanks.
"""

from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

TEMPLATES = {
    "chatml": (
        "{% if messages[0]['role'] != 'system' %}"
        "<|im_start|>system\nYou are a tiny model.<|im_end|>\n{% endif %}"
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "llama3": (
        "{{ bos_token }}{% for message in messages %}"
        "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
        "+ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
    "mistral": (
        "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
        "{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}"
        "{{ bos_token }}{% for message in rest %}"
        "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}"
        "{% if message['role'] == 'user' %}"
        "{% if loop.last and system is defined %}"
        "{{ '[INST] ' + system + '\n\n' + message['content'] + '[/INST]' }}"
        "{% else %}{{ '[INST] ' + message['content'] + '[/INST]' }}{% endif %}"
        "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    ),
    "gemma": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
        "{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for message in messages %}"
        "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}"
        "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
        "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    ),
    "zephyr": (
        "{% for message in messages %}"
        "{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    ),
    "phi": (
        "{% for message in messages %}"
        "{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n"
        "{% else %}{{ eos_token }}{% endif %}"
    ),
}
SPECIALS = {
    "chatml": ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    "llama3": (
        "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
        "<|eot_id|>",
    ),
    "mistral": ("<unk>", "<s>", "</s>", "[INST]", "[/INST]"),
    "gemma": ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"),
    "zephyr": ("<unk>", "<s>", "</s>"),
    "phi": ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
}  # fmt: skip
BEGINS = {"llama3": "<|begin_of_text|>", "mistral": "<s>", "gemma": "<bos>", "zephyr": "<s>"}
ENDS = {
    "chatml": ("<|im_end|>", "<|endoftext|>"),
    "llama3": ("<|eot_id|>", "<|end_of_text|>"),
    "mistral": ("</s>",),
    "gemma": ("<end_of_turn>", "<eos>"),
    "zephyr": ("</s>",),
    "phi": ("<|endoftext|>", "<|end|>"),
}
SENTENCEPIECE = ("mistral", "gemma", "zephyr")
"""Families whose tokenizers write a blank as U+2581 and fall back on bytes."""

CORPUS = (
    "You are a tiny model. Answer in one word, please.",
    "What is the capital of France? The capital of France is Paris.",
    "Hello! My name is Ada. What can you do?\n\nI can say words, and more words.\n",
    "system user assistant model the of and to in is it that was for on are as with his they",
)


def tokenizer_of(family: str) -> Tokenizer:
    """A tokenizer as the family has it, trained on a few sentences."""
    specials = [
        AddedToken(each, special=True, normalized=False, rstrip=_swallows(family, each))
        for each in SPECIALS[family]
    ]
    tokenizer = _sentencepiece(specials) if family in SENTENCEPIECE else _byte_level(specials)
    # Markup that is not special, as Qwen's; words and blanks, as fine-tuned and older models add.
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False)])
    if family == "chatml":
        tokenizer.add_tokens([AddedToken("   ", normalized=False), AddedToken("covid")])
    return tokenizer


def _swallows(family: str, token: str) -> bool:
    return family == "phi" and token not in {"<|endoftext|>", "<|end|>"}


def _byte_level(specials: list[AddedToken]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens(specials)
    return tokenizer


def _sentencepiece(specials: list[AddedToken]) -> Tokenizer:
    """Specials are pieces of the model, and a post-processor adds the first of all tokens."""
    pieces = [each.content for each in specials] + [f"<0x{byte:02X}>" for byte in range(256)]
    letters = sorted({letter for line in CORPUS for letter in line.replace(" ", "▁")} - {"\n"})
    merges = [("▁", letter) for letter in letters if letter.isalpha()]
    merges += [("▁t", "h"), ("▁th", "e"), ("i", "n"), ("e", "r"), ("<", "s"), ("<s", ">")]
    vocabulary = {each: number for number, each in enumerate(pieces)}
    for piece in (*letters, "<", ">", "|", "/", *("".join(pair) for pair in merges)):
        vocabulary.setdefault(piece, len(vocabulary))
    vocabulary.setdefault("<s", len(vocabulary))
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, byte_fallback=True, unk_token=pieces[0], fuse_unk=True)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(specials)
    begin = specials[1].content
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[begin, "$A"], special_tokens=[(begin, tokenizer.token_to_id(begin))]
    )
    return tokenizer


def ends_of(family: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    return tuple(tokenizer.token_to_id(each) for each in ENDS[family])


def write_tokenizer(family: str, folder: Path) -> Path:
    """The tokenizer's files, with the template."""
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415  # seconds

    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer_of(family),
        bos_token=BEGINS.get(family),
        eos_token=ENDS[family][0],
        chat_template=TEMPLATES[family],
    )
    wrapped.save_pretrained(folder)
    return folder


def write(family: str, folder: Path, **options: Any) -> Path:
    """A whole checkpoint: a random Qwen2 for chatml, a random Llama for the others."""
    import torch  # noqa: PLC0415
    from transformers import (  # noqa: PLC0415  # noqa: PLC0415
        GenerationConfig,
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    write_tokenizer(family, folder)
    tokenizer = tokenizer_of(family)
    qwen, llama = (Qwen2Config, Qwen2ForCausalLM), (LlamaConfig, LlamaForCausalLM)
    config_of, model_of = qwen if family == "chatml" else llama
    ends = ends_of(family, tokenizer)
    config = config_of(
        **{
            # Rows that pad the matrix, as real models have them.
            "vocab_size": tokenizer.get_vocab_size() + 13,
            "hidden_size": 128,
            "intermediate_size": 160,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": 640,
            "tie_word_embeddings": family == "chatml",
            "bos_token_id": tokenizer.token_to_id(BEGINS.get(family, ENDS[family][-1])),
            "eos_token_id": ends[0],
        }
        | options
    )
    torch.manual_seed(7)
    model = model_of(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)  # what is said must depend on what was asked
    model.generation_config = GenerationConfig(eos_token_id=list(ends))
    model.save_pretrained(folder)
    return folder
