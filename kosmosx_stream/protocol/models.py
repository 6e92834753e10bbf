"""The served model as `GET /v1/models` shows it: what it takes, what it gives, what it costs."""

from typing import Literal

import msgspec

from kosmosx_stream.protocol.text_format import TEXT_FORMATS
from metering.prices import PriceBook
from metering.usage import usd

Modality = Literal["text", "image"]
ImageSource = Literal["data", "https"]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """`image_sources`: schemes of the URLs that pictures are taken from.

    `grounding`: answers about pictures come with boxes. `tools` may be called, and `text_formats`
    held to, whatever the model was trained for: its answers are kept to their grammar.
    """

    input_modalities: tuple[Modality, ...]
    output_modalities: tuple[Modality, ...] = ("text",)
    image_sources: tuple[ImageSource, ...] = ()
    grounding: bool
    tools: tuple[str, ...] = ("function",)
    parallel_tool_calls: bool = True
    text_formats: tuple[str, ...] = TEXT_FORMATS
    reasoning: bool = False
    streaming: bool = True
    endpoints: tuple[str, ...] = ("/v1/responses", "/v1/chat/completions")
    transports: tuple[str, ...] = ("http", "sse", "websocket")


def capabilities(*, sees: bool, grounds: bool, fetches: bool) -> Capabilities:
    """Of a model that takes pictures, and draws boxes on them; or not."""
    if not sees:
        return Capabilities(input_modalities=("text",), grounding=grounds)
    return Capabilities(
        input_modalities=("text", "image"),
        image_sources=("data", "https") if fetches else ("data",),
        grounding=grounds,
    )


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """Exact decimals of dollars a unit. `minimum_tokens`: a request without images pays them."""

    version: str
    token_usd: str
    image_usd: str
    detection_usd: str
    minimum_tokens: int


class ModelObject(msgspec.Struct, frozen=True, kw_only=True):
    """A served model. `context_window` is in tokens.

    That and the capabilities are null until the model is loaded.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["kosmosx"] = "kosmosx"
    context_window: int | None = msgspec.field(name="kosmosx:context_window")
    capabilities: Capabilities | None = msgspec.field(name="kosmosx:capabilities")
    prices: Prices = msgspec.field(name="kosmosx:prices")


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """All served models."""

    object: Literal["list"] = "list"
    data: tuple[ModelObject, ...]


def prices(book: PriceBook) -> Prices:
    """The price book as clients read it."""
    return Prices(
        version=book.version,
        token_usd=usd(book.token_micro_usd),
        image_usd=usd(book.image_micro_usd),
        detection_usd=usd(book.detection_micro_usd),
        minimum_tokens=book.minimum_tokens,
    )
