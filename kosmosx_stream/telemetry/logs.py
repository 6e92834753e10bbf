"""How a log record is written: as text or JSON, with the trace it is part of, without secrets."""

import logging
from datetime import UTC, datetime
from typing import Literal

import msgspec
from opentelemetry import trace

from kosmosx_stream.telemetry.redaction import redact

LogFormat = Literal["text", "json"]

_encode = msgspec.json.Encoder().encode


class TextFormatter(logging.Formatter):
    """A line for people, and the lines of its traceback."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        line = super().formatMessage(record)
        ids = _trace_ids()
        return f"{line} [trace {ids['trace_id']}]" if ids else line

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """An object a line, under the names that OpenTelemetry gives to logs and exceptions."""

    def format(self, record: logging.LogRecord) -> str:
        """Time in UTC, level, logger, message; the trace and the exception if there are any."""
        said: dict[str, str] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
            **_trace_ids(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            said["exception.type"] = record.exc_info[0].__name__
            said["exception.stacktrace"] = redact(self.formatException(record.exc_info))
        return _encode(said).decode()


def make_formatter(log_format: LogFormat) -> logging.Formatter:
    return JsonFormatter() if log_format == "json" else TextFormatter()


def _trace_ids() -> dict[str, str]:
    """Of the span that is current where the record was made."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }
