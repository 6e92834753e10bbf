"""Asks a server on this machine whether it is ready. Knows HTTP and nothing of the server."""

from http.client import HTTPConnection, HTTPException

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - not bound to


class NotReady(Exception):
    """The server cannot take turns now; the message says what it or the network answered."""


def local_host(host: str) -> str:
    """The address by which a server that listens on `host` is reached from its own machine."""
    return _ANY_ADDRESS.get(host, host)


def check_ready(host: str, port: int, *, timeout_s: float) -> None:
    """Return when the server at this address says that it is ready.

    Raises:
        NotReady: it says that it is not, or says nothing within `timeout_s`.
    """
    connection = HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        said = answer.read(1024).decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        raise NotReady(f"{host}:{port} does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:  # noqa: PLR2004
        raise NotReady(f"{host}:{port} answers {answer.status}: {said}")
