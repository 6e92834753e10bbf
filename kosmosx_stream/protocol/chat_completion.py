"""From a whole log to a chat completion in one piece; and why it ended.

An answer that was cancelled, steered away from or cut by the budget has the finish reason `length`,
the standard word for one that is not whole, and says why in `kosmosx:reason`. One that failed is no
completion.
"""

from collections.abc import Iterable, Sequence
from typing import assert_never

import msgspec

from conversation.entries import Ended, Entry, Started
from conversation.items import Answer, FunctionCall, Grounding, Message
from kosmosx_stream.formats.answer import AnswerItem, AnswerItems
from kosmosx_stream.protocol.chat import (
    CalledFunction,
    ChatCompletion,
    Choice,
    CompletionMessage,
    FinishReason,
    OwnReason,
    ToolCall,
    completion_id,
    whole_usage,
)
from kosmosx_stream.protocol.counting import CostFn, UsageCounter
from kosmosx_stream.protocol.errors import ApiError, InvalidRequest, RateLimited, ServerError
from kosmosx_stream.protocol.items import grounding_fields
from kosmosx_stream.protocol.projection import OutOfOrder
from kosmosx_stream.protocol.responses import read_echo

_FAILURES: dict[str, type[ApiError]] = {
    "invalid_prompt": InvalidRequest,
    "rate_limit_exceeded": RateLimited,
}


def completion(entries: Iterable[Entry], cost: CostFn) -> ChatCompletion:
    """The completion of a whole log.

    Raises:
        ApiError: the answer failed.
        OutOfOrder: it is not a log from its `Started` to its `Ended`.
    """
    started, *parts = entries
    if not isinstance(started, Started) or not parts or not isinstance(parts[-1], Ended):
        raise OutOfOrder("a completion is made of a whole log")
    usage = UsageCounter(started, cost)
    answer = AnswerItems(started.output_item_id, calls=started.calls)
    for part in parts:
        if isinstance(part, Started):
            raise OutOfOrder("a response starts once")
        usage.add(part)
        answer.feed(part.text, part.grounding)
    answer.finish(parts[-1].reason)
    finish_reason, own_reason = reasons(parts[-1], answer.items)
    metered = usage.metered()
    return ChatCompletion(
        id=completion_id(started.response_id),
        created=int(started.created_at),
        model=started.model,
        choices=(
            Choice(
                message=_message(answer.items),
                finish_reason=finish_reason,
                own_reason=own_reason,
            ),
        ),
        usage=whole_usage(metered),
        metadata=read_echo(started.request).metadata,
        own_usage=metered,
    )


def _message(items: Sequence[AnswerItem]) -> CompletionMessage:
    text: list[str] = []
    grounding: list[Grounding] = []
    calls: list[ToolCall] = []
    for item in items:
        match item:
            case Message(content=(Answer(said, boxes),)):
                text.append(said)
                grounding += boxes
            case FunctionCall(call_id=call_id, name=name, arguments=arguments):
                calls.append(ToolCall(id=call_id, function=CalledFunction(name, arguments)))
            case _:
                raise AssertionError(f"no part of an answer: {item}")
    return CompletionMessage(
        content="".join(text) if text or not calls else None,
        tool_calls=tuple(calls) or msgspec.UNSET,
        grounding=grounding_fields(grounding) or msgspec.UNSET,
    )


def reasons(
    ended: Ended, items: Sequence[AnswerItem]
) -> tuple[FinishReason, OwnReason | msgspec.UnsetType]:
    """Why an answer of these items ended, in the standard words and in ours.

    Raises:
        ApiError: it failed.
    """
    match ended.reason:
        case "stop" if any(isinstance(item, FunctionCall) for item in items):
            return "tool_calls", msgspec.UNSET
        case "stop" | "warmed":  # A warm-up, which only the Responses API has, says nothing.
            return "stop", msgspec.UNSET
        case "length":
            return "length", msgspec.UNSET
        case "cancelled" | "budget" | "steered" as own_reason:
            return "length", own_reason
        case "error":
            raise _failure(ended)
        case never:
            assert_never(never)


def _failure(ended: Ended) -> ApiError:
    code = ended.error_code or "server_error"
    message = ended.error_message or "The server had an error while generating the answer."
    return _FAILURES.get(code, ServerError)(message, code=code)
