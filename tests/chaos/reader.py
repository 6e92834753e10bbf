"""A client as it should be: it notes every event before it takes the next, and comes back for more.

It reads one answer to its end, over SSE or a WebSocket, through whatever happens, from any server.
"""

import asyncio
import contextlib
import json
import random
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import websockets

from tests.chaos.world import World

PATIENCE_S = 60.0
SILENCE_S = 3.0
"""A connection that says nothing for so long is taken for dead."""
PAUSE_S = 0.1
TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})

Transport = Literal["sse", "socket"]
Event = dict[str, Any]


class TryAgain(Exception):
    """The connection or the server failed in a way that a client lives with."""


class Broken(Exception):
    """The server said what it must never say."""


@dataclass
class Reading:
    """What one client has of one answer."""

    question: str
    max_tokens: int
    transport: Transport
    events: list[Event] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    """When each event came, seconds of the monotonic clock."""
    broken: str | None = None
    failures: list[str] = field(default_factory=list)
    """Why it had to come back."""
    idempotency_key: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def response_id(self) -> str | None:
        return self.events[0]["response"]["id"] if self.events else None

    @property
    def cursor(self) -> int:
        return self.events[-1]["sequence_number"] if self.events else -1

    @property
    def done(self) -> bool:
        return bool(self.events) and self.events[-1]["type"] in TERMINAL

    @property
    def session_id(self) -> str:
        return str(self.events[0]["response"]["kosmosx:session"]["id"])

    @property
    def text(self) -> str:
        kind = "response.output_text.delta"
        return "".join(event["delta"] for event in self.events if event["type"] == kind)

    def note(self, event: Event) -> None:
        self.events.append(event)
        self.arrivals.append(time.monotonic())


class Reader:
    """Reads answers from a world."""

    def __init__(self, world: World, rng: random.Random, *, forgetful: bool = False) -> None:
        """`forgetful`: it comes back without its cursor, as no client should."""
        self._world = world
        self._rng = rng
        self._forgetful = forgetful
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(SILENCE_S))

    async def read(self, reading: Reading) -> Reading:
        """Ask, and read to the end."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not reading.done:
                    await self._attempt(reading)
        except TimeoutError:
            reading.broken = f"no end within {PATIENCE_S} s: {reading.failures[-3:]}"
        except Broken as broken:
            reading.broken = str(broken)
        return reading

    async def close(self) -> None:
        await self._http.aclose()

    async def _attempt(self, reading: Reading) -> None:
        address = self._rng.choice(self._world.nodes).address
        connect = self._sse if reading.transport == "sse" else self._socket
        try:
            async with contextlib.aclosing(connect(reading, address)) as events:
                async for event in events:
                    reading.note(event)
                    if reading.done:
                        return
        except (TryAgain, httpx.TransportError, websockets.WebSocketException, OSError) as failure:
            reading.failures.append(repr(failure))
            await asyncio.sleep(PAUSE_S)

    def _after(self, reading: Reading) -> int:
        return -1 if self._forgetful else reading.cursor

    # -- SSE -------------------------------------------------------------------------------

    async def _sse(self, reading: Reading, address: str) -> AsyncIterator[Event]:
        url = f"http://{address}/v1/responses"
        headers = {"Authorization": f"Bearer {self._world.key}"}
        if reading.response_id is None:
            headers["Idempotency-Key"] = reading.idempotency_key
            request = self._http.build_request(
                "POST", url, headers=headers, json=_body(reading) | {"stream": True}
            )
        else:
            cursor = {"stream": "true", "starting_after": self._after(reading)}
            url = f"{url}/{reading.response_id}"
            request = self._http.build_request("GET", url, headers=headers, params=cursor)
        response = await self._http.send(request, stream=True)
        async with contextlib.aclosing(response):
            if response.status_code != httpx.codes.OK:
                await response.aread()
                raise _refusal(response.status_code, response.text)
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    yield _checked(json.loads(line.removeprefix("data: ")))

    # -- WebSocket -------------------------------------------------------------------------

    async def _socket(self, reading: Reading, address: str) -> AsyncIterator[Event]:
        url = f"ws://{address}/v1/responses"
        if reading.response_id is not None:
            url += (
                f"?session_id={reading.session_id}&response_id={reading.response_id}"
                f"&starting_after={self._after(reading)}"
            )
        headers = {"Authorization": f"Bearer {self._world.key}"}
        async with websockets.connect(
            url, additional_headers=headers, open_timeout=SILENCE_S, close_timeout=0.2, proxy=None
        ) as socket:
            if reading.response_id is None:
                await socket.send(json.dumps({"type": "response.create", **_body(reading)}))
            while True:
                try:
                    async with asyncio.timeout(SILENCE_S):
                        event = json.loads(await socket.recv())
                except TimeoutError as error:
                    raise TryAgain("silence") from error
                yield _checked(event)


def _body(reading: Reading) -> dict[str, Any]:
    return {
        "model": "kosmos-x",
        "input": reading.question,
        "max_output_tokens": reading.max_tokens,
    }


def _checked(event: Event) -> Event:
    if event["type"] == "error":
        raise _refusal(event.get("status", 500), json.dumps(event))
    return event


def _refusal(status: int, body: str) -> Exception:
    """A server in trouble may say so; it may not deny what it has said before."""
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in {409, 429}:
        return TryAgain(body)
    return Broken(f"{status}: {body}")
