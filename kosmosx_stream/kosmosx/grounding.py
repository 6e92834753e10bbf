"""Kosmos-2's tag stream to visible text and groundings, as it is generated.

It knows neither ids nor a tokenizer: its input is text, tags and location tokens, told apart by
whoever knows the ids. So text that merely spells a tag stays text.

On whole outputs it agrees with Transformers' `clean_text_and_extract_entities_with_bboxes`
(transformers/models/kosmos2/processing_kosmos2.py, 5.19), which `post_process_generation` calls.
It differs where that function needs to know what comes later, or shows a reader its insides:

- Blanks at the end are held back until more text follows, for they are stripped at the end.
- A box before the first visible character gets offset 0. Transformers counts such offsets from
  behind the leading blanks, yet unread when the box is complete, and so below zero.
- A phrase of blanks alone has an empty span; Transformers gives one that ends before it starts.
- A box without a phrase has an empty phrase, where Transformers writes location tokens.
- What precedes an `</image>` is kept: text that was shown cannot be taken back. In an answer
  there is none, the image stands in the prompt.
- `<` and `>` in plain text are shown. Transformers works on strings and removes what is between.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from conversation.items import Grounding
from kosmosx_stream.formats.chat_format import Released

SIDE = 32
"""Location tokens number the cells of a SIDE x SIDE grid, row by row from the top left."""

Box = tuple[float, float, float, float]


class Tag(Enum):
    """The control tokens of Kosmos-2, in its own spelling. Location tokens are plain integers."""

    BOS = "<s>"
    PAD = "<pad>"
    EOS = "</s>"
    DOCUMENT_END = "</doc>"
    IMAGE = "<image>"
    IMAGE_END = "</image>"
    CHUNK_END = "</chunk>"
    LINE_END = "</line>"
    PHRASE = "<phrase>"
    PHRASE_END = "</phrase>"
    OBJECT = "<object>"
    OBJECT_END = "</object>"
    DELIMITER = "</delimiter_of_multi_objects/>"
    GROUNDING = "<grounding>"


Piece = str | Tag | int
"""Plain text, a tag, or the index of a location token (`<patch_index_0044>` is 44)."""


def box(first: int, last: int) -> Box:
    """The box from its upper left and lower right cells, normalised to the image.

    A box of one row or column of cells reaches to the cells' edges, any other to their centres
    (`patch_index_to_coordinate`, from microsoft/unilm kosmos-2/demo/decode_string.py). Corners in
    the wrong order are left as the model gave them.
    """
    # Multiplied by the reciprocal, as the reference does, so that the floats are the same bits.
    cell = 1.0 / SIDE
    (top, left), (bottom, right) = divmod(first, SIDE), divmod(last, SIDE)
    near, far = (0.0, cell) if left == right or top == bottom else (cell / 2, cell / 2)
    return left * cell + near, top * cell + near, right * cell + far, bottom * cell + far


@dataclass(slots=True)
class _Phrase:
    """A phrase being read, or read and waiting for its object. Offsets count all blanks."""

    start: int
    text: str = ""
    closed: bool = False


@dataclass(slots=True)
class _Object:
    """An object being read: the location tokens since `<object>`, and its phrase if it has one."""

    phrase: _Phrase | None
    at: int
    cells: list[int] = field(default_factory=list)
    pairs_due: int = 1

    @property
    def whole(self) -> bool:
        return len(self.cells) == 2 * self.pairs_due

    def boxes(self) -> tuple[Box, ...]:
        return tuple(box(*pair) for pair in zip(self.cells[::2], self.cells[1::2], strict=True))


class GroundingParser:
    """Reads an answer's pieces, in any portions. One object per answer.

    The grammar is the reference's regular expression, pieces touching one another:
    `(<phrase>TEXT</phrase>)?<object>(CELL CELL <delimiter>)*CELL CELL</object>`.
    Anything else loses its tags and keeps its text.
    """

    __slots__ = ("_blanks", "_open", "_read", "_skipped", "_visible")

    def __init__(self) -> None:
        self._open: _Phrase | _Object | None = None
        self._read = 0
        self._skipped = 0
        self._visible = False
        self._blanks = ""

    def feed(self, pieces: Iterable[Piece]) -> Released:
        """Take the next pieces; release the text that is certain and the boxes that are closed."""
        text: list[str] = []
        grounding: list[Grounding] = []
        for piece in pieces:
            match piece:
                case str():
                    text.append(self._text(piece))
                case Tag():
                    grounding += self._tag(piece)
                case cell:
                    self._cell(cell)
        return Released("".join(text), tuple(grounding))

    def _text(self, text: str) -> str:
        if not text:
            return ""
        if isinstance(self._open, _Phrase) and not self._open.closed:
            self._open.text += text
        else:
            self._open = None
        self._read += len(text)
        return self._show(text)

    def _show(self, text: str) -> str:
        """Strip the answer's leading blanks; keep back what may turn out to be trailing ones."""
        if not self._visible:
            shown = text.lstrip()
            self._skipped += len(text) - len(shown)
            self._visible = bool(shown)
            text = shown
        text = self._blanks + text
        shown = text.rstrip()
        self._blanks = text[len(shown) :]
        return shown

    def _cell(self, cell: int) -> None:
        match self._open:
            case _Object() as read if not read.whole:
                read.cells.append(cell)
            case _:
                self._open = None

    def _tag(self, tag: Tag) -> Iterable[Grounding]:
        was, self._open = self._open, None
        match tag, was:
            case Tag.PHRASE, _:
                self._open = _Phrase(self._read)
            case Tag.PHRASE_END, _Phrase(text=text, closed=False) if text:
                was.closed = True
                self._open = was
            case Tag.OBJECT, _Phrase(closed=True):
                self._open = _Object(was, self._read)
            case Tag.OBJECT, _:
                self._open = _Object(None, self._read)
            case Tag.DELIMITER, _Object(whole=True):
                was.pairs_due += 1
                self._open = was
            case Tag.OBJECT_END, _Object(whole=True):
                return self._groundings(was)
            case _:
                pass
        return ()

    def _groundings(self, read: _Object) -> Iterable[Grounding]:
        """One grounding for a phrase; one for every box that has no phrase."""
        if read.phrase is None:
            at = self._offset(read.at)
            return [Grounding("", at, at, (each,)) for each in read.boxes()]
        raw = read.phrase.text
        phrase = raw.strip()
        start = self._offset(read.phrase.start)
        if phrase:
            start = self._offset(read.phrase.start + len(raw) - len(raw.lstrip()))
        return [Grounding(phrase, start, start + len(phrase), read.boxes())]

    def _offset(self, read: int) -> int:
        """Where a character that was read lies in the visible text."""
        return max(0, read - self._skipped)

    def finish(self) -> Released:
        """The answer is over. Blanks still held are trailing ones, an open tag never closed."""
        self._open = None
        self._blanks = ""
        return Released()
