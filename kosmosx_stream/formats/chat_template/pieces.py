"""Text and control tokens in one line, to ids as the model's own tokenizer would give them.

A template's text may name control tokens, a message's may not. What stands between two control
tokens is encoded as one run, whoever wrote it, for that is what the model's tokenizer does.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec
from tokenizers import AddedToken, Tokenizer

from kosmosx_stream.formats.plain_text import PlainText, plain_text_tokenizer

# Unicode's White_Space, which is what an added token strips; Python's own strips more.
_WHITE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B)))
_WHITE += "\u2028\u2029\u202f\u205f\u3000"
_WORD = re.compile(r"[\w\s'-]+")


class Control(msgspec.Struct, frozen=True):
    """A control token; some swallow the blanks beside them."""

    id: int
    text: str
    lstrip: bool = False
    rstrip: bool = False


Piece = str | Control


class Pieces:
    """A tokenizer's control tokens, and its way with the text between them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        added: dict[int, AddedToken] = tokenizer.get_added_tokens_decoder()
        self._controls = {
            token.content: Control(number, token.content, token.lstrip, token.rstrip)
            for number, token in added.items()
            if _is_control(token)
        }
        # Longest first: where one spelling begins with another, the tokenizer takes the longer.
        spellings = sorted(self._controls, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, spellings)) or r"(?!)")
        kept = [each.content for each in added.values() if not _is_control(each)]
        plain = plain_text_tokenizer(tokenizer, kept)
        self.controls = frozenset(each.id for each in self._controls.values())
        self._first = PlainText(plain, self.controls)
        self._later = PlainText(_after_a_token(plain), self.controls)

    def split(self, text: str) -> tuple[Piece, ...]:
        """A template's text, cut at the control tokens that it names."""
        return tuple(self._split(text))

    def _split(self, text: str) -> Iterator[Piece]:
        at = 0
        for match in self._pattern.finditer(text):
            if match.start() > at:
                yield text[at : match.start()]
            yield self._controls[match.group()]
            at = match.end()
        if at < len(text):
            yield text[at:]

    def encode(self, pieces: Sequence[Piece], *, begins: bool = False) -> tuple[int, ...]:
        """The ids of a stretch of a prompt; `begins` if nothing stands before it.

        Raises:
            ControlTokenError: never, if the guard below it holds.
        """
        ids: list[int] = []
        before: Control | None = None
        runs = list(_runs(pieces))
        for at, piece in enumerate(runs):
            if isinstance(piece, Control):
                ids.append(piece.id)
                before = piece
                continue
            after = runs[at + 1] if at + 1 < len(runs) else None
            text = piece.lstrip(_WHITE) if before and before.rstrip else piece
            text = text.rstrip(_WHITE) if isinstance(after, Control) and after.lstrip else text
            ids += (self._first if begins and not at else self._later).encode(text)
        return tuple(ids)


def _runs(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces, with neighbouring texts made one."""
    for control, group in groupby(pieces, lambda piece: isinstance(piece, Control)):
        if control:
            yield from group
        elif run := "".join(piece for piece in group if isinstance(piece, str)):
            yield run


def _is_control(token: AddedToken) -> bool:
    """Added tokens that are neither special nor markup are words and blanks, and so text."""
    return bool(token.special) or not _WORD.fullmatch(token.content)


def _after_a_token(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer as it treats text that does not begin the whole.

    Some put a blank before the first word of all (Metaspace, `prepend_scheme: first`).
    """
    spec: dict[str, Any] = json.loads(tokenizer.to_str())
    first = spec["pre_tokenizer"] or {}
    for each in (first, *first.get("pretokenizers", ())):
        if each.get("prepend_scheme") == "first":
            each["prepend_scheme"] = "never"
    return Tokenizer.from_str(json.dumps(spec))
