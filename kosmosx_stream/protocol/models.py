"""The served model as `GET /v1/models` shows it: what it takes, what it gives, what it costs."""

from typing import Literal

import msgspec

from metering.prices import PriceBook
from metering.usage import usd


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """`grounding`: answers about pictures come with boxes."""

    input_modalities: tuple[str, ...] = ("text", "image")
    output_modalities: tuple[str, ...] = ("text",)
    endpoints: tuple[str, ...] = ("/v1/responses", "/v1/chat/completions")
    streaming: bool = True
    grounding: bool = True


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """Exact decimals of dollars a unit. `minimum_tokens`: a request without images pays them."""

    version: str
    token_usd: str
    image_usd: str
    detection_usd: str
    minimum_tokens: int


class ModelObject(msgspec.Struct, frozen=True, kw_only=True):
    """A served model; `context_window` in tokens, null until the model is loaded."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["kosmosx"] = "kosmosx"
    context_window: int | None = msgspec.field(name="kosmosx:context_window")
    capabilities: Capabilities = msgspec.field(name="kosmosx:capabilities", default=Capabilities())
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
