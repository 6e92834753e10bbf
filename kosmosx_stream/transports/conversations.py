"""`/v1/conversations`: named lines of turns, and the items in them."""

import time
from typing import Any

import msgspec
from starlette.requests import Request

from conversation import ports
from conversation.editing import MAX_PENDING, TooManyPending, put_in, take_out
from conversation.items import Conversation, Item, Turn
from kosmosx_stream.ids import new_id
from kosmosx_stream.protocol.conversations import (
    decode_conversation,
    decode_head,
    decode_items,
    decode_update,
)
from kosmosx_stream.protocol.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    conversation_not_found,
    item_not_found,
)
from kosmosx_stream.protocol.inputs import InputItem
from kosmosx_stream.protocol.items import ItemList, WireItem, item_list
from kosmosx_stream.protocol.resources import (
    ConversationObject,
    DeletedConversation,
)
from kosmosx_stream.services import Services
from kosmosx_stream.transports.conversation_lists import conversation_object
from kosmosx_stream.transports.endpoint import read_body
from kosmosx_stream.transports.item_pages import INCLUDE, PAGING, item_page, wire_items, with_turns
from kosmosx_stream.transports.operation import operation
from kosmosx_stream.transports.query import none_such
from metering.authenticator import Principal


@operation(
    needs="generate",
    body="CreateConversation",
    body_required=False,
    answer=ConversationObject,
    refuses=(NotFound,),
)
async def create(request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/conversations`: begin one."""
    body = decode_conversation(await read_body(request, services.settings.max_request_bytes))
    items = await _take_in(services, principal, body.items, [])
    conversation = Conversation(
        id=new_id("conv"),
        account_id=principal.account_id,
        created_at=time.time(),
        metadata=body.metadata,
    )
    await services.history.create_conversation(conversation)
    if items:
        await _put_in(services, conversation, items)
    return conversation_object(conversation)


@operation(needs="read", answer=ConversationObject, refuses=(NotFound,))
async def retrieve(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/conversations/{id}`: what it was made with."""
    return conversation_object(await _find(request, services, principal))


@operation(
    needs="generate", body="UpdateConversation", answer=ConversationObject, refuses=(NotFound,)
)
async def update(request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/conversations/{id}`: replace its metadata, also while a turn is live."""
    metadata = decode_update(await read_body(request, services.settings.max_request_bytes))
    found = await _find(request, services, principal)
    described = await services.history.describe_conversation(
        principal.account_id, found.id, metadata
    )
    return conversation_object(described)


@operation(needs="generate", answer=DeletedConversation, refuses=(NotFound, Conflict))
async def delete(request: Request, services: Services, principal: Principal) -> Any:
    """`DELETE /v1/conversations/{id}`: forget the line. Responses and bill stay."""
    found = await _find(request, services, principal)
    await services.history.delete_conversation(principal.account_id, found.id)
    return DeletedConversation(found.id)


@operation(
    needs="generate",
    body="MoveHead",
    body_required=False,
    answer=ConversationObject,
    refuses=(NotFound, Conflict),
)
async def move_head(request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/conversations/{id}/head`: go on from another turn; what it leaves can come back."""
    turn_id = decode_head(await read_body(request, services.settings.max_request_bytes))
    found = await _find(request, services, principal)
    if turn_id is not None:
        try:
            await services.history.turn(principal.account_id, turn_id)
        except ports.NotFound as error:
            raise none_such("turn", turn_id, "turn_id") from error
    moved = msgspec.structs.replace(found, head_id=turn_id)
    await services.history.revise_conversation(moved, new_id("rev"))
    return conversation_object(moved)


@operation(
    needs="generate",
    body="CreateItems",
    answer=ItemList,
    query=(INCLUDE,),
    refuses=(NotFound, Conflict),
)
async def create_items(request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/conversations/{id}/items`: put items at its end; the next turn reads them."""
    body = decode_items(await read_body(request, services.settings.max_request_bytes))
    found = await _find(request, services, principal)  # Before its pictures are worked on.
    said = _items(found, await _turns(services, found))
    items = await _take_in(services, principal, body, said)
    await _put_in(services, await _find(request, services, principal), items)
    shown = await wire_items(services.history, principal.account_id, items, request.query_params)
    return item_list(shown)


@operation(needs="read", answer=ItemList, query=PAGING, refuses=(NotFound,))
async def list_items(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/conversations/{id}/items`: a page of all that was said in it."""
    found = await _find(request, services, principal)
    turns = await _turns(services, found)
    return await item_page(
        services.history,
        principal.account_id,
        _items(found, turns),
        request.query_params,
        _turn_ids(turns),
    )


@operation(needs="read", answer=WireItem, query=(INCLUDE,), refuses=(NotFound,))
async def retrieve_item(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/conversations/{id}/items/{item_id}`: one thing that was said."""
    found = await _find(request, services, principal)
    item_id, query = request.path_params["item_id"], request.query_params
    turns = await _turns(services, found)
    for item in _items(found, turns):
        if item.id == item_id:
            shown = await wire_items(services.history, principal.account_id, [item], query)
            return with_turns(shown, _turn_ids(turns))[0]
    raise item_not_found(item_id)


@operation(needs="generate", answer=ConversationObject, refuses=(NotFound, Conflict))
async def delete_item(request: Request, services: Services, principal: Principal) -> Any:
    """`DELETE /v1/conversations/{id}/items/{item_id}`: unsay it; the next turn does not read it."""
    found = await _find(request, services, principal)
    item_id = request.path_params["item_id"]
    try:
        edited, turns = take_out(found, await _turns(services, found), item_id)
    except ports.NotFound as error:
        raise item_not_found(item_id) from error
    await services.history.revise_conversation(edited, new_id("rev"), turns)
    return conversation_object(edited)


async def _find(request: Request, services: Services, principal: Principal) -> Conversation:
    conversation_id = request.path_params["conversation_id"]
    try:
        return await services.history.conversation(principal.account_id, conversation_id)
    except ports.NotFound as error:
        raise conversation_not_found(conversation_id) from error


async def _turns(services: Services, conversation: Conversation) -> list[Turn]:
    if conversation.head_id is None:
        return []
    return await services.history.chain(conversation.account_id, conversation.head_id)


def _turn_ids(turns: list[Turn]) -> dict[str, str]:
    return {item.id: turn.response_id for turn in turns for item in turn.items}


def _items(conversation: Conversation, turns: list[Turn]) -> list[Item]:
    return [*(item for turn in turns for item in turn.items), *conversation.pending]


async def _take_in(
    services: Services, principal: Principal, asked: tuple[InputItem, ...], after: list[Item]
) -> tuple[Item, ...]:
    if not asked:
        return ()
    return await services.gate().intake.take_in(principal.account_id, asked, after=after)


async def _put_in(services: Services, conversation: Conversation, items: tuple[Item, ...]) -> None:
    try:
        edited, turns = put_in(conversation, items, at=time.time(), new_id=lambda: new_id("turn"))
    except TooManyPending as error:
        raise InvalidRequest(
            f"At most {MAX_PENDING} items may follow each other without an answer.",
            code="array_above_max_length",
            param="items",
        ) from error
    await services.history.revise_conversation(edited, new_id("rev"), turns)
