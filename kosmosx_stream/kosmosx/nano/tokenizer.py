"""The tokenizer of kosmos-x-nano: whole known words, single characters for everything else.

A name the model never saw is spelled letter by letter, so recalling it is copying letters. Ids are
laid out as in Kosmos-2: `<s> <pad> </s> <unk>`, text pieces, then the tags of `Kosmos2Processor`.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
BOS, PAD, EOS, UNK = range(4)
TAGS = (
    "</doc>",
    "<image>",
    "</image>",
    "</chunk>",
    "</line>",
    "<phrase>",
    "</phrase>",
    "<object>",
    "</object>",
    "</delimiter_of_multi_objects/>",
    "<grounding>",
)
GRID = 32  # Kosmos-2's grid of location tokens, cells per side
WINDOW = 2048  # tokens that it is trained for
MARK = "▁"  # stands for the blank before a word

_ACCENTED = (
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿ"
    "ĄąĆćČčĐđĘęĚěĞğİıŁłŃńŇňŐőŒœŘřŚśŞşŠšŤťŮůŰűŹźŻżŽž"
)
# Frequent pieces of JSON and of calls, told and said in `formats`; no blank before them.
GLUED = (
    *("<tool_call>", '<tool_call>{"name":"', '","arguments":{', '","arguments":{"', "</tool_call>"),
    *("}}</tool_call>", '"}}</tool_call>', '{"name":"...","arguments":{...}}</tool_call>'),
    *("<tool_response>", "</tool_response>", '[{"name":"', '}},{"name":"', '{"name":"'),
    *('","description":"', '","parameters":{"type":"object","properties":{', '"parameters":{'),
    *('":{"type":"string"', '":{"type":"integer"', '":{"type":"number"', '"type":"object"'),
    *('"properties":{', '"type":"string"', '"type":"integer"', '"type":"number"'),
    *('"type":"boolean"', ',"required":["', ',"additionalProperties":false', "}}]", '"]'),
    *('":"', '","', '":', ',"', '{"', '"}', "}}", "},"),
)
_WORD_SCORE, _CHAR_SCORE, _NEVER = -1.0, -2.0, -10_000.0


def patch_token(cell: int) -> str:
    """The location token of a cell of the 32x32 grid, counted row by row."""
    return f"<patch_index_{cell:04d}>"


def build_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """Make a Unigram tokenizer whose pieces are `words`, single characters and bytes.

    Pieces of JSON come with them. Special tokens and byte pieces get a score no text can reach, so
    that text which merely looks like one is spelled out.

    Args:
        words: the words to keep whole, without the blank mark.
    """
    chars = string.ascii_letters + string.digits + string.punctuation + _ACCENTED
    vocab = [(token, _NEVER) for token in SPECIALS]
    vocab += [(MARK, _CHAR_SCORE)]
    vocab += [(char, _CHAR_SCORE) for char in chars]
    vocab += [(MARK + char, _CHAR_SCORE) for char in chars if char not in string.punctuation]
    known = {piece for piece, _ in vocab}
    vocab += [(MARK + word, _WORD_SCORE) for word in sorted(set(words)) if MARK + word not in known]
    vocab += [(piece, _WORD_SCORE) for piece in GLUED]
    vocab += [(f"<0x{byte:02X}>", _NEVER) for byte in range(256)]

    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=UNK, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(MARK, prepend_scheme="always", split=True)
    steps = [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIALS])
    patches = [patch_token(cell) for cell in range(GRID * GRID)]
    tokenizer.add_special_tokens(
        [AddedToken(token, lstrip=True, normalized=False) for token in (*TAGS, *patches)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), SPECIALS, strict=True)),
        model_max_length=WINDOW,
        clean_up_tokenization_spaces=False,
    )


def words_of(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The words that `build_tokenizer` kept whole."""
    return sorted(piece[1:] for piece in tokenizer.get_vocab() if piece[0] == MARK and piece[2:])


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the tokenizer's files, with nothing in them that ties them to this machine."""
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    for key in ("name_or_path", "is_local", "local_files_only"):
        config.pop(key, None)
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")


class Codec:
    """Text and boxes to token ids, memoised; the same ids the checkpoint's tokenizer gives."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.size = len(tokenizer)
        self._backend = tokenizer.backend_tokenizer
        self._backend.encode_special_tokens = True
        self.tags = {tag: self._id(tag) for tag in TAGS}
        self.first_patch = self._id(patch_token(0))
        self.encode = lru_cache(maxsize=100_000)(self._encode)

    def _id(self, token: str) -> int:
        found = self._backend.token_to_id(token)
        if found is None:
            raise KeyError(token)
        return int(found)

    def _encode(self, text: str) -> tuple[int, ...]:
        """One stand-alone segment: the first word gets its blank mark."""
        return tuple(self._backend.encode(text, add_special_tokens=False).ids)

    def glued(self, text: str) -> tuple[int, ...]:
        """Text that follows a tag with no blank, such as a comma: its pieces without a mark."""
        return tuple(self._id(char) for char in text)

    def box(self, cells: tuple[int, int]) -> tuple[int, int]:
        """The two location tokens of a box given as cells of the grid."""
        return self.first_patch + cells[0], self.first_patch + cells[1]
