"""The session: a sans-I/O state machine of turns. Inputs in, effects out.

It knows no socket, clock, task, store or engine; whoever drives it passes the time in and carries
the effects out, in order. A turn is *live* from `say` until its `Ended` entry is published; a
session is *open* until `close`, then *closing* until its last turn is settled, then *closed*.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from conversation.entries import Delta, Ended, EndReason, Entry, Started
from conversation.items import Turn, box_count, image_ids
from kosmosx_stream.engines.port import FinishReason
from kosmosx_stream.formats.answer import AnswerItems
from kosmosx_stream.formats.chat_format import AnswerDecoder, Released
from kosmosx_stream.formats.stop_strings import StopStrings
from kosmosx_stream.limits.allowance import shortened, within_allowance

FINISHED = "finished"
"""Why a session closes that was opened for one turn."""


class Publish(msgspec.Struct, frozen=True, gc=False):
    """Append the entry to the response's log; with the last one goes the turn to remember."""

    response_id: str
    entry: Entry
    turn: Turn | None = None


class Generate(msgspec.Struct, frozen=True):
    """Start the engine on this response's prompt, or go on after what it has answered so far."""

    started: Started


class Abort(msgspec.Struct, frozen=True):
    """Stop the engine's work on this response."""

    response_id: str


class Remember(msgspec.Struct, frozen=True):
    """Keep a turn that asked not to be stored, for as long as its connection lives."""

    turn: Turn


class Settle(msgspec.Struct, frozen=True):
    """Write the ended response's usage into the ledger, then say `settled`."""

    response_id: str


class Close(msgspec.Struct, frozen=True):
    """Nothing is left to settle: close the session's books."""

    reason: str


Effect = Publish | Generate | Abort | Remember | Settle | Close


class SessionClosed(Exception):
    """The session takes no more turns."""


class _Turn:
    """What the machine remembers of one response."""

    def __init__(self, started: Started, decoder: AnswerDecoder) -> None:
        self.started = started
        self.decoder = StopStrings(decoder, started.stop)
        self.live = True
        self.steered = False
        self.cached_tokens = 0
        self.detections = 0
        self.held: list[int] = []
        """Ids generated but not yet published, because they released nothing to show."""
        self.answer_ids: list[int] = []
        self.answer = AnswerItems(started.output_item_id, calls=started.calls)

    def remember(self, released: Released) -> None:
        self.answer.feed(released.text, released.grounding)
        self.detections += box_count(released.grounding)

    def take_held(self) -> tuple[int, ...]:
        held, self.held = tuple(self.held), []
        return held

    def affords(self, token_ids: Sequence[int], released: Released) -> bool:
        """Whether the budget has enough for these tokens, too."""
        return self.started.allowance is None or within_allowance(
            self.started,
            len(self.answer_ids) + len(token_ids),
            self.detections + box_count(released.grounding),
        )

    def to_history(self, reason: EndReason) -> Turn | None:
        """The turn as history keeps it; a failed one is not remembered."""
        if reason == "error":
            return None
        started = self.started
        asked = (*started.pending, *started.input)
        self.answer.finish(reason)
        return Turn(
            response_id=started.response_id,
            parent_id=started.parent_id,
            conversation_id=started.conversation_id,
            account_id=started.account_id,
            created_at=started.created_at,
            input=asked,
            output=self.answer.items,
            prompt_ids=started.turn_ids,
            answer_ids=tuple(self.answer_ids),
            image_ids=image_ids(asked),
            grounding=started.grounding,
            billed=bool(self.answer_ids),
            session_id=started.session_id,
            tokens=started.tokens,
        )


