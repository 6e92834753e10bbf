"""The price book: what one unit costs, under a version that receipts name. Pure."""

import tomllib
from importlib.resources import files
from typing import Annotated, Literal, Self, cast

import msgspec
from msgspec import Meta

from metering.plans import Plan, PlanName

MicroUsd = Annotated[int, Meta(ge=0, le=1_000_000_000)]
"""A unit price; the bound ($1,000) keeps sums within 64 bits."""


Tier = Literal["main", "fallback"]
"""Whose prices: the model's that is served, or the cheaper one's, where a budget has ended."""

MonthlyMicroUsd = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]
"""The price of a month; at most $1,000,000."""


UNIT_PRICES = ("token_micro_usd", "image_micro_usd", "detection_micro_usd")


class PricesInvalid(ValueError):
    """The price book cannot be used; the message names the field."""


class Capacity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A month of a meter that is bought as a whole.

    The price has `included_units` in it; units beyond them cost what they cost everybody.
    """

    monthly_micro_usd: MonthlyMicroUsd
    included_units: Annotated[int, Meta(ge=1, le=1_000_000_000_000)]


class Dedicated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dedicated capacity, by meter; None where it is not sold."""

    tokens: Capacity | None = None
    images: Capacity | None = None


class Fallback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the cheaper model costs; each unit at most what it costs of the other one."""

    token_micro_usd: MicroUsd
    image_micro_usd: MicroUsd
    detection_micro_usd: MicroUsd = 0
    minimum_tokens: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class PriceBook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices in micro-dollars a unit. It is frozen into a turn when the turn is admitted.

    A token is one of the model's tokenizer, input or output. `minimum_tokens` is what a request
    without images pays at least, once. `dedicated` is sold by the month, and no turn's business.
    `tier` says whose prices they are: a file has the main ones, and those of the `fallback`.
    """

    version: Annotated[str, Meta(pattern=r"^[0-9A-Za-z._-]{1,64}\Z")]
    token_micro_usd: MicroUsd
    image_micro_usd: MicroUsd
    detection_micro_usd: MicroUsd
    minimum_tokens: Annotated[int, Meta(ge=0, le=1_000_000)]
    dedicated: Dedicated = Dedicated()
    plans: dict[PlanName, Plan] = {}
    fallback: Fallback | None = None
    tier: Tier = "main"

    def __post_init__(self) -> None:
        for name in () if self.fallback is None else UNIT_PRICES:
            if getattr(self.fallback, name) > getattr(self, name):
                raise ValueError(f"fallback.{name}: expected at most {getattr(self, name)}")

    def of_fallback(self) -> "PriceBook | None":
        """The prices of the cheaper model, under the same version; None where there are none."""
        if self.fallback is None:
            return None
        prices = msgspec.structs.asdict(self.fallback)
        return PriceBook(version=self.version, tier="fallback", **prices)

    def plan(self, name: str) -> Plan:
        """What accounts on this plan may take; one that is not in the book has no limits."""
        return self.plans.get(cast("PlanName", name), Plan())

    @classmethod
    def load(cls, data: bytes) -> Self:
        """Read a price book from TOML.

        Raises:
            PricesInvalid: not TOML, or a field is missing, unknown, negative or no integer.
        """
        try:
            fields = tomllib.loads(data.decode())
            if "tier" in fields:
                raise PricesInvalid("price book: tier: expected in no file")
            return msgspec.convert(fields, cls)
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise PricesInvalid(f"price book: {error}") from error


def default_price_book() -> PriceBook:
    """The published prices, from the package's own `prices.toml`."""
    return PriceBook.load(files("metering").joinpath("prices.toml").read_bytes())
