"""What a request wants its answer to be: words, JSON, calls of functions. Pure."""

from functools import partial

import msgspec

from kosmosx_stream.formats import grammar
from kosmosx_stream.protocol.json_schemas import invalid_schema
from kosmosx_stream.protocol.requests import CreateResponse
from kosmosx_stream.protocol.tools import callable_tools


class AnswerForm(msgspec.Struct, frozen=True):
    """`calls`: the answer may hold calls. `grammar`: what it is held to; None for any words."""

    calls: bool
    grammar: str | None


def answer_form(request: CreateResponse, marks: tuple[int, ...] = ()) -> AnswerForm:
    """The form of the answer to a request. `marks` may stand between its words.

    Raises:
        InvalidRequest: a schema that no answer can be held to, by the name of its field.
    """
    text = request.text.schema
    if text is not None and (fault := grammar.schema_fault(text)):
        raise invalid_schema(request.text_schema_param, fault)
    for index, tool in enumerate(request.tools):
        if fault := grammar.schema_fault(tool.schema):
            raise invalid_schema(request.tool_schema_param.format(index=index), fault)
    choice = callable_tools(request.tools, request.tool_choice)
    held_to = partial(
        grammar.of_answer,
        functions={tool.name: tool.schema for tool in choice.tools},
        required=choice.required,
        most=(request.max_tool_calls or grammar.MAX_CALLS) if request.parallel_tool_calls else 1,
        text=text,
    )
    # Marks are the model's tokens, which the check knows nothing of, and cannot be at fault.
    if (made := held_to()) is not None and (fault := grammar.fault(made)):
        raise invalid_schema("tools", f"together, {fault}")
    return AnswerForm(calls=bool(choice.tools), grammar=held_to(marks=marks))
