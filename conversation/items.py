"""Items: what a user and a model say to each other, as stored. Wire shapes are protocol's job."""

from typing import Literal

import msgspec

Role = Literal["user", "assistant", "system", "developer"]


class Grounding(msgspec.Struct, frozen=True, array_like=True):
    """A phrase of an answer and where it is seen in the image.

    `start` and `end` are character offsets of the phrase in the answer's visible text.
    `boxes` are (x0, y0, x1, y1), normalised to the image, origin at the top left.
    """

    phrase: str
    start: int
    end: int
    boxes: tuple[tuple[float, float, float, float], ...]


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


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `status` is `incomplete` for an answer that was cut off."""

    id: str
    role: Role
    content: tuple[Part, ...]
    status: Literal["in_progress", "completed", "incomplete"] = "completed"


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange, kept as items and as token ids.

    `prompt_ids` is this turn's own stretch of the prompt (its user segment, without what came
    before), `answer_ids` what the model generated, its end token included if it came to one.
    Feeding the stretches back in order makes the next prompt begin, token for token, with what
    the engine has already seen. `image_ids` are in the order of the stretch's image pairs.
    A turn without an answer (items put into a conversation by hand) has empty `answer_ids` and
    `output`. `created_at` is in Unix seconds.
    """

    response_id: str
    parent_id: str | None
    conversation_id: str | None
    account_id: str
    created_at: float
    input: tuple[Message, ...]
    output: tuple[Message, ...]
    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    image_ids: tuple[str, ...]


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A named line of turns. `head_id` is the response id of its newest turn."""

    id: str
    account_id: str
    created_at: float
    metadata: dict[str, str]
    head_id: str | None = None
