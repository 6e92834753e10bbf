"""Pictures by URL: fetched over https from public addresses, in bounded time and size.

A name is resolved once, every address it has must be public, and the connection goes to one of
them: what is checked is what is connected to. Each redirect is a new URL and is checked as one.
What comes back is bytes of a stranger, for `images.py` to decode.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from socket import SOCK_STREAM
from urllib.parse import urljoin

import httptools

from kosmosx_stream.admission.image_urls import HTTPS_PORT, Target, UnfitUrl, is_public, parse
from kosmosx_stream.admission.images import ImageError

MAX_REDIRECTS = 2
MAX_HEAD_BYTES = 16 * 1024
DEADLINE_S = 5.0
"""For all of it: names, redirects, and the picture."""
_CHUNK = 64 * 1024
_REDIRECTS = {301, 302, 303, 307, 308}

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""A name's addresses."""


async def resolve(host: str) -> Sequence[str]:
    """The system's answer; also for an address, and for the odd ways to write one."""
    found = await asyncio.get_running_loop().getaddrinfo(host, HTTPS_PORT, type=SOCK_STREAM)
    return [str(address[4][0]) for address in found]


class ImageFetcher:
    """Fetches pictures for clients who name them by URL."""

    def __init__(
        self,
        *,
        max_bytes: int,
        allowed_hosts: tuple[str, ...] = (),
        resolve: Resolve = resolve,
        is_public: Callable[[str], bool] = is_public,
        tls: ssl.SSLContext | None = None,
        port: int = HTTPS_PORT,
    ) -> None:
        self._max_bytes = max_bytes
        self._allowed_hosts = allowed_hosts
        self._resolve = resolve
        self._is_public = is_public
        self._tls = tls or ssl.create_default_context()
        self._port = port

    async def fetch(self, url: str) -> bytes:
        """The file at a URL.

        Raises:
            ImageError: it is not fetched, and why; the message tells nothing of the network.
        """
        try:
            async with asyncio.timeout(DEADLINE_S):
                for _ in range(MAX_REDIRECTS + 1):
                    answer = await self._get(self._target(url))
                    if answer.location is None:
                        return answer.file()
                    url = urljoin(url, answer.location)
        except TimeoutError:
            raise ImageError(
                "image_url_unavailable", f"expected a picture that arrives within {DEADLINE_S:g} s"
            ) from None
        except (OSError, UnicodeError, httptools.HttpParserError):
            raise ImageError("image_url_unavailable", "the picture cannot be fetched") from None
        raise ImageError("image_url_unavailable", f"expected at most {MAX_REDIRECTS} redirects")

    def _target(self, url: str) -> Target:
        try:
            return parse(url, self._allowed_hosts)
        except UnfitUrl as error:
            raise ImageError("invalid_image_url", str(error)) from None

    async def _get(self, target: Target) -> "_Answer":
        address = await self._address(target)
        reader, writer = await asyncio.open_connection(
            address, self._port, ssl=self._tls, server_hostname=target.host, limit=_CHUNK
        )
        try:
            writer.write(_request(target))
            answer = _Answer(self._max_bytes)
            while not answer.complete and (data := await reader.read(_CHUNK)):
                answer.feed(data)
            return answer
        finally:
            writer.transport.abort()

    async def _address(self, target: Target) -> str:
        """Raises ImageError unless all of the host's addresses are public."""
        addresses = await self._resolve(target.host)
        if not addresses or not all(map(self._is_public, addresses)):
            # The same words for what is not there and what is not to be seen.
            raise ImageError("image_url_unavailable", "the picture cannot be fetched")
        return addresses[0]


class _Answer:
    """A response as it arrives. The methods named `on_` are the parser's."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parser = httptools.HttpResponseParser(self)
        self._head_bytes = 0
        self._in_head = True
        self._body = bytearray()
        self._location: str | None = None
        self.complete = False

    @property
    def location(self) -> str | None:
        """Where a redirect leads; None for any other answer."""
        return self._location if self._parser.get_status_code() in _REDIRECTS else None

    def feed(self, data: bytes) -> None:
        """Raises ImageError when it gets too large."""
        self._head_bytes += len(data) if self._in_head else 0
        self._parser.feed_data(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            raise ImageError("image_url_unavailable", "the picture cannot be fetched")
        if len(self._body) > self._max_bytes:
            raise ImageError(
                "image_too_large", f"expected a file of at most {self._max_bytes:,} bytes"
            )

    def file(self) -> bytes:
        """Raises ImageError unless it is a whole file."""
        status = self._parser.get_status_code()
        if not self.complete or status != 200:  # noqa: PLR2004
            raise ImageError("image_url_unavailable", "the picture cannot be fetched")
        return bytes(self._body)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"location":
            self._location = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self.location is not None:
            self.complete = True  # Nobody reads the body of a redirect.

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.complete = True


def _request(target: Target) -> bytes:
    head = (
        f"GET {target.path} HTTP/1.1\r\nHost: {target.authority}\r\n"
        "Accept: image/png, image/jpeg, image/webp\r\nAccept-Encoding: identity\r\n"
        "User-Agent: kosmosx\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii")
