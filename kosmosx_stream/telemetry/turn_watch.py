"""One live turn as it is measured: its spans, and the meters that its commits and readers move.

On the path of every token: what is done there is a clock, and an append for each instrument.
"""

import contextlib
import time
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any

from msgspec.structs import replace
from opentelemetry import trace
from opentelemetry.trace import Link, Span

from conversation.entries import Ended, Entry, Started, output_tokens
from kosmosx_stream.telemetry import names
from kosmosx_stream.telemetry.meters import PROVIDER_NAME, Meters
from kosmosx_stream.telemetry.tracing import (
    TRACEPARENT,
    Traces,
    exemplar,
    fail,
    parent_of,
    traceparent,
)

_clock = time.perf_counter


class TurnWatch:
    """Watches one turn on one instance, from its lease to its settlement."""

    def __init__(
        self, meters: Meters, traces: Traces, span: Span, started: Started, *, said: bool = False
    ) -> None:
        """`said`: it has tokens already, from another instance."""
        self.waiting = not said
        """Whether it has no token yet."""
        self._meters = meters
        self._model = meters.of(started.model)
        self._traces = traces
        self._span = span
        self._recording = span.is_recording()
        self._exemplar = exemplar(span)
        self._admitted_at = started.created_at
        self._first_at: float | None = None
        self._last_at = _clock()
        self._longest_gap_s = 0.0
        self._tokens = 0
        self._submitted_at = 0.0
        self._commits = 0
        self._commit_s = self._longest_s = 0.0
        self._commit_span: Span | None = None
        self._done = False

    # -- the path of every token -----------------------------------------------------------

    def submitted(self) -> None:
        """An entry waits for the log."""
        if self._recording:
            self._submitted_at = _clock()
            if self._commit_span is None:
                self._commit_span = self._traces.begin(names.SPAN_COMMIT, parent=self._span)

    def committed(self, tokens: int) -> None:
        """An entry with so many tokens is in the log."""
        now = _clock()
        if self._recording:
            self._note_commit(now)
        if not tokens:
            return
        self._meters.tokens_committed.inc(tokens)
        self._tokens += tokens
        if self.waiting:
            self._begin_answer(now)
        else:
            gap_s = now - self._last_at
            self._meters.inter_token_gap.observe(gap_s)
            if self._exemplar is not None:
                self._longest_gap_s = max(self._longest_gap_s, gap_s)
        self._last_at = now

    def _begin_answer(self, now: float) -> None:
        self.waiting = False
        self._first_at = now
        waited_s = max(0.0, time.time() - self._admitted_at)
        self._model.time_to_first_token.observe_traced(waited_s, self._exemplar)
        self._span.add_event(names.FIRST_PIECE)

    def _note_commit(self, now: float) -> None:
        took_s = now - self._submitted_at
        self._commits += 1
        self._commit_s += took_s
        self._longest_s = max(self._longest_s, took_s)

    def sent(self, readable_at: float) -> None:
        """A reader has handed on what it could read since then (`time.perf_counter`)."""
        self._meters.follow_lag.observe(_clock() - readable_at)

    # -- its stages ------------------------------------------------------------------------

    def generating(self, work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
        """The engine's part."""
        if not self._recording and self._span is trace.get_current_span():
            return work  # It is resumed at every step: not by way of another coroutine.
        return self._generating(work)

    async def _generating(self, work: Coroutine[Any, Any, None]) -> None:
        with self._traces.span(names.SPAN_ENGINE, parent=self._span):
            await work

    @contextlib.contextmanager
    def settling(self) -> Iterator[None]:
        """The ledger's part."""
        self._end_commits()
        with self._traces.span(names.SPAN_SETTLEMENT, parent=self._span):
            yield

    def lost(self) -> None:
        """It is another instance's from here on."""
        if not self._done:
            self._meters.turns_lost.inc()
            fail(self._span, "lost")
        self.end()

    def end(self, entries: Sequence[Entry] = ()) -> None:
        """It is settled, or is not this instance's any more; a second time changes nothing."""
        if self._done:
            return
        self._done = True
        self._end_commits()
        if self._first_at is not None and self._tokens > 1:
            mean_s = (self._last_at - self._first_at) / (self._tokens - 1)
            self._model.time_per_output_token.observe_traced(mean_s, self._exemplar)
        if self._longest_gap_s:
            self._meters.inter_token_gap.lead(self._longest_gap_s, self._exemplar)
        if self._recording and entries and isinstance(entries[-1], Ended):
            self._describe_end(entries, entries[-1])
        self._span.end()

    def _end_commits(self) -> None:
        if self._commit_span is None:
            return
        self._commit_span.set_attributes(
            {
                names.COMMIT_COUNT: self._commits,
                names.COMMIT_SECONDS: self._commit_s,
                names.COMMIT_LONGEST_S: self._longest_s,
            }
        )
        self._commit_span.end()
        self._commit_span = None

    def _describe_end(self, entries: Sequence[Entry], ended: Ended) -> None:
        self._span.set_attributes(
            {
                names.FINISH_REASONS: (ended.reason,),
                names.OUTPUT_TOKENS: output_tokens(entries),
                names.CACHED_TOKENS: ended.cached_tokens,
            }
        )
        if ended.reason == "error":
            fail(self._span, ended.error_code or "error")


def begin_turn(meters: Meters, traces: Traces, started: Started) -> tuple[TurnWatch, Started]:
    """Watch a turn that begins, below the current span; it carries its trace with it."""
    span = traces.begin(_name(started))
    if span.is_recording():
        span.set_attributes(_about(started))
    return TurnWatch(meters, traces, span, started), replace(started, trace=traceparent(span))


def adopt_turn(meters: Meters, traces: Traces, started: Started, entries: int) -> TurnWatch:
    """Watch a turn that was another instance's; its trace goes on."""
    parent = parent_of({TRACEPARENT: started.trace} if started.trace else {})
    before = parent.get_span_context()
    links = (Link(before),) if before.is_valid else ()
    span = traces.begin(_name(started), parent=parent, links=links)
    if span.is_recording():
        span.set_attributes({**_about(started), names.ADOPTED_AT_ENTRY: entries})
    return TurnWatch(meters, traces, span, started, said=entries > 1)


def _name(started: Started) -> str:
    return names.SPAN_TURN.format(model=started.model)


def _about(started: Started) -> dict[str, Any]:
    """What may be told of a turn: no word of the prompt."""
    about: dict[str, Any] = {
        names.OPERATION.name: "chat",
        names.PROVIDER.name: PROVIDER_NAME,
        names.MODEL.name: started.model,
        names.RESPONSE_ID: started.response_id,
        names.SESSION_ID: started.session_id,
        names.INPUT_TOKENS: started.input_tokens,
        names.MAX_TOKENS: started.max_tokens,
        names.TEMPERATURE: started.sampling.temperature,
        names.TOP_P: started.sampling.top_p,
        names.IMAGE_COUNT: len(started.image_ids),
    }
    if started.conversation_id is not None:
        about[names.CONVERSATION_ID] = started.conversation_id
    return about
