"""The chat format port: how messages become prompt ids, and answer ids become text and boxes.

Each model has its own: Kosmos-2's is `kosmosx.prompt`, `chat_template` reads any other model's from
its checkpoint. A format is pure: it holds a tokenizer, but no conversation and no engine.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from conversation.items import Grounding, Item


class Released(msgspec.Struct, frozen=True, gc=False):
    """Visible text that became certain, and groundings that became complete."""

    text: str = ""
    grounding: tuple[Grounding, ...] = ()


class AnswerDecoder(Protocol):
    """Incremental decoder of one answer. Replaying the same ids restores the same state."""

    def feed(self, token_ids: Sequence[int]) -> Released:
        """Take the next ids; half-written characters and tags are held back."""
        ...

    def finish(self) -> Released:
        """The answer is over: release what was held back and can still be shown."""
        ...


class ChatFormat(Protocol):
    """A model's words for a conversation, as token ids.

    A prompt is `opening`, then for every past turn its `segment`, answer ids and `closing`, then
    the new turn's `segment`. User text never becomes a control token.
    """

    @property
    def tokens(self) -> str:
        """Names what ids mean here; formats with other tokens have another name."""
        ...

    @property
    def sees(self) -> bool:
        """Whether messages may hold images."""
        ...

    @property
    def grounds(self) -> bool:
        """Whether answers can tie their phrases to boxes on an image."""
        ...

    @property
    def marks(self) -> tuple[int, ...]:
        """Ids that may stand between an answer's words though they are no text."""
        ...

    def opening(self, instructions: str | None) -> tuple[int, ...]:
        """What every prompt begins with."""
        ...

    def segment(self, items: Sequence[Item], *, grounding: bool) -> tuple[int, ...]:
        """A turn's stretch of the prompt, up to where the answer begins.

        Images stand as one adjacent begin/end pair each, in the order of the items' images.
        `items` may hold messages and calls of the model (a client that keeps its own history).
        """
        ...

    def closing(self, answer_ids: Sequence[int]) -> tuple[int, ...]:
        """What must follow an answer before the next turn."""
        ...

    def ended(self, answer_ids: Sequence[int]) -> bool:
        """Whether the model has ended this answer itself."""
        ...

    def decoder(self) -> AnswerDecoder:
        """A fresh decoder for one answer."""
        ...
