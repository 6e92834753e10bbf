"""Items: what a user and a model say to each other, as stored. Wire shapes are protocol's job."""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

Role = Literal["user", "assistant", "system", "developer"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]


class Grounding(msgspec.Struct, frozen=True, array_like=True):
    """A phrase of an answer and where it is seen in the image.

    `start` and `end` are character offsets of the phrase in the answer's visible text.
    `boxes` are (x0, y0, x1, y1), normalised to the image, origin at the top left.
    """

    phrase: str
    start: int
    end: int
    boxes: tuple[tuple[float, float, float, float], ...]


def box_count(groundings: Sequence[Grounding]) -> int:
    """How many boxes there are: each is a detection."""
    if not groundings:
        return 0  # Nearly always, and every entry asks.
    return sum(len(grounding.boxes) for grounding in groundings)


class Text(msgspec.Struct, frozen=True, tag="text"):
    """Plain text of a user or of the developer's instructions."""

    text: str


class Image(msgspec.Struct, frozen=True, tag="image"):
    """A picture, by the SHA-256 (hex) of its validated bytes; the bytes are kept beside."""

    image_id: str
    detail: Literal["auto", "low", "high"] = "auto"


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """Visible text of the model, free of tags, with its groundings."""

    text: str
    grounding: tuple[Grounding, ...] = ()


Part = Text | Image | Answer


class Message(msgspec.Struct, frozen=True, kw_only=True, tag="message"):
    """One message. `status` is `incomplete` for an answer that was cut off."""

    id: str
    role: Role
    content: tuple[Part, ...]
    status: ItemStatus = "completed"


class FunctionCall(msgspec.Struct, frozen=True, kw_only=True, tag="function_call"):
    """The model asks its client to call a function; `arguments` is JSON, as it was generated.

    The arguments of an `incomplete` call were cut off and may not parse.
    """

    id: str
    call_id: str
    name: str
    arguments: str
    status: ItemStatus = "completed"


class FunctionCallOutput(msgspec.Struct, frozen=True, kw_only=True, tag="function_call_output"):
    """What the function gave; `call_id` is that of the call. Text, or texts and pictures."""

    id: str
    call_id: str
    output: str | tuple[Text | Image, ...]


Item = Message | FunctionCall | FunctionCallOutput
"""Whatever is said in a conversation, each under an id of its own."""


def parts(item: Item) -> tuple[Part, ...]:
    """The texts and pictures of an item; a call has none."""
    match item:
        case Message():
            return item.content
        case FunctionCall():
            return ()
        case FunctionCallOutput():
            return (Text(item.output),) if isinstance(item.output, str) else item.output


def is_answer(item: Item) -> bool:
    """Whether the model says such things, and not its user."""
    match item:
        case Message(role=role):
            return role == "assistant"
        case FunctionCall():
            return True
        case FunctionCallOutput():
            return False


def image_ids(items: Iterable[Item]) -> tuple[str, ...]:
    """The images that the items show, in order; one that is shown twice stands there twice."""
    return tuple(part.image_id for item in items for part in parts(item) if isinstance(part, Image))


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange, kept as items and as token ids.

    `prompt_ids` is this turn's own stretch of the prompt (its user segment, without what came
    before), `answer_ids` what the model generated, its end token included if it came to one.
    Feeding the stretches back in order makes the next prompt begin, token for token, with what
    the engine has already seen. `image_ids` are in the order of the stretch's image pairs.
    `grounding`: the stretch asks for boxes. `created_at` is in Unix seconds.

    `prompt_ids` is None where the stretch has to be built from `input` anew: an item was deleted
    from the turn, or it was put into its conversation by hand: an exchange that no response made;
    its items, those of an assistant too, are its `input`. `billed`: a response paid for its images.
    """

    response_id: str
    parent_id: str | None
    conversation_id: str | None
    account_id: str
    created_at: float
    input: tuple[Item, ...]
    output: tuple[Item, ...]
    prompt_ids: tuple[int, ...] | None
    answer_ids: tuple[int, ...]
    image_ids: tuple[str, ...]
    grounding: bool = False
    billed: bool = True
    session_id: str = ""
    """The metering session that it was said in; none if it was put in by hand."""
    tokens: str = ""
    """Names what the ids mean; another model's mean something else."""

    @property
    def items(self) -> tuple[Item, ...]:
        """What was said in it, in order."""
        return (*self.input, *self.output)


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A named line of turns. `head_id` is the response id of its newest turn.

    `pending` are items that were put in after that turn and that no answer follows yet: the next
    turn takes them up. `revision` names the last change of head, turns or pending items. `live_id`
    is the response that is being written in it, as of when it was read.
    """

    id: str
    account_id: str
    created_at: float
    metadata: dict[str, str]
    head_id: str | None = None
    pending: tuple[Item, ...] = ()
    revision: str = ""
    live_id: str | None = None
