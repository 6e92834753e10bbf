"""Reading one JSON object of a request: each field by name and type, faults in OpenAI's words.

Null counts as absent. A fault names its field as clients write it: `input[0].content[1].text`.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import msgspec

from kosmosx_stream.protocol.errors import InvalidRequest, PayloadTooLarge

MAX_DEPTH = 32
"""Nesting of a request's JSON."""
MAX_TEXT_BYTES = 256 * 1024
"""Text of a request beside its pictures."""
MAX_INTEGER = 2**31 - 1
"""Larger counts are nonsense, and would not fit where they are packed."""

_EXTENSION = "kosmosx:"
_KINDS = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    str: "a string",
    list: "an array",
    dict: "an object",
}
_SHOWN = 64

Choice = TypeVar("Choice", bound=str)


def decode_object(body: bytes | str) -> "Fields":
    """Parse a request's JSON, which must be an object of bounded depth and size.

    Raises:
        InvalidRequest: not JSON (lone surrogates are not), not an object, or nested too deeply.
        PayloadTooLarge: more than `MAX_TEXT_BYTES` of text beside `image_url`s.
    """
    try:
        # A str may hold lone surrogates, which cannot be encoded.
        data = msgspec.json.decode(body.encode() if isinstance(body, str) else body)
    except RecursionError as error:
        raise _too_deep() from error
    except (msgspec.DecodeError, UnicodeError) as error:
        message = f"We could not parse the JSON body of your request: {error}."
        raise InvalidRequest(message, code="invalid_json") from error
    if not isinstance(data, dict):
        message = f"Invalid body: expected a JSON object, but got {kind(data)} instead."
        raise InvalidRequest(message, code="invalid_type")
    _check_bounds(data)
    return Fields(data)


class Fields:
    """A JSON object at `path` of the request."""

    def __init__(self, data: dict[str, Any], path: str = "") -> None:
        self._data = data
        self._path = path

    @property
    def path(self) -> str:
        """The object's own name as seen from the root of the request."""
        return self._path

    @property
    def value(self) -> dict[str, Any]:
        """The object as it was sent."""
        return self._data

    def param(self, name: str) -> str:
        """The field's name as seen from the root of the request."""
        return f"{self._path}.{name}" if self._path else name

    def get(self, name: str) -> Any:
        """The raw value; None if it is absent."""
        return self._data.get(name)

    def has(self, name: str) -> bool:
        """Whether the field is there, be it null."""
        return name in self._data

    def refuse_extensions(self, *known: str) -> None:
        """Unknown fields are the future's and ignored, but ours we know.

        Raises:
            InvalidRequest: a `kosmosx:` field that this server does not have.
        """
        for name in self._data:
            if name.startswith(_EXTENSION) and name not in known:
                param = self.param(_shown(name))
                message = f"Unknown parameter: '{param}'."
                raise InvalidRequest(message, code="unknown_parameter", param=param)

    def string(self, name: str, *, max_length: int | None = None) -> str | None:
        value = self.get(name)
        if value is None:
            return None
        text = check_string(value, self.param(name))
        if max_length is not None and len(text) > max_length:
            raise too_long(self.param(name), "a string", max_length, len(text))
        return text

    def line(self, name: str, *, max_length: int) -> str | None:
        """A string without control characters, e.g. a name; not every store takes them."""
        text = self.string(name, max_length=max_length)
        if text is not None and any(unicodedata.category(each) == "Cc" for each in text):
            message = f"Invalid '{self.param(name)}': expected no control characters."
            raise InvalidRequest(message, code="invalid_value", param=self.param(name))
        return text

    def required_string(self, name: str) -> str:
        value = self.string(name)
        if value is None:
            raise missing(self.param(name))
        return value

    def boolean(self, name: str) -> bool | None:
        value = self.get(name)
        if value is not None and not isinstance(value, bool):
            raise wrong_type(self.param(name), "a boolean", value)
        return value

    def integer(self, name: str, *, low: int, high: int = MAX_INTEGER) -> int | None:
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong_type(self.param(name), "an integer", value)
        if value < low:
            raise _out_of_range(self.param(name), "integer_below_min_value", f">= {low}", value)
        if value > high:
            raise _out_of_range(self.param(name), "integer_above_max_value", f"<= {high}", value)
        return value

    def number(self, name: str, *, low: float, high: float) -> float | None:
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise wrong_type(self.param(name), "a decimal", value)
        if value < low:
            raise _out_of_range(self.param(name), "decimal_below_min_value", f">= {low:g}", value)
        if value > high:
            raise _out_of_range(self.param(name), "decimal_above_max_value", f"<= {high:g}", value)
        return float(value)

    def choice(self, name: str, choices: Sequence[Choice]) -> Choice | None:
        value = self.string(name)
        if value is None:
            return None
        if value not in choices:
            raise invalid_value(self.param(name), value, choices)
        return cast("Choice", value)

    def object(self, name: str) -> "Fields | None":
        value = self.get(name)
        return None if value is None else check_object(value, self.param(name))

    def required_object(self, name: str) -> "Fields":
        value = self.object(name)
        if value is None:
            raise missing(self.param(name))
        return value

    def array(self, name: str) -> list[Any] | None:
        value = self.get(name)
        if value is not None and not isinstance(value, list):
            raise wrong_type(self.param(name), "an array", value)
        return value

    def string_map(
        self, name: str, *, max_pairs: int, max_key: int, max_value: int
    ) -> dict[str, str]:
        """An object of strings, e.g. `metadata`."""
        value = self.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise wrong_type(self.param(name), "an object", value)
        if len(value) > max_pairs:
            raise too_long(self.param(name), "an object", max_pairs, len(value))
        pairs = Fields(value, self.param(name))
        for key, text in value.items():
            if len(key) > max_key:
                raise too_long(pairs.param(_shown(key)), "a key", max_key, len(key))
            check_string(text, pairs.param(key))
            pairs.string(key, max_length=max_value)
        return value


