"""What every object of the stand-in shares: how it is made, listed and refused."""

import itertools
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]


class Refusal(Exception):
    """An error as Stripe answers it."""

    def __init__(self, status: int, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": "invalid_request_error", **more}


class Account:
    """A Stripe account, in test mode unless `live`, with a clock of its own."""

    def __init__(self, now: Callable[[], float], *, live: bool = False) -> None:
        self.now = now
        self.live = live
        self.numbers = itertools.count(1)

    def keep(self, shelf: dict[str, Object], prefix: str, kind: str, fields: Object) -> Object:
        """Make an object of this kind, and put it onto its shelf."""
        made = {
            "id": f"{prefix}_{next(self.numbers)}",
            "object": kind,
            "created": int(self.now()),
            "livemode": self.live,
            **fields,
        }
        shelf[made["id"]] = made
        return made


def page(found: Iterable[Object], asked: Object, url: str) -> Object:
    """A page of a list, as Stripe has it."""
    every = list(found)
    after, limit = asked.get("starting_after"), asked.get("limit", 10)
    if after is not None:
        every = every[1 + [each["id"] for each in every].index(after) :]
    return {"object": "list", "data": every[:limit], "has_more": len(every) > limit, "url": url}


def missing(kind: str, name: str) -> Refusal:
    return Refusal(404, f"No such {kind}: '{name}'", code="resource_missing", param="id")


def rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
