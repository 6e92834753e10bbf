"""Kosmos-2's words for a conversation: messages to prompt ids, answer ids to text and boxes.

The template is Kosmos-2's own for questions (`Question: … Answer:`, the paper's section 2.3 and
microsoft/unilm kosmos-2), repeated for every turn, each answer closed by `</s>`:

    <s> instructions
    <image></image>… <grounding> Question: text Answer:   answer </s>
    …

Calls of functions are plain text of answers, and what they gave of questions (see `item_text`).

Control tokens are put in by id, here and nowhere else. Text is tokenised segment by segment with
a tokenizer that has no control tokens, so that a user who types `</s>` gets its letters.
"""

import codecs
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Self

from tokenizers import Tokenizer

from conversation.items import (
    FunctionCallOutput,
    Item,
    Message,
    image_ids,
    is_answer,
)
from kosmosx_stream.formats.chat_format import Released
from kosmosx_stream.formats.item_text import item_text
from kosmosx_stream.formats.plain_text import PlainText, name_of, plain_text_tokenizer
from kosmosx_stream.formats.token_bytes import TokenBytes, decoder_of, of_byte_fallback
from kosmosx_stream.kosmosx.grounding import SIDE, GroundingParser, Piece, Tag

_UNKNOWN = "<unk>"
_MASK = "<mask>"
_BLANK = "▁"  # SentencePiece writes a blank as U+2581
_UNSEEN = (Tag.BOS, Tag.PAD, Tag.EOS)
# `skip_special_tokens=True` in Transformers' examples drops these before the tags are read.
_DROPPED = (*(tag.value for tag in _UNSEEN), _UNKNOWN, _MASK)
_MARKS = (Tag.PHRASE, Tag.PHRASE_END, Tag.OBJECT, Tag.OBJECT_END, Tag.DELIMITER)


class UnsupportedTokenizerError(ValueError):
    """The checkpoint's tokenizer is not of Kosmos-2's kind."""


class Vocabulary:
    """What each id means to the chat format."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        def id_of(token: str) -> int:
            found = tokenizer.token_to_id(token)
            if found is None:
                raise UnsupportedTokenizerError(f"expected a token {token} in Kosmos-2's tokenizer")
            return found

        self.tags = {tag: id_of(tag.value) for tag in Tag}
        self.cells = {id_of(f"<patch_index_{cell:04d}>"): cell for cell in range(SIDE * SIDE)}
        added = tokenizer.get_added_tokens_decoder()
        self.controls = frozenset(
            {*self.tags.values(), *self.cells, *added} - {tokenizer.token_to_id(_UNKNOWN)}
        )
        self.meaning: Mapping[int, Tag | int] = {
            **self.cells,
            **{number: tag for tag, number in self.tags.items() if tag not in _UNSEEN},
        }
        self.said = TokenBytes(
            tokenizer,
            lambda piece: of_byte_fallback(piece.replace(_BLANK, " ")),
            silent={*_DROPPED, *(token.content for token in added.values())},
        )
        """What ids without a meaning of their own say."""


class Kosmos2Decoder:
    """Ids of one answer to visible text and groundings.

    Blanks are as the model wrote them. Bytes become text once they make a whole character; bytes
    that never will become U+FFFD.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._parser = GroundingParser()
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token_ids: Sequence[int]) -> Released:
        return self._parser.feed(self._pieces(token_ids))

    def finish(self) -> Released:
        last = self._parser.feed((self._utf8.decode(b"", final=True),))
        end = self._parser.finish()
        return Released(last.text + end.text, last.grounding + end.grounding)

    def _pieces(self, token_ids: Iterable[int]) -> Iterator[Piece]:
        meaning, said = self._vocabulary.meaning, self._vocabulary.said
        for means, run in groupby(token_ids, meaning.__contains__):
            if means:
                yield self._utf8.decode(b"", final=True)
                yield from map(meaning.__getitem__, run)
            else:
                yield self._utf8.decode(b"".join(map(said.__getitem__, run)))


