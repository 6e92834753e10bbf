"""`/v1/responses/compact`: a shorter input in place of a conversation."""

import time
from typing import Any

from starlette.requests import Request

from kosmosx_stream.admission.compaction import compact
from kosmosx_stream.ids import new_id
from kosmosx_stream.protocol.compacting import (
    CompactedResponse,
    CompactionItem,
    decode_compact,
    usage_of_reading,
)
from kosmosx_stream.protocol.errors import NotFound
from kosmosx_stream.protocol.items import output_item
from kosmosx_stream.services import Services
from kosmosx_stream.transports.endpoint import read_body
from kosmosx_stream.transports.operation import operation
from metering.authenticator import Principal


@operation(needs="generate", body="CompactResponse", answer=CompactedResponse, refuses=(NotFound,))
async def compact_response(request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/responses/compact`: abridge a conversation; nothing is generated or billed."""
    asked = decode_compact(await read_body(request, services.settings.max_request_bytes))
    window = await services.gate(asked.model).window(principal, asked)
    compacted = compact(window.items)
    note = CompactionItem(
        id=new_id("cmp"),
        encrypted_content=services.seal.close(principal.account_id, compacted.note),
    )
    return CompactedResponse(
        id=new_id("resp"),
        output=(*map(output_item, compacted.messages), note),
        created_at=int(time.time()),
        usage=usage_of_reading(window.input_tokens),
    )
