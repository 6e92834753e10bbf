"""Ids of one answer to text, as they come."""

import codecs
from collections.abc import Callable, Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer

from kosmosx_stream.formats.chat_format import AnswerDecoder, Released
from kosmosx_stream.formats.token_bytes import (
    TokenBytes,
    decoder_of,
    of_byte_fallback,
    of_byte_level,
)

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


def _replace_each(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return _INCOMPLETE * (error.end - error.start), error.end


_EACH_BYTE = "kosmosx_stream.replace_each"
"""Broken bytes become U+FFFD one by one, as tokenizers' `ByteFallback` has it. Python's `replace`,
as its `ByteLevel`, has one U+FFFD for all that would have begun a character."""
codecs.register_error(_EACH_BYTE, _replace_each)


def decoders_of(tokenizer: Tokenizer) -> Callable[[], AnswerDecoder]:
    """What makes a decoder for each answer of the tokenizer's model.

    The tokens of most models are bytes, whatever stands beside them (tokenizers,
    src/decoders/mod.rs): those are looked up. Others are decoded among their neighbours.
    """
    added: dict[int, AddedToken] = tokenizer.get_added_tokens_decoder()
    specials = {token.content for token in added.values() if token.special}
    match decoder_of(tokenizer):
        case {"type": "ByteLevel"}:
            said = TokenBytes(tokenizer, of_byte_level, specials)
            return lambda: BytesDecoder(said, "replace")
        case {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": blank}, "content": content},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                *rest,
            ],
        } if (begins := _stripped(rest)) is not None:
            said = TokenBytes(
                tokenizer, lambda token: of_byte_fallback(token.replace(blank, content)), specials
            )
            return lambda: BytesDecoder(said, _EACH_BYTE, begins)
        case _:
            return lambda: WindowDecoder(tokenizer)


def _stripped(decoders: Sequence[Any]) -> str | None:
    """What the text loses if it begins with it; None if these decoders do anything else."""
    match decoders:
        case []:
            return ""
        case [{"type": "Strip", "content": str(begins), "start": 1, "stop": 0}]:
            return begins
        case _:
            return None


class BytesDecoder:
    """Decodes an answer whose tokens are bytes, together UTF-8.

    A character whose bytes are not all there is held back; broken bytes become U+FFFD. To
    `ByteFallback` a broken byte breaks the whole characters, too, that are written as bytes next to
    it. Here they stay, for those before it are shown by then.
    """

    def __init__(self, said: TokenBytes, errors: str, begins: str = "") -> None:
        """`errors`: of the codec. `begins`: what the text loses if it begins with it."""
        self._said = said
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors)
        self._begins = begins

    def feed(self, token_ids: Sequence[int]) -> Released:
        return Released(self._text(b"".join(map(self._said.__getitem__, token_ids))))

    def finish(self) -> Released:
        return Released(self._text(b"", final=True))

    def _text(self, data: bytes, *, final: bool = False) -> str:
        text = self._utf8.decode(data, final)
        if self._begins and text:
            text, self._begins = text.removeprefix(self._begins), ""
        return text


class WindowDecoder:
    """Decodes an answer in a window that moves along.

    How a token is written can depend on its neighbours, so a few are decoded together, with and
    without the new ones: the difference is what the new ones say. A character whose bytes are not
    all there is held back.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._shown = 0
        """How many of the window's ids are shown."""

    def feed(self, token_ids: Sequence[int]) -> Released:
        return Released("".join(map(self._take, token_ids)))

    def finish(self) -> Released:
        return Released(self._new())

    def _take(self, token_id: int) -> str:
        self._ids.append(token_id)
        new = self._new()
        if not new or new.endswith(_INCOMPLETE):
            return ""
        self._ids, self._shown = self._ids[self._shown :], len(self._ids) - self._shown
        return new

    def _new(self) -> str:
        """What the ids say that are not shown yet."""
        return self._text(self._ids)[len(self._text(self._ids[: self._shown])) :]

    def _text(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text
