"""Query parameters: what they may be, checked as they are read, and told by the API documents."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.datastructures import QueryParams

from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.fields import invalid_value


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """Any text; None where it is absent."""

    name: str
    says: str

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the value."""
        return {"type": "string"}

    def read(self, query: Mapping[str, str]) -> str | None:
        """The value."""
        return query.get(self.name)


class Integer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole number within bounds."""

    name: str
    says: str
    default: int
    least: int
    most: int | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the value."""
        bounds = {"minimum": self.least, "maximum": self.most, "default": self.default}
        return {"type": "integer"} | {k: bound for k, bound in bounds.items() if bound is not None}

    def read(self, query: Mapping[str, str]) -> int:
        """The value.

        Raises:
            InvalidRequest: it is not such a number.
        """
        text = query.get(self.name)
        if text is None:
            return self.default
        try:
            value = int(text)
        except ValueError:
            value = self.least - 1
        if value < self.least or (self.most is not None and value > self.most):
            upto = f" and at most {self.most}" if self.most is not None else ""
            raise _wrong(self.name, f"a whole number of at least {self.least}{upto}", text)
        return value


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One of some words; the first is the default."""

    name: str
    says: str
    choices: tuple[str, ...]

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the value."""
        return {"type": "string", "enum": list(self.choices), "default": self.choices[0]}

    def read(self, query: Mapping[str, str]) -> str:
        """The value.

        Raises:
            InvalidRequest: it is none of them.
        """
        value = query.get(self.name, self.choices[0])
        if value not in self.choices:
            supported = " or ".join(f"'{choice}'" for choice in self.choices)
            raise _wrong(self.name, supported, value)
        return value


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """Any of some words, in a parameter that may come several times; by default none.

    OpenAI's clients write `name[]=…`, others `name=…`.
    """

    name: str
    says: str
    choices: tuple[str, ...]

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the value."""
        return {"type": "array", "items": {"type": "string", "enum": list(self.choices)}}

    def read(self, query: QueryParams) -> frozenset[str]:
        """The values.

        Raises:
            InvalidRequest: one is none of them.
        """
        named = re.compile(re.escape(self.name) + r"(\[[0-9]*\])?")
        values = [value for name, value in query.multi_items() if named.fullmatch(name)]
        for index, value in enumerate(values):
            if value not in self.choices:
                raise invalid_value(f"{self.name}[{index}]", value, self.choices)
        return frozenset(values)


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """True or false; false where it is absent."""

    name: str
    says: str

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the value."""
        return {"type": "boolean", "default": False}

    def read(self, query: Mapping[str, str]) -> bool:
        """The value.

        Raises:
            InvalidRequest: it is neither.
        """
        match query.get(self.name, "false").lower():
            case "true" | "1":
                return True
            case "false" | "0":
                return False
            case value:
                raise _wrong(self.name, "'true' or 'false'", value)


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """A date; None where it is absent."""

    name: str
    says: str

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the value."""
        return {"type": "string", "format": "date"}

    def read(self, query: Mapping[str, str]) -> float | None:
        """When the day begins, UTC, in Unix seconds.

        Raises:
            InvalidRequest: it is no date.
        """
        value = query.get(self.name)
        if value is None:
            return None
        try:
            return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
        except ValueError as error:
            raise _wrong(self.name, "a date as in '2026-01-31'", value) from error


Parameter = Text | Integer | Choice | Choices | Flag | Day

LIMIT = Integer(name="limit", says="The most that a page may hold.", default=20, least=1, most=100)
AFTER = Text(name="after", says="The id after which the page begins.")
ORDER = Choice(name="order", says="Newest or oldest first.", choices=("desc", "asc"))
STREAM = Flag(name="stream", says="Whether to replay the events, and follow them to the end.")
STARTING_AFTER = Integer(
    name="starting_after",
    says="The sequence number after which the replay begins.",
    default=-1,
    least=-1,
)
LAST_EVENT_ID = Integer(
    name="Last-Event-ID",
    says="As `starting_after`, and before it: what an EventSource sends when it comes back. Where "
    "this was the last event, the answer is 204, on which it does not come back again.",
    default=-1,
    least=-1,
)


def none_such(what: str, given: str | None, param: str = AFTER.name) -> InvalidRequest:
    """The refusal of an id that a parameter names and nothing has."""
    message = f"No {what} '{str(given)[:64]}'."
    return InvalidRequest(message, code="invalid_value", param=param)


def _wrong(name: str, expected: str, value: str) -> InvalidRequest:
    message = f"'{name}' must be {expected}, not '{value[:64]}'."
    return InvalidRequest(message, code="invalid_value", param=name)