class Kosmos2Format:
    """The chat format of Kosmos-2 and of the bundled nano checkpoint."""

    sees = True
    grounds = True

    def __init__(self, tokenizer: Tokenizer) -> None:
        if _BLANK not in json.dumps(decoder_of(tokenizer), ensure_ascii=False):
            raise UnsupportedTokenizerError(
                "expected a SentencePiece-style tokenizer, blanks as U+2581"
            )
        self.tokens = name_of(tokenizer)
        self._vocabulary = Vocabulary(tokenizer)
        plain = plain_text_tokenizer(tokenizer)
        self._plain = PlainText(plain, self._vocabulary.controls)
        tags = self._vocabulary.tags
        self._image = (tags[Tag.IMAGE], tags[Tag.IMAGE_END])
        self._end = tags[Tag.EOS]
        self._question = self.encode("Question:")
        self._answer = self.encode("Answer:")

    @classmethod
    def from_checkpoint(cls, folder: str | Path) -> Self:
        """Load the tokenizer of a checkpoint folder in Hugging Face's layout."""
        return cls(Tokenizer.from_file(str(Path(folder) / "tokenizer.json")))

    @property
    def controls(self) -> frozenset[int]:
        """Ids that no text ever becomes."""
        return self._vocabulary.controls

    @property
    def marks(self) -> tuple[int, ...]:
        """The tags around phrases and boxes, and the locations."""
        return (*(self._vocabulary.tags[tag] for tag in _MARKS), *self._vocabulary.cells)

    def encode(self, text: str) -> tuple[int, ...]:
        """Plain text, on its own; `ControlTokenError` rather than a control token."""
        return self._plain.encode(text)

    def opening(self, instructions: str | None) -> tuple[int, ...]:
        return (self._vocabulary.tags[Tag.BOS], *self.encode(instructions or ""))

    def segment(self, items: Sequence[Item], *, grounding: bool) -> tuple[int, ...]:
        """A turn's stretch, up to where the answer begins.

        Items with no answer between them make one question, their texts a line each; so does
        what a system or developer message adds to a question. One that comes before anything of
        the user in its question stands in front of it as plain text.

        An assistant's message and the calls after it are one answer. The last answer, if nothing
        is asked after it, is left open: what is generated continues it, and `closing` closes it,
        as it does every answer.
        """
        ids: list[int] = []
        for answered, group in groupby(items, is_answer):
            if answered:
                ids += self._answered(list(group))
            else:
                ids += self._asked(list(group), grounding=grounding)
        if items and is_answer(items[-1]):
            ids.pop()
        return tuple(ids)

    def _answered(self, items: Sequence[Item]) -> Iterator[int]:
        for at, item in enumerate(items):
            if at and isinstance(item, Message):
                yield self._end
            yield from self._said(item)
        yield self._end

    def _said(self, item: Item) -> tuple[int, ...]:
        return (*self._images([item]), *self.encode(item_text([item])))

    def _asked(self, items: Sequence[Item], *, grounding: bool) -> tuple[int, ...]:
        """What stands before one answer."""
        first = next((at for at, item in enumerate(items) if _is_of_user(item)), len(items))
        before = tuple(each for item in items[:first] for each in self._said(item))
        asked = items[first:]
        if not asked:
            return before
        grounded = (self._vocabulary.tags[Tag.GROUNDING],) if grounding else ()
        question = (*self._question, *self.encode(item_text(asked)), *self._answer)
        return (*before, *self._images(asked), *grounded, *question)

    def _images(self, items: Sequence[Item]) -> tuple[int, ...]:
        return self._image * len(image_ids(items))

    def ended(self, answer_ids: Sequence[int]) -> bool:
        return bool(answer_ids) and answer_ids[-1] == self._end

    def closing(self, answer_ids: Sequence[int]) -> tuple[int, ...]:
        return () if self.ended(answer_ids) else (self._end,)

    def decoder(self) -> Kosmos2Decoder:
        return Kosmos2Decoder(self._vocabulary)


def _is_of_user(item: Item) -> bool:
    return isinstance(item, FunctionCallOutput) or (
        isinstance(item, Message) and item.role == "user"
    )
