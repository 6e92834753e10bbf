"""Ids of one answer to text, as they come."""

from collections.abc import Sequence

from tokenizers import Tokenizer

from kosmosx_stream.formats.chat_format import Released

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


class TextDecoder:
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
