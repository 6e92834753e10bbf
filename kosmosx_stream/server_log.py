"""Where the server's log goes. Several processes may write to it at once."""

import logging
import sys

from kosmosx_stream.settings import Settings
from kosmosx_stream.telemetry.logs import make_formatter

CLIENTS_DOING = {
    # A handshake that we refused; a 401 is no error of ours.
    "ASGI callable returned without completing handshake.",
    # With a traceback, for every frame that a client cares to send.
    "Invalid UTF-8 sequence received from client.",
    # With the query, where somebody will put a key sooner or later.
    '%s - "WebSocket %s" [accepted]',
    '%s - "WebSocket %s" 403',
    '%s - "WebSocket %s" %d',
}
"""What uvicorn logs of clients, though it is nobody's business here."""


def write_logs(settings: Settings) -> None:
    """Everything into a file; to the terminal warnings, and all of it where programs read it."""
    to_file = logging.FileHandler(settings.data_dir / "logs" / "server.log")
    to_terminal = logging.StreamHandler(sys.stderr)
    if settings.log_format == "text":
        to_terminal.setLevel(logging.WARNING)
    for handler in (to_file, to_terminal):
        handler.setFormatter(make_formatter(settings.log_format))
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.msg not in CLIENTS_DOING)
    logging.basicConfig(level=logging.INFO, handlers=[to_file, to_terminal], force=True)
