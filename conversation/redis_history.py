"""History in Redis: one hash per turn and per conversation, image bytes beside them.

A record is a version byte and MessagePack; what scripts need of it (account, parent, images) lies
in fields of its own. Everything expires one retention period after its last use.
"""

from collections.abc import Sequence
from typing import TypeVar, cast

import msgspec
from redis.asyncio import Redis

from conversation.entries import UnknownEntryVersion
from conversation.items import Conversation, Item, Turn, image_ids
from conversation.ports import Conflict, NotFound
from conversation.redis_connection import Script, key, milliseconds, patiently

VERSION = 1
LONGEST_CHAIN = 1000
"""Turns of a chain that are read at most, the newest ones."""

OK, FENCED, CONFLICT, MISSING, BARRED = range(5)
"""Verdicts of the scripts, as in lua/common.lua."""

Record = TypeVar("Record")


def turn_fields(turn: Turn) -> tuple[str, str, str, str, str, bytes]:
    """A turn as the scripts take it: id, account, parent, conversation, images, data."""
    return (
        turn.response_id,
        turn.account_id,
        turn.parent_id or "",
        turn.conversation_id or "",
        " ".join(turn.image_ids),
        _pack(turn),
    )


class RedisHistory:
    """The History port on Redis."""

    def __init__(self, redis: Redis, *, retention_s: float, patience_s: float = 2.0) -> None:
        """Keep what is used for `retention_s`; wait for a lost store for `patience_s`."""
        self._redis = redis
        self._retention_ms = milliseconds(retention_s)
        self._patience_s = patience_s
        self._chain = Script(redis, "chain", patience_s=patience_s)
        self._add_turn = Script(redis, "add_turn", patience_s=patience_s)
        self._delete_turn = Script(redis, "delete_turn", patience_s=patience_s)
        self._create = Script(redis, "create_conversation", patience_s=patience_s)
        self._conversation = Script(redis, "conversation", patience_s=patience_s)
        self._conversations = Script(redis, "conversations", patience_s=patience_s)
        self._describe = Script(redis, "describe_conversation", patience_s=patience_s)
        self._revise = Script(redis, "revise_conversation", patience_s=patience_s)
        self._delete = Script(redis, "delete_conversation", patience_s=patience_s)

    async def turn(self, account_id: str, response_id: str) -> Turn:
        """One turn.

        Raises:
            NotFound: no such turn of this account.
        """
        (turn,) = await self._turns(account_id, response_id, 1)
        return turn

    async def chain(self, account_id: str, response_id: str) -> list[Turn]:
        """The turn and its ancestors, oldest first, at most LONGEST_CHAIN of them.

        Raises:
            NotFound: no such turn of this account, or an ancestor has expired.
        """
        return await self._turns(account_id, response_id, LONGEST_CHAIN)

    async def glimpse(self, account_id: str, response_id: str, limit: int) -> list[Turn]:
        """The newest turns of a chain, which live no longer for that. See History."""
        return await self._turns(account_id, response_id, limit, keep=False)

    async def add_turn(self, turn: Turn) -> None:
        """Store a turn; the same turn a second time changes nothing.

        Raises:
            Conflict: it does not follow the head of its conversation.
        """
        verdict = await self._add_turn(self._retention_ms, *turn_fields(turn))
        if verdict != OK:
            raise conflict(turn)

    async def delete_turn(self, account_id: str, response_id: str) -> None:
        """Forget a turn's content; its images expire, since other turns may show them.

        Raises:
            NotFound: no such turn of this account.
            Conflict: its conversation is in a live turn.
        """
        _check(await self._delete_turn(account_id, response_id), response_id)

    async def create_conversation(self, conversation: Conversation) -> None:
        """Store a new, empty conversation; the same one a second time changes nothing.

        Raises:
            Conflict: there is another one of that id.
        """
        data = _conversation_data(conversation)
        verdict = await self._create(
            conversation.id, conversation.account_id, data, self._retention_ms
        )
        _check(verdict, conversation.id)

    async def conversation(self, account_id: str, conversation_id: str) -> Conversation:
        """A conversation as it is.

        Raises:
            NotFound: no such conversation of this account.
        """
        found = await self._conversation(account_id, conversation_id, self._retention_ms)
        if not found:
            raise NotFound(conversation_id)
        return _conversation(found)

    async def conversations(
        self, account_id: str, *, limit: int, after: str | None = None, oldest_first: bool = False
    ) -> list[Conversation]:
        """The account's own, by their last use. See History."""
        found: Sequence[Sequence[bytes]] | None = await self._conversations(
            account_id, limit, after or "", "asc" if oldest_first else "desc"
        )
        if found is None:
            raise NotFound(after)
        return [_conversation(line) for line in found]

    async def describe_conversation(
        self, account_id: str, conversation_id: str, metadata: dict[str, str]
    ) -> Conversation:
        """Replace the metadata. See History."""
        found = await self.conversation(account_id, conversation_id)
        described = msgspec.structs.replace(found, metadata=metadata)
        verdict = await self._describe(
            account_id, conversation_id, _conversation_data(described), self._retention_ms
        )
        _check(verdict, conversation_id)
        return described

    async def revise_conversation(
        self, conversation: Conversation, revision: str, turns: Sequence[Turn] = ()
    ) -> None:
        """Store head, pending items and turns in one step. See History."""
        pending = _pack(conversation.pending) if conversation.pending else b""
        verdict = await self._revise(
            conversation.account_id,
            conversation.id,
            conversation.revision,
            self._retention_ms,
            revision,
            conversation.head_id or "",
            pending,
            " ".join(image_ids(conversation.pending)),
            *(field for turn in turns for field in turn_fields(turn)),
        )
        _check(verdict, conversation.id)

    async def delete_conversation(self, account_id: str, conversation_id: str) -> None:
        """Forget the line, not its turns. See History."""
        _check(await self._delete(account_id, conversation_id), conversation_id)

    async def put_image(self, account_id: str, image_id: str, data: bytes) -> None:
        """Keep an image's bytes for the account."""
        name = _image_key(account_id, image_id)
        await patiently(
            lambda: self._redis.set(name, data, px=self._retention_ms), self._patience_s
        )

    async def image(self, account_id: str, image_id: str) -> bytes:
        """An image's bytes.

        Raises:
            NotFound: the account has no such image.
        """
        name = _image_key(account_id, image_id)
        data = await patiently(
            lambda: self._redis.getex(name, px=self._retention_ms), self._patience_s
        )
        if data is None:
            raise NotFound(image_id)
        return cast("bytes", data)

    async def _turns(
        self, account_id: str, response_id: str, limit: int, *, keep: bool = True
    ) -> list[Turn]:
        found: Sequence[bytes] = await self._chain(
            account_id, response_id, self._retention_ms if keep else 0, limit
        )
        if not found:
            raise NotFound(response_id)
        return [_unpack(data, Turn) for data in reversed(found)]


