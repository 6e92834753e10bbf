"""What a request continues: a conversation, or the chain of the response that it goes on from."""

from collections.abc import Iterator

import msgspec

from conversation.items import Item, Turn
from conversation.ports import History, NotFound
from kosmosx_stream.admission.unstored import Chain, UnstoredTurns
from kosmosx_stream.protocol import errors


class Past(msgspec.Struct, frozen=True):
    """What a request continues: its turns, oldest first, and items that await an answer."""

    turns: tuple[Turn, ...] = ()
    parent_id: str | None = None
    conversation_id: str | None = None
    pending: tuple[Item, ...] = ()
    revision: str = ""

    @property
    def items(self) -> Iterator[Item]:
        """All that was said."""
        yield from (item for turn in self.turns for item in turn.items)
        yield from self.pending


async def past_of(
    history: History,
    account_id: str,
    *,
    conversation: str | None,
    previous_response_id: str | None,
    unstored: UnstoredTurns,
) -> Past:
    """Look up what is continued; nothing, if neither is named.

    Raises:
        NotFound: there is no such conversation.
        Conflict: an earlier turn cannot be followed, since items await an answer at the end.
        InvalidRequest: there is no such response, neither stored nor on the client's connection.
    """
    if conversation is not None:
        return await _conversation(history, account_id, conversation, previous_response_id)
    if previous_response_id is not None:
        return await _chain(history, account_id, previous_response_id, unstored)
    return Past()


async def _conversation(
    history: History, account_id: str, conversation_id: str, after: str | None
) -> Past:
    try:
        found = await history.conversation(account_id, conversation_id)
        head = after or found.head_id
        if after and after != found.head_id and found.pending:
            raise errors.Conflict(
                f"Conversation '{conversation_id}' has items that await an answer: nothing can "
                "follow an earlier response before one was given.",
                code="items_pending",
                param="previous_response_id",
            )
        turns = await history.chain(account_id, head) if head else []
    except NotFound as error:
        if after and error.args == (after,):
            raise previous_response_not_found(after) from error
        raise errors.conversation_not_found(conversation_id) from error
    return Past(tuple(turns), head, conversation_id, found.pending, found.revision)


async def _chain(
    history: History, account_id: str, response_id: str, unstored: UnstoredTurns
) -> Past:
    """The connection's own turns are the newest, and may continue stored ones."""
    chain = unstored.chain(response_id) or Chain((), response_id)
    try:
        stored = await history.chain(account_id, chain.stored_id) if chain.stored_id else []
    except NotFound as error:
        raise previous_response_not_found(response_id) from error
    return Past((*stored, *chain.turns), response_id)


def previous_response_not_found(response_id: str) -> errors.InvalidRequest:
    """There is no such response to go on from, or not for this client."""
    return errors.InvalidRequest(
        f"Previous response with id '{response_id}' not found.",
        code="previous_response_not_found",
        param="previous_response_id",
    )
