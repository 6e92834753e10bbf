"""History in memory, for tests of what needs a history. Nothing expires."""

from collections.abc import Sequence
from typing import Any

import msgspec

from conversation.items import Conversation, Turn
from conversation.ports import Claim, Conflict, NotFound


class MemoryHistory:
    """The History port on dictionaries."""

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}
        self._deleted: set[str] = set()
        self._conversations: dict[str, Conversation] = {}
        self._holders: dict[str, str] = {}
        self._images: dict[tuple[str, str], bytes] = {}
        self.leases: dict[str, float] = {}
        """Of the log, by response id: a live turn holds its conversation."""

    async def turn(self, account_id: str, response_id: str) -> Turn:
        turn = self._turns.get(response_id)
        if turn is None or turn.account_id != account_id or response_id in self._deleted:
            raise NotFound(response_id)
        return turn

    async def chain(self, account_id: str, response_id: str) -> list[Turn]:
        newest = await self.turn(account_id, response_id)
        chain, parent_id = [newest], newest.parent_id
        while parent_id is not None:
            turn = self._turns.get(parent_id)
            if turn is None or turn.account_id != account_id:
                raise NotFound(response_id)
            if parent_id not in self._deleted:
                chain.append(turn)
            parent_id = turn.parent_id
        return chain[::-1]

    async def glimpse(self, account_id: str, response_id: str, limit: int) -> list[Turn]:
        return (await self.chain(account_id, response_id))[-limit:]

    async def add_turn(self, turn: Turn) -> None:
        self.attach(turn)

    def attach(self, turn: Turn) -> None:
        """`add_turn`, for the log that does it in one step with its own change."""
        if turn.response_id in self._turns:
            if turn.response_id in self._deleted or self._turns[turn.response_id] != turn:
                raise Conflict(f"there is another turn {turn.response_id}")
            return
        if turn.conversation_id is not None:
            line = self._conversations.get(turn.conversation_id)
            if line is None or line.account_id != turn.account_id:
                raise Conflict(f"there is no conversation {turn.conversation_id}")
            holder = self._holder(line.id)
            if holder != turn.response_id and (holder or line.head_id != turn.parent_id):
                raise Conflict(f"{turn.response_id} does not follow the conversation's head")
            self._holders.pop(line.id, None)
            self._change(line, turn.response_id, head_id=turn.response_id, pending=())
        self._turns[turn.response_id] = turn

    def hold(self, claim: Claim, response_id: str) -> None:
        """Give a conversation to a turn, for the log that gives it a lease."""
        self._free_to_change(claim.account_id, claim.conversation_id, claim.revision)
        self._holders[claim.conversation_id] = response_id

    async def delete_turn(self, account_id: str, response_id: str) -> None:
        turn = await self.turn(account_id, response_id)
        if self._holder(turn.conversation_id or ""):
            raise Conflict(response_id)
        self._deleted.add(response_id)
        line = self._conversations.get(turn.conversation_id or "")
        if line is None:
            return
        head = line.head_id
        while head is not None and head in self._deleted:
            head = self._turns[head].parent_id
        self._change(line, f"without:{response_id}", head_id=head)

    async def create_conversation(self, conversation: Conversation) -> None:
        found = self._conversations.setdefault(conversation.id, conversation)
        if msgspec.structs.replace(found, head_id=None, pending=(), revision="") != conversation:
            raise Conflict(f"there is another conversation {conversation.id}")

    async def conversation(self, account_id: str, conversation_id: str) -> Conversation:
        line = self._conversations.get(conversation_id)
        if line is None or line.account_id != account_id:
            raise NotFound(conversation_id)
        return self._seen(line)

    async def conversations(
        self, account_id: str, *, limit: int, after: str | None = None, oldest_first: bool = False
    ) -> list[Conversation]:
        lines = [line for line in self._conversations.values() if line.account_id == account_id]
        ids = [line.id for line in lines]
        if after is not None and after not in ids:
            raise NotFound(after)
        if not oldest_first:
            lines, ids = lines[::-1], ids[::-1]
        first = 0 if after is None else ids.index(after) + 1
        return [self._seen(line) for line in lines[first : first + limit]]

    async def describe_conversation(
        self, account_id: str, conversation_id: str, metadata: dict[str, str]
    ) -> Conversation:
        line = await self.conversation(account_id, conversation_id)
        described = msgspec.structs.replace(line, metadata=metadata, live_id=None)
        self._conversations[line.id] = described
        return self._seen(described)

    async def revise_conversation(
        self, conversation: Conversation, revision: str, turns: Sequence[Turn] = ()
    ) -> None:
        line = self._free_to_change(conversation.account_id, conversation.id, conversation.revision)
        self._change(line, revision, head_id=conversation.head_id, pending=conversation.pending)
        self._turns |= {turn.response_id: turn for turn in turns}

    async def delete_conversation(self, account_id: str, conversation_id: str) -> None:
        line = await self.conversation(account_id, conversation_id)
        if self._holder(conversation_id):
            raise Conflict(conversation_id)
        del self._conversations[line.id]

    async def put_image(self, account_id: str, image_id: str, data: bytes) -> None:
        self._images[account_id, image_id] = data

    async def image(self, account_id: str, image_id: str) -> bytes:
        try:
            return self._images[account_id, image_id]
        except KeyError:
            raise NotFound(image_id) from None

    def _seen(self, line: Conversation) -> Conversation:
        return msgspec.structs.replace(line, live_id=self._holder(line.id))

    def _holder(self, conversation_id: str) -> str | None:
        holder = self._holders.get(conversation_id)
        return holder if holder in self.leases else None

    def _free_to_change(self, account_id: str, conversation_id: str, revision: str) -> Conversation:
        line = self._conversations.get(conversation_id)
        if line is None or line.account_id != account_id:
            raise NotFound(conversation_id)
        if self._holder(conversation_id) or line.revision != revision:
            raise Conflict(conversation_id)
        return line

    def _change(self, line: Conversation, revision: str, **changes: Any) -> None:
        changed = msgspec.structs.replace(line, revision=revision, **changes)
        del self._conversations[line.id]  # They stand in the order of their last change.
        self._conversations[line.id] = changed
