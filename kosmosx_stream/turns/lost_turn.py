"""A turn as its log tells it, to whoever takes it over from its owner."""

from collections.abc import Sequence

import msgspec

from conversation.entries import Delta, Entry, Started
from kosmosx_stream.engines.port import FinishReason
from kosmosx_stream.formats.chat_format import ChatFormat


class LostTurn(msgspec.Struct, frozen=True):
    """What was admitted, and what was answered so far."""

    started: Started
    deltas: Sequence[Delta]

    def finish_reason(self, chat_format: ChatFormat) -> FinishReason | None:
        """Why the engine had nothing more to say; None if it had."""
        answer_ids = [token for delta in self.deltas for token in delta.token_ids]
        if chat_format.ended(answer_ids):
            return "stop"
        return "length" if len(answer_ids) >= self.started.max_tokens else None


def read_lost_turn(entries: Sequence[Entry]) -> LostTurn:
    """Read a log that has begun and has not ended."""
    started, *rest = entries
    assert isinstance(started, Started)
    return LostTurn(started, [entry for entry in rest if isinstance(entry, Delta)])
