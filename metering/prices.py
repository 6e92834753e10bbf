"""The price book: what one unit costs, under a version that receipts name. Pure."""

import tomllib
from importlib.resources import files
from typing import Annotated, Self, cast

import msgspec
from msgspec import Meta

from metering.plans import Plan, PlanName

MicroUsd = Annotated[int, Meta(ge=0, le=1_000_000_000)]
"""A unit price; the bound ($1,000) keeps sums within 64 bits."""


MonthlyMicroUsd = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]
"""The price of a month; at most $1,000,000."""


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


class PriceBook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices in micro-dollars a unit. It is frozen into a turn when the turn is admitted.

    A token is one of the model's tokenizer, input or output. `minimum_tokens` is what a request
    without images pays at least, once. `dedicated` is sold by the month, and no turn's business.
    """

    version: Annotated[str, Meta(pattern=r"^[0-9A-Za-z._-]{1,64}\Z")]
    token_micro_usd: MicroUsd
    image_micro_usd: MicroUsd
    detection_micro_usd: MicroUsd
    minimum_tokens: Annotated[int, Meta(ge=0, le=1_000_000)]
    dedicated: Dedicated = Dedicated()
    plans: dict[PlanName, Plan] = {}

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
            return msgspec.convert(tomllib.loads(data.decode()), cls)
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise PricesInvalid(f"price book: {error}") from error


def default_price_book() -> PriceBook:
    """The published prices, from the package's own `prices.toml`."""
    return PriceBook.load(files("metering").joinpath("prices.toml").read_bytes())
