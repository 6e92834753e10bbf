"""`POST /v1/responses/compact` on the wire: what is to be compacted, and what comes of it.

Open Responses 2026-04-24: CompactResponseMethodPublicBody, CompactResource, CompactionBody.
"""

from typing import Literal

import msgspec

from kosmosx_stream.protocol.fields import decode_object
from kosmosx_stream.protocol.inputs import read_input
from kosmosx_stream.protocol.items import OutputItem
from kosmosx_stream.protocol.requests import MAX_LABEL, CreateResponse
from kosmosx_stream.protocol.responses import InputTokensDetails, OutputTokensDetails, Usage


class CompactionItem(msgspec.Struct, frozen=True, kw_only=True, tag="compaction"):
    """Stands for what was said before; to be sent back as input, unchanged."""

    id: str
    encrypted_content: str


class CompactedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A shorter input in place of a conversation. `usage` counts what was read."""

    id: str
    object: Literal["response.compaction"] = "response.compaction"
    output: tuple[OutputItem | CompactionItem, ...]
    created_at: int
    usage: Usage


def decode_compact(body: bytes | str) -> CreateResponse:
    """The request whose prompt is to be compacted.

    Raises:
        InvalidRequest: it cannot be served as it stands; `param` names the field.
        PayloadTooLarge: too much text.
    """
    fields = decode_object(body)
    fields.refuse_extensions()
    previous_response_id, given = fields.string("previous_response_id"), fields.get("input")
    # Either may be left out, but not both.
    alone = given is None and previous_response_id is not None
    return CreateResponse(
        model=fields.required_string("model"),
        messages=() if alone else read_input(given),
        instructions=fields.string("instructions"),
        previous_response_id=previous_response_id,
        prompt_cache_key=fields.string("prompt_cache_key", max_length=MAX_LABEL),
    )


def usage_of_reading(input_tokens: int) -> Usage:
    """Tokens that were read, and nothing generated."""
    return Usage(
        input_tokens=input_tokens,
        input_tokens_details=InputTokensDetails(0),
        output_tokens=0,
        output_tokens_details=OutputTokensDetails(),
        total_tokens=input_tokens,
    )
