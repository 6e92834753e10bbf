"""Writes a checkpoint folder laid out as microsoft/kosmos-2-patch14-224, small in width.

How the published folder looks, and where that is to be read (the folder itself was not at hand):

- Files: `config.json`, `generation_config.json`, `preprocessor_config.json`, `model.safetensors`
  beside `pytorch_model.bin` (float32, 6.66 GB), `sentencepiece.bpe.model`, `tokenizer.json`,
  `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json` (the 1,035 tags). From the
  listing of ydshieh/kosmos-2-patch14-224, from which it was made, at its last commits.
- `preprocessor_config.json`: as below, `use_square_size` included, which makes a square of `size`;
  from microsoft/kosmos-2-patch14-224 at main.
- `generation_config.json`: as below, from ydshieh/kosmos-2-patch14-224 at 456aa68.
  `no_repeat_ngram_size` came from the original demo (transformers
  `convert_kosmos2_original_pytorch_checkpoint_to_pytorch.py`); no engine of ours applies it.
- `config.json`: `latent_query_num` 64 and whole text and vision configurations as transformers of
  2023 wrote them, with much that is of no use today (ydshieh/kosmos-2-patch14-224 at c0b1e55).
- Ids: `<s> <pad> </s> <unk>`, the pieces of SentencePiece from 4, `<mask>` behind the last (64001),
  then the tags in the order of `Kosmos2Processor.tag_tokens` (`</doc>` 64002, `<phrase>` 64007,
  `<grounding>` 64012), then the 1,024 location tokens (64013 to 65036). From the expected ids in
  transformers' `tests/models/kosmos2/test_processor_kosmos2.py`. Tags are added tokens that strip
  blanks before them and are not special (`Kosmos2Processor.__init__`).
- Tokenizer: XLM-R's class and kind, Unigram behind NFKC (`SpmConverter`, `XLMRobertaConverter`).
- Names of weights: `KEYS_TO_MODIFY_MAPPING` of the conversion script; the head is tied, and its
  tensor may be in the file or not, as whoever wrote it dealt with shared tensors.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from sentencepiece import sentencepiece_model_pb2
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import Kosmos2ForConditionalGeneration

from tests.kosmosx_stream.kosmosx.tiny_checkpoint import Shape, config_of, randomize

TAGS = (
    "</doc>", "<image>", "</image>", "</chunk>", "</line>", "<phrase>", "</phrase>", "<object>",
    "</object>", "</delimiter_of_multi_objects/>", "<grounding>",
)  # fmt: skip
CELLS = tuple(f"<patch_index_{cell:04d}>" for cell in range(1024))
HEAD = "text_model.lm_head.weight"

PREPROCESSOR = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_processor_type": "CLIPImageProcessor",
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "processor_class": "Kosmos2Processor",
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 224},
    "use_square_size": True,
}
GENERATION = {
    "_from_model_config": True,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "no_repeat_ngram_size": 3,
    "pad_token_id": 1,
    "transformers_version": "4.32.0.dev0",
    "use_cache": True,
}
TOKENIZER = {
    "bos_token": "<s>",
    "clean_up_tokenization_spaces": True,
    "cls_token": "<s>",
    "eos_token": "</s>",
    "mask_token": {
        "__type": "AddedToken",
        "content": "<mask>",
        "lstrip": True,
        "normalized": True,
        "rstrip": False,
        "single_word": False,
    },
    "model_max_length": 1000000000000000019884624838656,
    "pad_token": "<pad>",
    "processor_class": "Kosmos2Processor",
    "sep_token": "</s>",
    "sp_model_kwargs": {},
    "tokenizer_class": "XLMRobertaTokenizer",
    "unk_token": "<unk>",
}
OF_2023 = {
    "_name_or_path": "",
    "add_cross_attention": False,
    "architectures": None,
    "bad_words_ids": None,
    "chunk_size_feed_forward": 0,
    "do_sample": False,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "is_decoder": False,
    "length_penalty": 1.0,
    "max_length": 20,
    "no_repeat_ngram_size": 3,
    "output_attentions": False,
    "torch_dtype": None,
    "transformers_version": "4.32.0.dev0",
    "use_bfloat16": False,
}

CORPUS = (
    "An image of a snowman warming himself by a fire.",
    "What is in the picture? A red ball and a blue box are in the picture.",
    "Question: What color is the ball? Answer: It is red. Question: Where is it? Answer: Here.",
    "Describe this image in detail: the image shows two puppies that sit in a field of grass.",
    '{"in": "the picture", "at": 1234567890}',
)


@dataclass(frozen=True)
class Published:
    """What may differ between files of the published layout."""

    head_in_file: bool
    tied: bool = True
    heads: int = 3
    seed: int = 3


def write(published: Published, folder: Path) -> Path:
    """Write the whole folder, and give it back."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer_in(folder)
    shape = Shape(
        tied=published.tied,
        vocab_size=tokenizer.get_vocab_size(),
        heads=published.heads,
        image_size=224,
        latents=64,
        seed=published.seed,
    )
    model = Kosmos2ForConditionalGeneration(config_of(shape))
    randomize(model, published.seed)
    with torch.no_grad():
        # A tied head would say the last token again and again, were that all that it heard.
        model.text_model.model.embed_tokens.weight.mul_(0.05)
    model.save_pretrained(folder)
    if published.tied and published.head_in_file:
        _add_head(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    for part in ("text_config", "vision_config"):
        config[part] = OF_2023 | config[part]
    config |= {"torch_dtype": "float32", "transformers_version": "4.32.0.dev0"}
    config.pop("dtype", None)
    for name, content in {
        "config.json": config,
        "generation_config.json": GENERATION,
        "preprocessor_config.json": PREPROCESSOR,
        "tokenizer_config.json": TOKENIZER,
        "special_tokens_map.json": {
            key: value for key, value in TOKENIZER.items() if key.endswith("_token")
        },
        "added_tokens.json": {each: tokenizer.token_to_id(each) for each in (*TAGS, *CELLS)},
    }.items():
        (folder / name).write_text(json.dumps(content, indent=2))
    return folder


def _add_head(file: Path) -> None:
    weights = load_file(file)
    weights[HEAD] = weights["text_model.model.embed_tokens.weight"].clone()
    save_file(weights, file, metadata={"format": "pt"})


def tokenizer_in(folder: Path) -> Tokenizer:
    """XLM-R's kind, from a SentencePiece model that is trained here."""
    pieces = _sentencepiece(folder / "sentencepiece.bpe.model")
    # SentencePiece's own first three make room for fairseq's four.
    vocabulary = [(each, 0.0) for each in ("<s>", "<pad>", "</s>", "<unk>")]
    vocabulary += [(piece.piece, piece.score) for piece in pieces.pieces[3:]]
    tokenizer = Tokenizer(models.Unigram([*vocabulary, ("<mask>", 0.0)], unk_id=3))
    tokenizer.normalizer = normalizers.Precompiled(pieces.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["<s>", "$A", "</s>"], special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens([AddedToken(each, normalized=False) for each in FIRST])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.add_tokens(
        [AddedToken(each, lstrip=True, normalized=False) for each in (*TAGS, *CELLS)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


FIRST = ("<s>", "<pad>", "</s>", "<unk>")


def _sentencepiece(file: Path) -> Any:
    """A Unigram model, trained and written; its pieces."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=written,
        model_type="unigram",
        vocab_size=110,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="nmt_nfkc",
        minloglevel=2,
    )
    file.write_bytes(written.getvalue())
    pieces = sentencepiece_model_pb2.ModelProto()
    pieces.ParseFromString(written.getvalue())
    return pieces
