import io
import json
import logging
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider

from kosmosx_stream.telemetry.logs import LogFormat, make_formatter

KEY = "kx_live_132863d7aa2aefa9_" + "A" * 43


def record(message: str, *arguments: object, failed: bool = False) -> logging.LogRecord:
    exc_info = None
    if failed:
        try:
            int(KEY)  # Its error quotes it.
        except ValueError:
            exc_info = sys.exc_info()
    return logging.LogRecord("kosmosx", logging.ERROR, "", 1, message, arguments, exc_info)


def test_json_is_an_object_a_line() -> None:
    line = make_formatter("json").format(record("%s\nfailed", "it", failed=True))
    said = json.loads(line)
    assert "\n" not in line
    assert (said["level"], said["logger"], said["message"]) == ("ERROR", "kosmosx", "it\nfailed")
    assert said["exception.type"] == "ValueError"
    assert "Traceback" in said["exception.stacktrace"]
    assert "trace_id" not in said


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_are_in_neither_message_nor_traceback(log_format: LogFormat) -> None:
    line = make_formatter(log_format).format(record("with %s", KEY, failed=True))
    assert "AAAA" not in line
    assert line.count("[redacted]") >= 2


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_record_names_its_trace(log_format: LogFormat) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("")
    with tracer.start_as_current_span("here") as span:
        line = make_formatter(log_format).format(record("said"))
    assert f"{span.get_span_context().trace_id:032x}" in line


def test_text_is_as_it_was() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(make_formatter("text"))
    handler.emit(record("adopting %s", "resp_1"))
    assert stream.getvalue().endswith(" ERROR kosmosx adopting resp_1\n")
