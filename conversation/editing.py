"""A conversation's items edited by hand: put in without a response, and taken out again. Pure.

Items that were put in are cut where a turn of a model would have ended: after what an assistant
said. What is cut off becomes turns of its own, which leave the context window one by one like any
other; what no answer follows yet is pending, and the next turn takes it up.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from conversation.items import Conversation, Item, Turn, image_ids, is_answer
from conversation.ports import NotFound

MAX_PENDING = 200
"""Items that may wait for an answer: they are stored and told as one."""


class TooManyPending(Exception):
    """More items than a turn is to take up at once."""


Edit = tuple[Conversation, list[Turn]]
"""The conversation as it shall be, and the turns that are new or changed."""


def put_in(
    conversation: Conversation, items: Sequence[Item], *, at: float, new_id: Callable[[], str]
) -> Edit:
    """Items at the end of a conversation; `new_id` names turns that they make.

    Raises:
        TooManyPending: more than `MAX_PENDING` would wait for an answer.
    """
    exchanges, pending = _cut((*conversation.pending, *items))
    if len(pending) > MAX_PENDING:
        raise TooManyPending
    turns: list[Turn] = []
    head_id = conversation.head_id
    for exchange in exchanges:
        turn = Turn(
            response_id=new_id(),
            parent_id=head_id,
            conversation_id=conversation.id,
            account_id=conversation.account_id,
            created_at=at,
            input=exchange,
            output=(),
            prompt_ids=None,
            answer_ids=(),
            image_ids=image_ids(exchange),
            billed=False,
        )
        turns.append(turn)
        head_id = turn.response_id
    return replace(conversation, head_id=head_id, pending=pending), turns


def take_out(conversation: Conversation, turns: Sequence[Turn], item_id: str) -> Edit:
    """The conversation, whose turns these are, without one of its items.

    Raises:
        NotFound: it has no such item.
    """
    pending = _without(conversation.pending, item_id)
    if len(pending) < len(conversation.pending):
        return replace(conversation, pending=pending), []
    for turn in turns:
        if any(item.id == item_id for item in turn.items):
            return conversation, [turn_without(turn, item_id)]
    raise NotFound(item_id)


def turn_without(turn: Turn, item_id: str) -> Turn:
    """The turn without one of its items, and without the token ids that said it.

    Of an answer of several items the rest is kept as if it had been put in by hand. A turn whose
    items are all gone stays, empty, as a link to those before it.
    """
    asked, output = _without(turn.input, item_id), _without(turn.output, item_id)
    if len(output) < len(turn.output):
        kept = turn.prompt_ids if not output else None
        asked = (*asked, *output)
        return replace(turn, input=asked, output=(), prompt_ids=kept, answer_ids=())
    return replace(turn, input=asked, prompt_ids=None, image_ids=image_ids(asked))


def _without(items: tuple[Item, ...], item_id: str) -> tuple[Item, ...]:
    return tuple(item for item in items if item.id != item_id)


def _cut(items: Sequence[Item]) -> tuple[list[tuple[Item, ...]], tuple[Item, ...]]:
    """Whole exchanges, and the items that no answer follows."""
    exchanges: list[tuple[Item, ...]] = []
    begin = 0
    for end in range(1, len(items) + 1):
        answered = is_answer(items[end - 1])
        if answered and (end == len(items) or not is_answer(items[end])):
            exchanges.append(tuple(items[begin:end]))
            begin = end
    return exchanges, tuple(items[begin:])
