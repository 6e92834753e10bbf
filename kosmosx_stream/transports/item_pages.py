"""Items of a list as a client asks for them: a page, with its pictures if they are wanted."""

import base64
from collections.abc import Mapping, Sequence

import msgspec
from starlette.datastructures import QueryParams

from conversation.items import Item, image_ids
from conversation.ports import History, NotFound
from kosmosx_stream.protocol.items import ItemList, WireItem, input_items, item_list
from kosmosx_stream.protocol.refusals import IMAGE_URL, INCLUDABLE
from kosmosx_stream.transports.query import AFTER, LIMIT, ORDER, Choices, Parameter, none_such

INCLUDE = Choices(
    name="include",
    says=f"`{IMAGE_URL}`: pictures come as data: URLs; without it by their ids only. The others "
    "ask for what no item here has.",
    choices=INCLUDABLE,
)
PAGING: tuple[Parameter, ...] = (LIMIT, ORDER, AFTER, INCLUDE)
LARGEST_PAGE = 32 * 2**20
"""Characters of pictures after which a page ends early: it is made in memory."""


async def item_page(
    history: History,
    account_id: str,
    items: Sequence[Item],
    query: QueryParams,
    turn_ids: Mapping[str, str] | None = None,
) -> ItemList:
    """The page that the query asks for; `items` are oldest first, `turn_ids` by their ids.

    Raises:
        InvalidRequest: a parameter is none, or no item has the id that the page begins after.
    """
    if ORDER.read(query) == "desc":
        items = items[::-1]
    rest = items[_begin(items, AFTER.read(query)) :]
    page = await wire_items(history, account_id, rest[: LIMIT.read(query)], query)
    return item_list(with_turns(page, turn_ids or {}), has_more=len(page) < len(rest))


def with_turns(items: Sequence[WireItem], turn_ids: Mapping[str, str]) -> list[WireItem]:
    """The items, those with a turn telling it; `turn_ids` are by the items' ids."""
    return [
        msgspec.structs.replace(item, turn_id=turn_ids.get(item.id, msgspec.UNSET))
        for item in items
    ]


async def wire_items(
    history: History, account_id: str, items: Sequence[Item], query: QueryParams
) -> list[WireItem]:
    """Items as clients see them: all of them, or the first ones up to `LARGEST_PAGE`.

    Raises:
        InvalidRequest: the query asks to include what nobody knows.
    """
    if IMAGE_URL not in INCLUDE.read(query):
        return input_items(items, lambda _: None)
    shown: list[WireItem] = []
    size = 0
    for item in items:
        urls = {each: await _data_url(history, account_id, each) for each in image_ids([item])}
        size += sum(len(url) for url in urls.values() if url)
        if shown and size > LARGEST_PAGE:
            break
        shown += input_items([item], urls.get)
    return shown


def _begin(items: Sequence[Item], after: str | None) -> int:
    if after is None:
        return 0
    for index, item in enumerate(items):
        if item.id == after:
            return index + 1
    raise none_such("item", after)


async def _data_url(history: History, account_id: str, image_id: str) -> str | None:
    try:
        data = await history.image(account_id, image_id)
    except NotFound:
        return None
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
