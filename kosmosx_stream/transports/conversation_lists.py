"""`/v1/conversations` as a list: a page of it, a search in what is said, and news of them all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from starlette.requests import Request

from conversation import ports
from conversation.items import Conversation
from conversation.search import find
from kosmosx_stream.conversation_watch import Unread
from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.protocol.resources import (
    ConversationChanged,
    ConversationList,
    ConversationObject,
    Found,
)
from kosmosx_stream.services import Services
from kosmosx_stream.transports.operation import operation
from kosmosx_stream.transports.query import AFTER, LIMIT, ORDER, Text, none_such
from kosmosx_stream.transports.sse import EventStream
from metering.authenticator import Principal

SEARCH = Text(
    name="kosmosx:search",
    says="Only conversations that say this, whatever its case; `kosmosx:found` tells where. One "
    "request reads so much at most; while `has_more`, go on `after` the `last_id`.",
)
LONGEST_SEARCH = 200
"""Characters that are looked for."""
MOST_SEARCHED = 200
"""Conversations that one search reads."""
NEWEST_TURNS = 100
"""Turns that it reads of each."""


@operation(needs="read", answer=ConversationList, query=(LIMIT, ORDER, AFTER, SEARCH))
async def list_all(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/conversations`: a page of them, by their last turn or edit."""
    query = request.query_params
    limit, words = LIMIT.read(query), SEARCH.read(query)
    if words is not None and not 0 < len(words) <= LONGEST_SEARCH:
        raise InvalidRequest(
            f"'{SEARCH.name}' must have 1 to {LONGEST_SEARCH} characters, not {len(words)}.",
            code="invalid_value",
            param=SEARCH.name,
        )
    most = limit if words is None else MOST_SEARCHED
    lines = await _lines(request, services, principal, most + 1)
    if words is None:
        data = [conversation_object(each) for each in lines[:most]]
        return _page(data, lines, len(data))
    found: list[ConversationObject] = []
    read = 0
    while read < min(most, len(lines)) and len(found) < limit:
        line = lines[read]
        if said := await _search(services, line, words):
            found.append(msgspec.structs.replace(conversation_object(line), found=said))
        read += 1
    return _page(found, lines, read)


async def _lines(
    request: Request, services: Services, principal: Principal, limit: int
) -> list[Conversation]:
    after = AFTER.read(request.query_params)
    try:
        return await services.history.conversations(
            principal.account_id,
            limit=limit,
            after=after,
            oldest_first=ORDER.read(request.query_params) == "asc",
        )
    except ports.NotFound as error:
        raise none_such("conversation", after) from error


async def _search(services: Services, line: Conversation, words: str) -> Found | None:
    if line.head_id is None:
        return None
    try:
        turns = await services.history.glimpse(line.account_id, line.head_id, NEWEST_TURNS)
    except ports.NotFound:
        return None  # It has expired meanwhile.
    found = find(turns, words)
    return Found(**msgspec.structs.asdict(found)) if found else None


def _page(
    data: Sequence[ConversationObject], lines: Sequence[Conversation], read: int
) -> ConversationList:
    return ConversationList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=lines[read - 1].id if read else None,
        has_more=len(lines) > read,
    )


def conversation_object(conversation: Conversation) -> ConversationObject:
    return ConversationObject(
        id=conversation.id,
        created_at=int(conversation.created_at),
        metadata=conversation.metadata,
        live_response_id=conversation.live_id,
    )


@operation(needs="read", answer=None, streams="ConversationStreamEvent")
async def follow(_request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/conversations/events`: what changes in any of them, at once."""
    return EventStream(
        _changes(services, principal.account_id),
        watch=services.key_watch.watch(principal),
        session_id=None,
        send_timeout_s=services.settings.send_timeout_s,
        keepalive_s=services.settings.keepalive_s,
    )


async def _changes(services: Services, account_id: str) -> AsyncIterator[Sequence[Event]]:
    drain = services.hub.drain
    sequence = 0
    with drain.guest(), services.conversation_watch.look(account_id) as unread:
        over = asyncio.create_task(drain.over.wait())
        try:
            while (news := await _next(unread, over)) is not over:
                changed = ConversationChanged(
                    sequence_number=sequence,
                    conversation_id=news.conversation_id if news else None,
                    response_id=(news.response_id or None) if news else None,
                    deleted=news.deleted if news else False,
                )
                data = msgspec.json.encode(changed)
                yield [Event(sequence, "kosmosx:conversation.changed", data)]
                sequence += 1
        finally:
            over.cancel()


async def _next(unread: Unread, over: asyncio.Task[Any]) -> Any:
    """What comes next of what is unread; `over` itself, if it is done first."""
    heard = asyncio.create_task(unread.get())
    try:
        await asyncio.wait((heard, over), return_when=asyncio.FIRST_COMPLETED)
        return heard.result() if heard.done() else over
    finally:
        heard.cancel()
