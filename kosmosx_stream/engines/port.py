"""The engine port: what the server asks of a model, and all that it asks.

An engine turns prompt token ids (and images) into answer token ids. It knows no session, no
client, no price and no text: prompts are built, and answers decoded, by the chat format.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Literal, Protocol

import msgspec

from conversation.entries import Sampling

FinishReason = Literal["stop", "length"]
"""`stop`: the model ended its answer (the end token is the last id). `length`: out of budget."""


class ImageInput(msgspec.Struct, frozen=True):
    """One image of a prompt.

    `image_id` is the SHA-256 of `data` in hex; engines trust it as the cache key of the image.
    `data` is a PNG, JPEG or WebP file that was already validated.
    """

    image_id: str
    data: bytes


class Generate(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt to continue.

    `prompt_ids` holds one placeholder per image, unexpanded (Kosmos-2: an adjacent
    `<image></image>` pair); `images` are in the order of the placeholders. `cache_salt` keeps
    tenants' cached prefixes and images apart. `max_tokens` counts answer tokens, the end token
    included. The answer's text is held to `grammar` (Lark, as llguidance reads it). Where an answer
    goes on that was begun elsewhere, the last `answered` ids of the prompt are what was answered:
    the grammar began before them.
    """

    request_id: str
    prompt_ids: tuple[int, ...]
    images: tuple[ImageInput, ...]
    sampling: Sampling
    max_tokens: int
    cache_salt: str
    grammar: str | None = None
    answered: int = 0


class Delta(msgspec.Struct, frozen=True, gc=False):
    """What one engine step added to an answer.

    `cached_tokens` is the part of the prompt that came from the prefix cache; the last delta has
    it, earlier ones if the engine knew by then, and 0 otherwise. `finish_reason` is set on the last
    delta only.
    """

    token_ids: tuple[int, ...]
    finish_reason: FinishReason | None = None
    cached_tokens: int = 0


Deliver = Callable[[Delta], asyncio.Future[None] | None]
"""Takes a delta; returns what to wait for before the next one, if for anything."""


class Engine(Protocol):
    """A model that streams."""

    @property
    def max_model_len(self) -> int:
        """Longest prompt plus answer in tokens, each image counted as `image_tokens`."""
        ...

    @property
    def image_tokens(self) -> int:
        """Tokens that a picture's placeholder adds to a prompt beyond itself; 0: it takes none."""
        ...

    def count(self, prompt_ids: tuple[int, ...], images: int) -> int:
        """Tokens of the expanded prompt, exactly as the engine will count them."""
        ...

    async def ready(self) -> bool:
        """Whether the model answers now."""
        ...

    async def generate(self, request: Generate, deliver: Deliver) -> None:
        """Generate an answer, and deliver it as it comes; returns after the last delta.

        Cancelling this frees the engine's memory, and nothing more is delivered. So does an error
        of `deliver`, which is raised here. It is called in the context of this call.

        Raises:
            EngineRefused: the engine cannot take this prompt; the engine is well.
            EngineDead: the engine is gone; nothing more comes from it.
        """
        ...


async def deliver_all(deltas: AsyncGenerator[Delta, None], deliver: Deliver) -> None:
    """Deliver what an engine gives when it is asked for, and ask for no more than there is room."""
    async with contextlib.aclosing(deltas):
        async for delta in deltas:
            if (room := deliver(delta)) is not None:
                await room


class EngineError(Exception):
    """The engine did not finish an answer."""


class EngineRefused(EngineError):
    """This prompt cannot be run; another one can."""


class EngineDead(EngineError):
    """The engine died or hangs."""
