"""Where words stand in what was said. Pure."""

import re
from collections.abc import Iterable

import msgspec

from conversation.items import Answer, Text, Turn, parts

AROUND = 60
"""Characters that are told before and after what was found."""


class Found(msgspec.Struct, frozen=True):
    """The words as they stand there, in what is around them, and the turn that they belong to."""

    turn_id: str
    before: str
    words: str
    after: str


def find(turns: Iterable[Turn], words: str) -> Found | None:
    """The newest place at which the words stand, whatever their case; `turns` are oldest first."""
    pattern = re.compile(re.escape(words), re.IGNORECASE)
    for turn in reversed(list(turns)):
        for item in reversed(turn.items):
            for part in parts(item):
                match = pattern.search(part.text) if isinstance(part, Text | Answer) else None
                if match:
                    return _found(turn, match)
    return None


def _found(turn: Turn, match: re.Match[str]) -> Found:
    text, begin, end = match.string, *match.span()
    return Found(
        turn_id=turn.response_id,
        before=_words(text[max(0, begin - AROUND) : begin], cut=begin > AROUND, at=0),
        words=match[0],
        after=_words(text[end : end + AROUND], cut=len(text) > end + AROUND, at=-1),
    )


def _words(text: str, *, cut: bool, at: int) -> str:
    """On one line; what was cut off within a word is left out at that side."""
    line = re.sub(r"\s+", " ", text)
    if not cut:
        return line
    return f"…{line.partition(' ')[2]}" if at == 0 else f"{line.rpartition(' ')[0]}…"
