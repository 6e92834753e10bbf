"""From a response's log to its events: a pure fold, so that any reader can replay from any point.

| entry        | events                                                                         |
|--------------|--------------------------------------------------------------------------------|
| Started      | response.created, [kosmosx:session.opened,] response.in_progress,              |
|              | [kosmosx:budget.warning]                                                       |
| Delta        | the events of the items that it opens, adds to and closes (see `output`); none |
|              | if it released neither text nor boxes; [kosmosx:budget.warning]                |
| Ended        | the same for what was held back and the item that is open; the terminal event  |

The terminal event is response.completed, response.failed, or response.incomplete: the length, a
cancellation or the budget cut the answer, and clients know no other event for that. An answer that
was cancelled, cut by the budget or failed before anything was released has no item, and neither has
one that was not to be generated.

A background response that was cancelled has the status `cancelled`, as those who poll it expect.
"""

from collections.abc import Sequence
from typing import Literal, assert_never

import msgspec

from conversation.entries import Delta, Dropped, Ended, EndReason, Entry, Started
from kosmosx_stream.formats.answer import AnswerItems, Change
from kosmosx_stream.protocol import events
from kosmosx_stream.protocol.counting import CostFn, UsageCounter
from kosmosx_stream.protocol.events import WireEvent
from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.protocol.items import output_item
from kosmosx_stream.protocol.output import OutputEvents
from kosmosx_stream.protocol.responses import (
    Context,
    ConversationRef,
    IncompleteDetails,
    ResponseError,
    ResponseObject,
    SessionRef,
    Status,
    read_echo,
    standard_usage,
)

_STATUS: dict[EndReason, Status] = {
    "stop": "completed",
    "length": "incomplete",
    "cancelled": "incomplete",
    "budget": "incomplete",
    "error": "failed",
    "warmed": "completed",
    "steered": "incomplete",
}
# OpenAI's clients know a closed set of codes in a response's `error`.
_STANDARD_ERRORS = frozenset({"server_error", "rate_limit_exceeded", "invalid_prompt"})


class OutOfOrder(Exception):
    """The entries are not a response's log: one `Started`, any `Delta`s, one `Ended`."""


class Projector:
    """Folds one response's log. Equal logs give equal bytes, whoever reads them and when."""

    def __init__(self, cost: CostFn) -> None:
        self._cost = cost
        self._fold: _Fold | None = None

    def feed(self, entry: Entry) -> list[Event]:
        """Take the next entry; return its events.

        Raises:
            OutOfOrder: the entry cannot come next.
        """
        if isinstance(entry, Started):
            if self._fold is not None:
                raise OutOfOrder("a response starts once")
            self._fold = _Fold(entry, self._cost)
            return self._fold.start()
        fold = self._begun()
        if fold.ended is not None:
            raise OutOfOrder("nothing follows the end of a response")
        match entry:
            case Delta():
                return fold.delta(entry)
            case Ended():
                return fold.end(entry)
            case never:
                assert_never(never)

    def response(self) -> ResponseObject:
        """The response as it stands after the entries so far.

        Raises:
            OutOfOrder: it has not started.
        """
        return self._begun().response()

    def _begun(self) -> "_Fold":
        if self._fold is None:
            raise OutOfOrder("a response begins with its Started entry")
        return self._fold


