"""History in memory, for tests of what needs a history. Nothing expires."""

import msgspec

from conversation.items import Conversation, Turn
from conversation.ports import Conflict, NotFound


class MemoryHistory:
    """The History port on dictionaries."""

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}
        self._deleted: set[str] = set()
        self._conversations: dict[str, Conversation] = {}
        self._images: dict[tuple[str, str], bytes] = {}

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
            if line is None or line.account_id != turn.account_id or line.head_id != turn.parent_id:
                raise Conflict(f"{turn.response_id} does not follow the conversation's head")
            self._move_head(line, turn.response_id)
        self._turns[turn.response_id] = turn

    async def delete_turn(self, account_id: str, response_id: str) -> None:
        turn = await self.turn(account_id, response_id)
        self._deleted.add(response_id)
        line = self._conversations.get(turn.conversation_id or "")
        if line is None or line.head_id != response_id:
            return
        head = turn.parent_id
        while head is not None and head in self._deleted:
            head = self._turns[head].parent_id
        self._move_head(line, head)

    async def create_conversation(self, conversation: Conversation) -> None:
        found = self._conversations.setdefault(conversation.id, conversation)
        if msgspec.structs.replace(found, head_id=conversation.head_id) != conversation:
            raise Conflict(f"there is another conversation {conversation.id}")

    async def conversation(self, account_id: str, conversation_id: str) -> Conversation:
        line = self._conversations.get(conversation_id)
        if line is None or line.account_id != account_id:
            raise NotFound(conversation_id)
        return line

    async def put_image(self, account_id: str, image_id: str, data: bytes) -> None:
        self._images[account_id, image_id] = data

    async def image(self, account_id: str, image_id: str) -> bytes:
        try:
            return self._images[account_id, image_id]
        except KeyError:
            raise NotFound(image_id) from None

    def _move_head(self, line: Conversation, head_id: str | None) -> None:
        self._conversations[line.id] = msgspec.structs.replace(line, head_id=head_id)
