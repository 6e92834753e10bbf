"""What the Responses API has and this server lacks: refused by name if it would change the answer.

Values that ask for nothing (penalties of 0) pass.
"""

from kosmosx_stream.protocol.fields import Fields, check_string, invalid_value, unsupported

IMAGE_URL = "message.input_image.image_url"
INCLUDABLE = (
    IMAGE_URL,
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "reasoning.encrypted_content",
)
"""OpenAI's ResponseIncludable without log probabilities. But for pictures in lists of items they
ask for parts of items that are never here: tools' outputs, reasoning."""


def refuse_unsupported(fields: Fields) -> None:
    """Check all that `CreateResponse` has no field for.

    Raises:
        InvalidRequest: `unsupported_parameter`, or a wrong type.
    """
    _refuse_logprobs(fields)
    for penalty in ("presence_penalty", "frequency_penalty"):
        if fields.number(penalty, low=-2, high=2):
            raise unsupported(penalty, "only 0 is supported")
    if fields.get("prompt") is not None:
        raise unsupported("prompt", "there are no stored prompts here")
    fields.object("stream_options")  # Nothing is obfuscated, whatever they say.
    fields.string("service_tier")  # There is one tier, "default".


def _refuse_logprobs(fields: Fields) -> None:
    if fields.integer("top_logprobs", low=0):
        raise unsupported("top_logprobs", "only 0 is supported")
    for index, included in enumerate(fields.array("include") or []):
        param = f"include[{index}]"
        if check_string(included, param) == "message.output_text.logprobs":
            raise unsupported(param, "log probabilities are not supported")
        if included not in INCLUDABLE:
            raise invalid_value(param, included, INCLUDABLE)
