"""Shows to a judge what the HTTP and WebSocket clients of this process receive, whoever uses them.

The transports under the clients are wrapped: httpx (the tests' own requests), httpx2 (the official
client's) and websockets (both).
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest
import websockets.asyncio.connection
import websockets.sync.connection

from tests.kosmosx_stream.judge import Judge
from tests.server_process import ServerProcess


class Body:
    """A response's body, read by the judge as it passes."""

    def __init__(self, judge: Judge, request: Any, response: Any) -> None:
        self._judge = judge
        self._method = request.method
        self._path = request.url.path
        self._status = response.status_code
        self._media_type = response.headers.get("content-type", "").partition(";")[0]
        self._events = b"event-stream" in self._media_type.encode()
        self._stream = response.stream
        self._seen = b""

    def _see(self, chunk: bytes) -> None:
        self._seen += chunk
        if self._events:
            *frames, self._seen = self._seen.split(b"\n\n")
            for frame in frames:
                self._see_frame(frame)

    def _see_frame(self, frame: bytes) -> None:
        for line in frame.split(b"\n"):
            data = line.removeprefix(b"data: ")
            if data in {line, b"[DONE]"}:
                continue
            if self._path.startswith("/v1/chat/"):
                self._judge.chunk(data)
            else:
                self._judge.event(data, over="sse")

    def _end(self) -> None:
        if not self._events:
            self._judge.answer(self._method, self._path, self._status, self._media_type, self._seen)


class SyncBody(Body, httpx.SyncByteStream, httpx2.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._see(chunk)
            yield chunk
        self._end()

    def close(self) -> None:
        self._stream.close()


class AsyncBody(Body, httpx.AsyncByteStream, httpx2.AsyncByteStream):
    async def __aiter__(self) -> Any:
        async for chunk in self._stream:
            self._see(chunk)
            yield chunk
        self._end()

    async def aclose(self) -> None:
        await self._stream.aclose()


def witness(judge: Judge, patch: pytest.MonkeyPatch) -> None:
    """Wrap the transports."""
    for library in (httpx, httpx2):
        _wrap(patch, library.HTTPTransport, "handle_request", functools.partial(_http, judge))
        _wrap(
            patch,
            library.AsyncHTTPTransport,
            "handle_async_request",
            functools.partial(_async_http, judge),
        )
    _wrap(patch, websockets.sync.connection.Connection, "recv", functools.partial(_socket, judge))
    _wrap(
        patch,
        websockets.asyncio.connection.Connection,
        "recv",
        functools.partial(_async_socket, judge),
    )


def _wrap(patch: pytest.MonkeyPatch, owner: Any, name: str, around: Callable[..., Any]) -> None:
    inner = getattr(owner, name)

    @functools.wraps(inner)
    def method(*arguments: Any, **options: Any) -> Any:
        return around(inner, *arguments, **options)

    patch.setattr(owner, name, method)


def _is_ours(request: Any, path: str) -> bool:
    _, _, port = request.headers.get("Host", "").partition(":")
    return port.isdigit() and int(port) in ServerProcess.ports and path.startswith("/v1/")


def _http(judge: Judge, inner: Callable[..., Any], transport: Any, request: Any) -> Any:
    response = inner(transport, request)
    if _is_ours(request, request.url.path):
        response.stream = SyncBody(judge, request, response)
    return response


async def _async_http(judge: Judge, inner: Callable[..., Any], transport: Any, request: Any) -> Any:
    response = await inner(transport, request)
    if _is_ours(request, request.url.path):
        response.stream = AsyncBody(judge, request, response)
    return response


def _socket(
    judge: Judge, inner: Callable[..., Any], connection: Any, *args: Any, **options: Any
) -> Any:
    message = inner(connection, *args, **options)
    if _is_ours(connection.request, connection.request.path):
        judge.event(message, over="websocket")
    return message


async def _async_socket(
    judge: Judge, inner: Callable[..., Any], connection: Any, *args: Any, **options: Any
) -> Any:
    message = await inner(connection, *args, **options)
    if _is_ours(connection.request, connection.request.path):
        judge.event(message, over="websocket")
    return message
