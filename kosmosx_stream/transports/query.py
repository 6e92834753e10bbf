"""Query parameters, checked."""

from collections.abc import Mapping

from kosmosx_stream.protocol.errors import InvalidRequest


def integer(
    query: Mapping[str, str], name: str, *, default: int, least: int, most: int | None = None
) -> int:
    """A whole number within bounds.

    Raises:
        InvalidRequest: it is not.
    """
    text = query.get(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least or (most is not None and value > most):
        upto = f" and at most {most}" if most is not None else ""
        raise InvalidRequest(
            f"'{name}' must be a whole number of at least {least}{upto}, not '{text}'.",
            code="invalid_value",
            param=name,
        )
    return value
