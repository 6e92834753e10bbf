"""Plans: how much an account's keys may take at a time. Pure."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PlanName = Literal["basic", "standard", "premium", "dedicated"]

UNLIMITED: PlanName = "dedicated"
"""The plan of accounts that were given no other; an operator's own."""

Rate = Literal["requests", "tokens", "images"]

Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each key may take in a minute, and how many sessions its account may have open.

    What is not given has no limit.
    """

    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    images_per_minute: Count | None = None
    open_sessions: Count | None = None

    def rates(self) -> dict[Rate, int]:
        """What a minute may bring, by name; only what is limited."""
        found: dict[Rate, int | None] = {
            "requests": self.requests_per_minute,
            "tokens": self.tokens_per_minute,
            "images": self.images_per_minute,
        }
        return {name: limit for name, limit in found.items() if limit is not None}
