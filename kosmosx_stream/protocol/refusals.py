"""What the Responses API has and this server lacks: refused by name if it would change the answer.

Values that ask for nothing (an empty list of tools, penalties of 0) pass.
"""

from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.fields import Fields, check_object, check_string, unsupported


def refuse_unsupported(fields: Fields) -> None:
    """Check all that `CreateResponse` has no field for.

    Raises:
        InvalidRequest: `unsupported_parameter` or `unsupported_tool`, or a wrong type.
    """
    _refuse_tools(fields)
    _refuse_text_formats(fields)
    _refuse_logprobs(fields)
    for penalty in ("presence_penalty", "frequency_penalty"):
        if fields.number(penalty, low=-2, high=2):
            raise unsupported(penalty, "only 0 is supported")
    if fields.get("prompt") is not None:
        raise unsupported("prompt", "there are no stored prompts here")
    fields.object("stream_options")  # Nothing is obfuscated, whatever they say.
    fields.string("service_tier")  # There is one tier, "default".


def _refuse_tools(fields: Fields) -> None:
    for index, tool in enumerate(fields.array("tools") or []):
        param = f"tools[{index}]"
        description = check_object(tool, param)
        name = description.string("name") or description.string("type") or "unnamed"
        raise unsupported_tool(name, f"{param}.type")


def unsupported_tool(name: str, param: str) -> InvalidRequest:
    message = f"The tool '{name[:64]}' is not supported: this server runs no tools."
    return InvalidRequest(message, code="unsupported_tool", param=param)


def _refuse_text_formats(fields: Fields) -> None:
    text = fields.object("text")
    if text is None:
        return
    text_format = text.object("format")
    if text_format is not None and text_format.required_string("type") != "text":
        raise unsupported("text.format.type", "only the type 'text' is supported")
    if text.string("verbosity") not in {None, "medium"}:
        raise unsupported("text.verbosity", "only 'medium' is supported")


def _refuse_logprobs(fields: Fields) -> None:
    if fields.integer("top_logprobs", low=0):
        raise unsupported("top_logprobs", "only 0 is supported")
    for index, included in enumerate(fields.array("include") or []):
        param = f"include[{index}]"
        # Other values ask for parts of items that are never here: tools' outputs, reasoning.
        if check_string(included, param) == "message.output_text.logprobs":
            raise unsupported(param, "log probabilities are not supported")