class _Fold:
    """What has been seen of a response that started."""

    def __init__(self, started: Started, cost: CostFn) -> None:
        self.ended: Ended | None = None
        self._started = started
        self._echo = read_echo(started.request)
        self._usage = UsageCounter(started, cost)
        self._sequence = -1
        self._answer = AnswerItems(started.output_item_id, calls=started.calls)
        self._output = OutputEvents(started.output_item_id, self._usage.live())
        self._warned = False

    def start(self) -> list[Event]:
        response, started = self.response(), self._started
        created = [self._encode(events.ResponseCreated(response=response))]
        if started.opens_session:
            session = events.OpenedSession(id=started.session_id, opened_at=int(started.created_at))
            created.append(self._encode(events.SessionOpened(session=session)))
        created.append(self._encode(events.ResponseInProgress(response=response)))
        return [*created, *self._warnings()]

    def delta(self, entry: Delta) -> list[Event]:
        self._usage.add(entry)
        projected = self._projected(self._answer.feed(entry.text, entry.grounding))
        return [*projected, *self._warnings()]

    def end(self, entry: Ended) -> list[Event]:
        self._usage.add(entry)
        self.ended = entry
        changes = self._answer.feed(entry.text, entry.grounding)
        changes += self._answer.finish(entry.reason)
        return [*self._projected(changes), self._encode(self._terminal(self.response()))]

    def _projected(self, changes: Sequence[Change]) -> list[Event]:
        if not changes:
            return []
        usage = self._usage.live()
        return [
            self._encode(event) for change in changes for event in self._output.of(change, usage)
        ]

    def _warnings(self) -> list[Event]:
        """Once, when the budget runs out."""
        if self._warned or not self._usage.budget_runs_out():
            return []
        self._warned = True
        budget = self._usage.budget()
        assert budget is not None
        return [self._encode(events.BudgetWarning(budget=budget))]

    def response(self) -> ResponseObject:
        started, usage = self._started, self._usage.metered()
        return ResponseObject(
            id=started.response_id,
            created_at=int(started.created_at),
            completed_at=_completed_at(self.ended),
            status=_status(started, self.ended),
            incomplete_details=_incomplete_details(self.ended),
            error=_error(self.ended),
            model=started.model,
            conversation=(
                ConversationRef(started.conversation_id) if started.conversation_id else None
            ),
            output=tuple(map(output_item, self._answer.items)),
            usage=standard_usage(usage) if self.ended else None,
            store=started.store,
            background=started.background,
            own_usage=usage,
            session=SessionRef(started.session_id),
            own_reason=_own_reason(self.ended),
            context=_context(started.dropped),
            budget=self._usage.budget() or msgspec.UNSET,
            **msgspec.structs.asdict(self._echo),
        )

    def _terminal(self, response: ResponseObject) -> WireEvent:
        match response.status:
            case "completed":
                return events.ResponseCompleted(response=response)
            case "incomplete" | "cancelled":
                return events.ResponseIncomplete(response=response)
            case _:
                return events.ResponseFailed(response=response)

    def _encode(self, event: WireEvent) -> Event:
        self._sequence += 1
        return events.encode(event, self._sequence)


def _status(started: Started, ended: Ended | None) -> Status:
    if ended is None:
        return "in_progress"
    if started.background and ended.reason == "cancelled":
        return "cancelled"
    return _STATUS[ended.reason]


def _incomplete_details(ended: Ended | None) -> IncompleteDetails | None:
    """Standard reasons only; a cancellation has none (see `kosmosx:reason`)."""
    match ended:
        case Ended(reason="length" | "budget"):
            return IncompleteDetails("max_output_tokens")
        case Ended(reason="steered"):
            return IncompleteDetails("steered")
        case _:
            return None


def _own_reason(ended: Ended | None) -> Literal["cancelled", "budget"] | msgspec.UnsetType:
    match ended:
        case Ended(reason="cancelled" | "budget" as reason):
            return reason
        case _:
            return msgspec.UNSET


def _context(dropped: Dropped | None) -> Context | msgspec.UnsetType:
    if dropped is None:
        return msgspec.UNSET
    return Context(dropped.turns, dropped.tokens, dropped.window)


def _completed_at(ended: Ended | None) -> int | None:
    """Only a completed response has it, as OpenAI documents the field."""
    return int(ended.at) if ended is not None and _STATUS[ended.reason] == "completed" else None


def _error(ended: Ended | None) -> ResponseError | None:
    if ended is None or ended.reason != "error":
        return None
    code = ended.error_code or "server_error"
    message = ended.error_message or "The server had an error while generating the response."
    if code in _STANDARD_ERRORS:
        return ResponseError(code=code, message=message)
    return ResponseError(code="server_error", message=message, own_code=code)
