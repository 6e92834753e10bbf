"""Entries of a response's log: small facts, from which every protocol's events are projected.

A response's log is `Started`, any number of `Delta`, one `Ended`. The packed form is a version
byte and then MessagePack, so that a reader meets what it cannot read with a clear refusal.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from conversation.items import Grounding, Item

VERSION = 2

EndReason = Literal["stop", "length", "cancelled", "budget", "error", "warmed", "steered"]
"""`warmed`: nothing was to be said; the engine has read the prompt.
`steered`: another turn goes on from here, with what was said meanwhile."""


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are drawn. Temperature 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """The prices frozen at admission, in micro-dollars, so that cost is a sum over the log.

    `tier`: those of the served model, or of the cheaper one.
    """

    version: str
    token_micro_usd: int
    image_micro_usd: int
    detection_micro_usd: int
    minimum_tokens: int
    tier: Literal["main", "fallback"] = "main"


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn may spend of its account's budget, in micro-dollars.

    `left_micro_usd` was left of the month's `limit_micro_usd` when it began. `granted_micro_usd` is
    what it may cost at most, None under a soft budget; `shortens` says that its `max_tokens` are
    fewer for it. `fallback`: the budget had ended, the cheaper model answers, and limit and left
    are with what that may cost on top.
    """

    limit_micro_usd: int
    left_micro_usd: int
    granted_micro_usd: int | None
    shortens: bool = False
    fallback: bool = False


class Dropped(msgspec.Struct, frozen=True):
    """Past turns that were left out of a prompt: it had to fit into `window` tokens."""

    turns: int
    tokens: int
    window: int


class Started(msgspec.Struct, frozen=True, kw_only=True, tag=0):
    """Admission: everything that is needed to generate, to resume, to project and to settle.

    `request` holds the request's fields that the response object echoes, as JSON bytes.
    `prompt_ids` is the whole prompt, unexpanded; `turn_ids` the stretch that this turn added.
    `input_tokens` counts the expanded prompt. `new_images` are the images that this request
    brought (they are metered), and those that were put into its conversation by hand since the
    last answer; `image_ids` are all images of the prompt, in order.
    `input` is what the request said, `pending` what stood in the conversation before it without
    an answer: both are the turn's. `conversation_revision` is what the prompt was built on.
    `opens_session`: this is the first response of its session on a WebSocket. `single_turn`: the
    session is this turn's own and closes with it. `stop`: the answer ends before any of these.
    `calls`: the answer's text may hold calls of functions. `grammar`: its text is held to this
    (Lark, as llguidance reads it). `tokens` names what the ids mean. `allowance` is there under a
    budget. `trace` is the W3C `traceparent` of the turn, with which its trace goes on elsewhere.
    `limited_as` is whose rate limit the turn is counted against: a key's, or the account's.
    """

    response_id: str
    account_id: str
    session_id: str
    created_at: float
    model: str
    request: bytes
    price: Price
    sampling: Sampling
    max_tokens: int
    input_tokens: int
    prompt_ids: tuple[int, ...]
    turn_ids: tuple[int, ...]
    image_ids: tuple[str, ...]
    new_images: tuple[str, ...]
    input: tuple[Item, ...]
    output_item_id: str
    parent_id: str | None = None
    conversation_id: str | None = None
    conversation_revision: str = ""
    pending: tuple[Item, ...] = ()
    grounding: bool = False
    store: bool = True
    opens_session: bool = False
    single_turn: bool = False
    dropped: Dropped | None = None
    stop: tuple[str, ...] = ()
    calls: bool = False
    background: bool = False
    generate: bool = True
    grammar: str | None = None
    tokens: str = ""
    allowance: Allowance | None = None
    trace: str = ""
    limited_as: str = ""


class Delta(msgspec.Struct, frozen=True, gc=False, tag=1):
    """Tokens that were generated, and the visible text and groundings that they released."""

    token_ids: tuple[int, ...]
    text: str = ""
    grounding: tuple[Grounding, ...] = ()


def merged(first: Delta, second: Delta) -> Delta | None:
    """Both as one; None where that would take a box away from its place in the text."""
    if first.grounding or second.grounding:
        return None
    return Delta(first.token_ids + second.token_ids, first.text + second.text)


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag=2):
    """The end. `token_ids`, `text` and `grounding` are what was still held back."""

    reason: EndReason
    at: float
    token_ids: tuple[int, ...] = ()
    text: str = ""
    grounding: tuple[Grounding, ...] = ()
    cached_tokens: int = 0
    error_code: str | None = None
    error_message: str | None = None


Entry = Started | Delta | Ended


def output_tokens(entries: Iterable[Entry]) -> int:
    """How many tokens were said in these entries."""
    return sum(len(entry.token_ids) for entry in entries if isinstance(entry, Delta | Ended))


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


class UnknownEntryVersion(Exception):
    """The entry was written by a server of another version than this one."""


def pack(entry: Entry) -> bytes:
    """The entry's bytes as they lie in the log."""
    return bytes((VERSION,)) + _encoder.encode(entry)


def unpack(data: bytes) -> Entry:
    """Read an entry back.

    Raises:
        UnknownEntryVersion: written by another version.
    """
    if data[0] != VERSION:
        raise UnknownEntryVersion(f"log entry of version {data[0]}, this server reads {VERSION}")
    entry: Entry = _decoder.decode(memoryview(data)[1:])
    return entry