class Session:
    """The turns of one metering session."""

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}
        self._state: Literal["open", "closing", "closed"] = "open"
        self._close_reason = ""

    @property
    def open(self) -> bool:
        """Whether the session takes turns."""
        return self._state == "open"

    def holds(self, response_id: str) -> bool:
        """Whether the response is live or unsettled."""
        return response_id in self._turns

    @property
    def idle(self) -> bool:
        """Whether nothing is live or unsettled."""
        return not self._turns

    def say(self, started: Started, decoder: AnswerDecoder) -> list[Effect]:
        """Begin a turn.

        Raises:
            SessionClosed: the session is closing or closed.
        """
        if not self.open:
            raise SessionClosed
        self._turns[started.response_id] = _Turn(started, decoder)
        return [Publish(started.response_id, started), Generate(started)]

    def resume(
        self,
        started: Started,
        deltas: Sequence[Delta],
        decoder: AnswerDecoder,
        now: float,
        *,
        finish_reason: FinishReason | None = None,
    ) -> list[Effect]:
        """Take up a turn from its log, where a lost owner left it.

        With a `finish_reason` the engine had nothing more to say, and only the end is missing.
        """
        turn = self._turns[started.response_id] = _Turn(started, decoder)
        for delta in deltas:
            # The decoder gets back to where it was; what it releases is in the log already.
            turn.remember(turn.decoder.feed(delta.token_ids))
            turn.answer_ids.extend(delta.token_ids)
        if turn.decoder.stopped:
            return self._end(turn, "stop", now)
        if finish_reason is not None:
            return self._end(turn, finish_reason, now)
        if not self.open:
            return self._end(turn, "cancelled", now)
        return [Generate(started)]

    def answer_ids(self, response_id: str) -> tuple[int, ...]:
        """What the engine has answered so far in a live turn."""
        return tuple(self._turns[response_id].answer_ids)

    def delta(
        self,
        response_id: str,
        token_ids: Sequence[int],
        now: float,
        *,
        finish_reason: FinishReason | None = None,
        cached_tokens: int = 0,
    ) -> list[Effect]:
        """The engine generated tokens; with a `finish_reason` they are the last.

        Those of a turn that is only to be read are nobody's.
        """
        turn = self._turns.get(response_id)
        if turn is None or not turn.live:
            return []  # An aborted engine may still deliver a step that was under way.
        turn.cached_tokens = cached_tokens
        if not turn.started.generate:
            return [] if finish_reason is None else self._end(turn, "warmed", now)
        released = turn.decoder.feed(token_ids)
        if not turn.affords(token_ids, released):
            return [Abort(response_id), *self._end(turn, "budget", now)]
        turn.held.extend(token_ids)
        turn.answer_ids.extend(token_ids)
        effects: list[Effect] = []
        if released.text or released.grounding:
            turn.remember(released)
            entry = Delta(turn.take_held(), released.text, released.grounding)
            effects.append(Publish(response_id, entry))
        if turn.decoder.stopped:
            return [*effects, Abort(response_id), *self._end(turn, "stop", now)]
        if finish_reason is not None:
            return [*effects, *self._end(turn, finish_reason, now)]
        return [*effects, *self._steer(turn, now)]

    def steer(self, response_id: str, now: float) -> list[Effect]:
        """End a live turn as soon as its answer can be gone on from: now, or some tokens later.

        An answer that calls functions ends by itself, for what they give comes next.
        """
        turn = self._turns.get(response_id)
        if turn is None or not turn.live:
            return []
        turn.steered = True
        return self._steer(turn, now)

    def stop(
        self,
        response_id: str,
        reason: EndReason,
        now: float,
        *,
        error_code: str | None = None,
        error_message: str | None = None,
    ) -> list[Effect]:
        """End a live turn before the engine does; does nothing to one that has ended."""
        turn = self._turns.get(response_id)
        if turn is None or not turn.live:
            return []
        abort = Abort(response_id)
        return [abort, *self._end(turn, reason, now, error_code, error_message)]

    def abandon(self, response_id: str) -> list[Effect]:
        """The response's log is no longer ours to write: forget the turn without a word."""
        turn = self._turns.pop(response_id, None)
        if turn is None:
            return []
        return [Abort(response_id), *self._closed_if_done()]

    def settled(self, response_id: str) -> list[Effect]:
        """The turn's usage is in the ledger."""
        self._turns.pop(response_id, None)
        return self._closed_if_done()

    def finish(self, response_id: str) -> bool:
        """Be closed from here on if this is the only turn: it is closed in the books with that."""
        if not self.open or [*self._turns] != [response_id]:
            return False
        self._state = "closed"
        return True

    def close(self, reason: str, now: float) -> list[Effect]:
        """Take no more turns, stop the live ones, and close when all are settled."""
        if not self.open:
            return []
        self._state, self._close_reason = "closing", reason
        effects: list[Effect] = []
        for response_id in list(self._turns):
            effects += self.stop(response_id, "cancelled", now)
        return effects + self._closed_if_done()

    def _end(
        self,
        turn: _Turn,
        reason: EndReason,
        now: float,
        error_code: str | None = None,
        error_message: str | None = None,
    ) -> list[Effect]:
        turn.live = False
        released = turn.decoder.finish()
        if not turn.affords((), released):
            released = Released(released.text)
        turn.remember(released)
        if reason == "length" and turn.decoder.stopped:
            reason = "stop"  # What was held back up to the last token made a stop string whole.
        if reason == "length" and shortened(turn.started):
            reason = "budget"
        response_id = turn.started.response_id
        entry = Ended(
            reason=reason,
            at=now,
            token_ids=turn.take_held(),
            text=released.text,
            grounding=released.grounding,
            cached_tokens=turn.cached_tokens,
            error_code=error_code,
            error_message=error_message,
        )
        history = turn.to_history(reason)
        if history is None or turn.started.store:
            return [Publish(response_id, entry, history), Settle(response_id)]
        return [Publish(response_id, entry), Remember(history), Settle(response_id)]

    def _steer(self, turn: _Turn, now: float) -> list[Effect]:
        if not turn.steered or not turn.answer.can_break:
            return []
        return [Abort(turn.started.response_id), *self._end(turn, "steered", now)]

    def _closed_if_done(self) -> list[Effect]:
        if self._state != "closing" or self._turns:
            return []
        self._state = "closed"
        return [Close(self._close_reason)]


def displaced(ended: Ended) -> Ended:
    """The end of a turn whose place in its conversation was taken: the answer stands, outside."""
    return msgspec.structs.replace(
        ended,
        reason="error",
        error_code="conversation_conflict",
        error_message="Another turn got into the conversation first.",
    )