def conflict(turn: Turn) -> Conflict:
    """The refusal of a turn."""
    return Conflict(
        f"{turn.response_id} does not follow the head of conversation {turn.conversation_id}"
    )


def _image_key(account_id: str, image_id: str) -> str:
    return key("image", f"{account_id}:{image_id}")


def _check(verdict: int, name: str) -> None:
    if verdict == MISSING:
        raise NotFound(name)
    if verdict != OK:
        raise Conflict(name)


def _conversation(fields: Sequence[bytes]) -> Conversation:
    data, head, pending, revision, live = fields
    return msgspec.structs.replace(
        _unpack(data, Conversation),
        head_id=head.decode() or None,
        pending=_unpack(pending, tuple[Item, ...]) if pending else (),
        revision=revision.decode(),
        live_id=live.decode() or None,
    )


def _conversation_data(conversation: Conversation) -> bytes:
    """What no script looks at: all but head, pending items, revision and the live turn."""
    return _pack(
        msgspec.structs.replace(conversation, head_id=None, pending=(), revision="", live_id=None)
    )


def _pack(record: Turn | Conversation | tuple[Item, ...]) -> bytes:
    return bytes((VERSION,)) + msgspec.msgpack.encode(record)


def _unpack(data: bytes, kind: type[Record]) -> Record:
    if data[0] != VERSION:
        raise UnknownEntryVersion(f"record of version {data[0]}, this server reads {VERSION}")
    return msgspec.msgpack.decode(memoryview(data)[1:], type=kind)
