"""Compaction: a shorter conversation in place of a long one. Pure, and no model is asked.

The words of user and developer stay as they are. Answers, calls and their results are abridged to a
line each, which one note holds; pictures go. A note that is compacted again keeps its lines.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

import msgspec

from conversation.items import (
    Answer,
    FunctionCall,
    FunctionCallOutput,
    Image,
    Item,
    Message,
    Part,
    Text,
)

HEADING = "Earlier answers, abridged:"
PICTURE = "(There was a picture here.)"
LONGEST_LINE = 160
"""Characters that are left of an answer."""

_SENTENCE = re.compile(r".+?[.!?](?= |$)")


class Compacted(msgspec.Struct, frozen=True):
    """What stays of a conversation: messages, and a note that stands for the rest."""

    messages: tuple[Message, ...]
    note: str


def compact(items: Sequence[Item]) -> Compacted:
    """Shorten a conversation, oldest item first."""
    kept = (item for item in items if isinstance(item, Message) and item.role != "assistant")
    lines = (line for item in items for line in _lines(item))
    return Compacted(tuple(map(_without_pictures, kept)), "\n".join((HEADING, *lines)))


def _lines(item: Item) -> Iterator[str]:
    match item:
        case Message(role="assistant"):
            text = _text(item.content)
            if text.startswith(HEADING):
                yield from text.splitlines()[1:]
            elif text:
                yield f"- {_abridged(text)}"
        case Message():
            pass
        case FunctionCall(name=name, arguments=arguments):
            yield f"- called {_abridged(f'{name}({arguments})')}"
        case FunctionCallOutput(output=output):
            text = output if isinstance(output, str) else _text(output)
            yield f"- got {_abridged(text)}"
        case never:
            assert_never(never)


def _abridged(text: str) -> str:
    """The first sentence, or as many words of it as fit."""
    line = " ".join(text.split())
    sentence = _SENTENCE.match(line)
    line = sentence.group() if sentence else line
    if len(line) <= LONGEST_LINE:
        return line
    return line[: LONGEST_LINE - 1].rsplit(" ", 1)[0] + "…"


def _without_pictures(message: Message) -> Message:
    content = tuple(Text(PICTURE) if isinstance(part, Image) else part for part in message.content)
    return msgspec.structs.replace(message, content=content)


def _text(parts: Iterable[Part]) -> str:
    return "\n".join(part.text for part in parts if isinstance(part, Text | Answer))
