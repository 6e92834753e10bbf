"""Tiny random models that see and are not Kosmos-2: templates, tokenizers, and whole checkpoints.

The templates are written after those of well-known families, for what is peculiar to each:

- llava: pictures before all words, whatever their order; contents must be lists of parts; roles
  are plain text (LLaVA 1.5).
- interleave: pictures stand between the role's name and the line of the words (LLaVA interleave).
- idefics: what follows a role's name depends on whether a picture comes first (Idefics3, SmolVLM).
- qwen: parts in their order, or a plain string; a picture's token is between two others (Qwen2-VL).
"""

from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from tests.kosmosx_stream.formats.chat_template import tiny_chat_model as tiny

TEMPLATES = {
    "llava": (
        "{% for message in messages %}"
        "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
        "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}"
        "{{ '<image>\n' }}{% endfor %}"
        "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}"
        "{{ part['text'] + ' ' }}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
    ),
    "interleave": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
        "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}"
        "{{ '<image>' }}{% endfor %}"
        "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}"
        "{{ '\n' + part['text'] }}{% endfor %}{{ '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "idefics": (
        "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
        "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
        "{% for part in message['content'] %}"
        "{% if part['type'] == 'text' %}{{ part['text'] }}"
        "{% elif part['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
    ),
    "qwen": (
        "{% for message in messages %}"
        "{% if loop.first and message['role'] != 'system' %}"
        "<|im_start|>system\nYou are a tiny model.<|im_end|>\n{% endif %}"
        "<|im_start|>{{ message['role'] }}\n"
        "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
        "{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<|vision_start|><image><|vision_end|>"
        "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
}
IMAGE = "<image>"
ENDS = ("<|im_end|>", "<|endoftext|>")
PATCH, TILE, SCALE = 14, 56, 2
LONGEST = 2 * TILE
TILE_TOKENS = (TILE // PATCH // SCALE) ** 2
SPECIALS = (
    "<|vision_start|>", "<|vision_end|>", IMAGE, "<fake_token_around_image>", "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)),
)  # fmt: skip


def tokenizer() -> Tokenizer:
    made = tiny.tokenizer_of("chatml")
    made.add_special_tokens([AddedToken(each, normalized=False) for each in SPECIALS])
    return made


def write_tokenizer(family: str, folder: Path) -> Path:
    """The tokenizer's files, with the template in a file of its own."""
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415  # seconds

    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(), eos_token=ENDS[0], pad_token=ENDS[1]
    ).save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(TEMPLATES[family])
    return folder


def write(folder: Path) -> Path:
    """A whole checkpoint: Idefics3, which cuts a picture into tiles; its shape says how many."""
    import torch  # noqa: PLC0415
    from transformers import (  # noqa: PLC0415
        GenerationConfig,
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessorPil,
        Idefics3Processor,
        LlamaConfig,
        PreTrainedTokenizerFast,
    )

    words = tokenizer()
    ends = [words.token_to_id(each) for each in ENDS]
    config = Idefics3Config(
        text_config=LlamaConfig(
            vocab_size=words.get_vocab_size() + 13,
            hidden_size=128,
            intermediate_size=160,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=640,
            bos_token_id=ends[1],
            eos_token_id=ends[0],
            pad_token_id=ends[1],
        ),
        vision_config={
            "hidden_size": 96,
            "intermediate_size": 160,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "image_size": TILE,
            "patch_size": PATCH,
        },
        image_token_id=words.token_to_id(IMAGE),
        pad_token_id=ends[1],
        scale_factor=SCALE,
        architectures=["Idefics3ForConditionalGeneration"],
    )
    torch.manual_seed(7)
    model = Idefics3ForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)  # what is said must depend on what was asked and shown
    model.generation_config = GenerationConfig(eos_token_id=ends)
    model.save_pretrained(folder)
    Idefics3Processor(
        image_processor=Idefics3ImageProcessorPil(
            size={"longest_edge": LONGEST}, max_image_size={"longest_edge": TILE}
        ),
        tokenizer=PreTrainedTokenizerFast(
            tokenizer_object=words, eos_token=ENDS[0], pad_token=ENDS[1]
        ),
        image_seq_len=TILE_TOKENS,
        chat_template=TEMPLATES["idefics"],
    ).save_pretrained(folder)
    return folder