def check_string(value: Any, param: str) -> str:
    if not isinstance(value, str):
        raise wrong_type(param, "a string", value)
    return value


def check_object(value: Any, param: str) -> Fields:
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    return Fields(value, param)


def kind(value: Any) -> str:
    """What JSON calls the value."""
    return _KINDS[type(value)]


def missing(param: str) -> InvalidRequest:
    message = f"Missing required parameter: '{param}'."
    return InvalidRequest(message, code="missing_required_parameter", param=param)


def wrong_type(param: str, expected: str, value: Any) -> InvalidRequest:
    message = f"Invalid type for '{param}': expected {expected}, but got {kind(value)} instead."
    return InvalidRequest(message, code="invalid_type", param=param)


def invalid_value(param: str, value: str, choices: Sequence[str]) -> InvalidRequest:
    supported = ", ".join(f"'{choice}'" for choice in choices)
    message = f"Invalid value: '{_shown(value)}'. Supported values are: {supported}."
    return InvalidRequest(message, code="invalid_value", param=param)


def unsupported(param: str, why: str) -> InvalidRequest:
    message = f"Unsupported parameter: '{param}': {why}."
    return InvalidRequest(message, code="unsupported_parameter", param=param)


def too_long(param: str, what: str, limit: int, length: int) -> InvalidRequest:
    code = {
        "a string": "string_above_max_length",
        "a key": "string_above_max_length",
        "an array": "array_above_max_length",
    }.get(what, "object_above_max_properties")
    message = (
        f"Invalid '{param}': too long. "
        f"Expected {what} with maximum length {limit}, but got {length} instead."
    )
    return InvalidRequest(message, code=code, param=param)


def empty_string(param: str) -> InvalidRequest:
    message = f"Invalid '{param}': empty string. Expected a string with minimum length 1."
    return InvalidRequest(message, code="empty_string", param=param)


def _out_of_range(param: str, code: str, wanted: str, value: float) -> InvalidRequest:
    message = (
        f"Invalid '{param}': out of range. "
        f"Expected a value {wanted}, but got {_shown(str(value))} instead."
    )
    return InvalidRequest(message, code=code, param=param)


def _shown(value: str) -> str:
    return value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"JSON is nested deeper than {MAX_DEPTH} levels.", code="invalid_json")


def _check_bounds(document: dict[str, Any]) -> None:
    """Walk level by level: no recursion that a request could exhaust."""
    text_bytes = 0
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for value in level:
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, child in pairs:
                if isinstance(child, dict | list):
                    deeper.append(child)
                text_bytes += _text_bytes(key, child)
        if text_bytes > MAX_TEXT_BYTES:
            limit = f"{MAX_TEXT_BYTES // 1024} KiB"
            message = f"The request holds more than {limit} of text beside its pictures."
            raise PayloadTooLarge(message, code="request_too_large")
        level = deeper
    if level:
        raise _too_deep()


def _text_bytes(key: str | int, child: Any) -> int:
    size = _utf8_length(key) if isinstance(key, str) else 0
    is_url = key in {"image_url", "url"}  # as Responses and as Chat Completions have it
    is_picture = is_url and isinstance(child, str) and child.startswith("data:")
    return size + (_utf8_length(child) if isinstance(child, str) and not is_picture else 1)


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
