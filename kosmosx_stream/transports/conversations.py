"""`/v1/conversations`: named lines of turns."""

import time
from typing import Any

from starlette.requests import Request

from conversation.items import Conversation
from kosmosx_stream.ids import new_id
from kosmosx_stream.protocol.errors import NotFound
from kosmosx_stream.protocol.requests import decode_conversation
from kosmosx_stream.protocol.resources import ConversationObject
from kosmosx_stream.services import Services
from kosmosx_stream.transports.endpoint import read_body
from kosmosx_stream.transports.operation import operation
from metering.authenticator import Principal


@operation(body="CreateConversation", body_required=False, answer=ConversationObject)
async def create(request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/conversations`: begin one."""
    body = decode_conversation(await read_body(request, services.settings.max_request_bytes))
    conversation = Conversation(
        id=new_id("conv"),
        account_id=principal.account_id,
        created_at=time.time(),
        metadata=body.metadata,
    )
    await services.history.create_conversation(conversation)
    return _conversation_object(conversation)


@operation(answer=ConversationObject, refuses=(NotFound,))
async def retrieve(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/conversations/{id}`: what it was made with."""
    conversation_id = request.path_params["conversation_id"]
    found = await services.history.conversation(principal.account_id, conversation_id)
    return _conversation_object(found)


def _conversation_object(conversation: Conversation) -> ConversationObject:
    return ConversationObject(
        id=conversation.id,
        created_at=int(conversation.created_at),
        metadata=conversation.metadata,
    )
