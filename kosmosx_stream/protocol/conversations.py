"""What clients say of conversations: a new one, more items, other metadata."""

import msgspec

from kosmosx_stream.protocol.fields import Fields, decode_object, missing, too_long
from kosmosx_stream.protocol.inputs import InputItem, read_items
from kosmosx_stream.protocol.requests import read_metadata

MAX_ITEMS = 20
"""Items that may be put in at a time, as OpenAI documents it."""


class CreateConversation(msgspec.Struct, frozen=True):
    """The body of `POST /v1/conversations`."""

    items: tuple[InputItem, ...]
    metadata: dict[str, str]


def decode_conversation(body: bytes | str) -> CreateConversation:
    """Decode the body of `POST /v1/conversations`; an empty one is allowed.

    Raises:
        InvalidRequest: wrong types, too many items, or items that this server does not take.
        PayloadTooLarge: too much text.
    """
    fields = decode_object(body or b"{}")
    fields.refuse_extensions()
    return CreateConversation(_items(fields), read_metadata(fields))


def decode_items(body: bytes | str) -> tuple[InputItem, ...]:
    """Decode the body of `POST /v1/conversations/{id}/items`.

    Raises:
        InvalidRequest: as `decode_conversation`, or there are none.
        PayloadTooLarge: too much text.
    """
    fields = decode_object(body)
    fields.refuse_extensions()
    items = _items(fields)
    if not items:
        raise missing("items")
    return items


def decode_update(body: bytes | str) -> dict[str, str]:
    """Decode the body of `POST /v1/conversations/{id}`: the new metadata, none if it is null.

    Raises:
        InvalidRequest: there is no `metadata`, or it is not of its type.
        PayloadTooLarge: too much text.
    """
    fields = decode_object(body)
    fields.refuse_extensions()
    if not fields.has("metadata"):
        raise missing("metadata")
    return read_metadata(fields)


def decode_head(body: bytes | str) -> str | None:
    """Decode the body of `POST /v1/conversations/{id}/head`: a turn, or None for the beginning.

    Raises:
        InvalidRequest: `turn_id` is not a string.
    """
    fields = decode_object(body or b"{}")
    fields.refuse_extensions()
    return fields.string("turn_id")


def _items(fields: Fields) -> tuple[InputItem, ...]:
    items = fields.array("items")
    if not items:
        return ()
    if len(items) > MAX_ITEMS:
        raise too_long("items", "an array", MAX_ITEMS, len(items))
    return read_items(items, "items")
