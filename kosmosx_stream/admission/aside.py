"""Work that grows with a request: what is brief is done at once, the rest beside the event loop.

Long texts and large schemas take tenths of a second: others' answers go on meanwhile. But the way
to a thread and back takes longer than a few lines do, and while tokens come it waits for its turn.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

from conversation.items import Item
from kosmosx_stream.formats.item_text import item_text
from kosmosx_stream.protocol.requests import CreateResponse

P = ParamSpec("P")
T = TypeVar("T")

BRIEF_CHARACTERS = 2000
"""About a millisecond of a tokenizer's time."""


def is_brief(request: CreateResponse, items: Iterable[Item]) -> bool:
    """Whether there is little to think about: `items` is all that was said, and no schema."""
    if request.tools or request.text.schema is not None:
        return False
    told = len(request.instructions or "")
    return told + len(item_text(items)) <= BRIEF_CHARACTERS


async def aside(brief: bool, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:  # noqa: FBT001 - what it is about
    """Do the work; in a thread, unless it is brief."""
    return work(*args, **kwargs) if brief else await asyncio.to_thread(work, *args, **kwargs)
