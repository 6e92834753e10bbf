"""What Chat Completions has and this server lacks: refused by name if it would change the answer.

Values that ask for nothing (`n: 1`, penalties of 0) pass, and so does what
only asks to be faster or cheaper.
"""

from kosmosx_stream.protocol.fields import Fields, check_object, check_string, unsupported
from kosmosx_stream.protocol.tools import unsupported_tool

_TEXT_ONLY = "this server's answers are text"


def refuse_unsupported(fields: Fields) -> None:
    """Check all that a chat request may ask for beside what is decoded.

    Raises:
        InvalidRequest: `unsupported_parameter` or `unsupported_tool`, or a wrong type.
    """
    _refuse_functions(fields)
    _refuse_formats(fields)
    _refuse_logprobs(fields)
    if fields.integer("n", low=1) not in {None, 1}:
        raise unsupported("n", "a request has one answer")
    for penalty in ("presence_penalty", "frequency_penalty"):
        if fields.number(penalty, low=-2, high=2):
            raise unsupported(penalty, "only 0 is supported")
    for name in ("web_search_options", "moderation"):
        if fields.get(name) is not None:
            raise unsupported(name, "this server has nothing of the kind")
    fields.object("prediction")
    fields.string("reasoning_effort")  # There is nothing to reason with.
    fields.string("service_tier")  # There is one tier, "default".


def _refuse_functions(fields: Fields) -> None:
    """What came before `tools`."""
    for index, function in enumerate(fields.array("functions") or []):
        description = check_object(function, f"functions[{index}]")
        raise unsupported_tool(description.string("name") or "unnamed", f"functions[{index}]")
    if fields.get("function_call") not in (None, "auto", "none"):
        raise unsupported("function_call", "name it in 'tool_choice'")


def _refuse_formats(fields: Fields) -> None:
    if fields.string("verbosity") not in {None, "medium"}:
        raise unsupported("verbosity", "only 'medium' is supported")
    if fields.get("audio") is not None:
        raise unsupported("audio", _TEXT_ONLY)
    for index, modality in enumerate(fields.array("modalities") or []):
        if check_string(modality, f"modalities[{index}]") != "text":
            raise unsupported(f"modalities[{index}]", _TEXT_ONLY)


def _refuse_logprobs(fields: Fields) -> None:
    if fields.boolean("logprobs"):
        raise unsupported("logprobs", "log probabilities are not supported")
    if fields.integer("top_logprobs", low=0):
        raise unsupported("top_logprobs", "only 0 is supported")
    bias = fields.object("logit_bias")
    if bias is not None and bias.value:
        raise unsupported("logit_bias", "tokens cannot be biased here")
