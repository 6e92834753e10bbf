"""A client as it should be: it notes every event before it takes the next, and comes back for more.

It reads one answer to its end, over SSE or a WebSocket, through whatever happens, from any server.
"""

import asyncio
import contextlib
import json
import random
import time
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import websockets

from tests.chaos.world import TOKENS_PER_S, World

PATIENCE_S = 240.0
SILENCE_S = 3.0
"""A connection that says nothing for so long is taken for dead."""
PAUSE_S = 0.1
SLOW_S = 10 / TOKENS_PER_S
"""Nobody waits longer than this for a token but for a fault."""
TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})

Transport = Literal["sse", "socket"]
Event = dict[str, Any]


class TryAgain(Exception):
    """The connection or the server failed in a way that a client lives with."""


class Broken(Exception):
    """The server said what it must never say."""


@dataclass(frozen=True)
class Question:
    """What is asked; a greedy one has one right answer."""

    text: str
    max_tokens: int
    greedy: bool = True

    def body(self) -> dict[str, Any]:
        return {
            "model": "kosmos-x",
            "input": self.text,
            "max_output_tokens": self.max_tokens,
            "temperature": 0 if self.greedy else 1,
        }


@dataclass
class Reading:
    """What one client has of one answer."""

    question: Question
    transport: Transport
    numbers: list[int] = field(default_factory=list)
    """Of all events, as they came."""
    words: list[str] = field(default_factory=list)
    first: Event | None = None
    last: Event | None = None
    waits: list[tuple[float, float]] = field(default_factory=list)
    """From one event to the next, where that was long; seconds of the monotonic clock."""
    broken: str | None = None
    failures: list[str] = field(default_factory=list)
    """Why it had to come back."""
    idempotency_key: str = field(default_factory=lambda: uuid.uuid4().hex)
    joins: str | None = None
    """The session that it is asked in, if not in one of its own."""
    asked: str | None = None
    """The address of the server that was asked last: where it began, its first owner."""
    _heard: float = 0.0

    @property
    def response_id(self) -> str | None:
        return self.first["response"]["id"] if self.first else None

    @property
    def cursor(self) -> int:
        return self.numbers[-1] if self.numbers else -1

    @property
    def ended(self) -> Event | None:
        """The response, if its end was read."""
        return self.last["response"] if self.last and self.last["type"] in TERMINAL else None

    @property
    def session_id(self) -> str:
        assert self.first is not None
        return str(self.first["response"]["kosmosx:session"]["id"])

    @property
    def text(self) -> str:
        return "".join(self.words)

    def note(self, event: Event) -> None:
        now = time.monotonic()
        if self.first and now - self._heard > SLOW_S:
            self.waits.append((self._heard, now))
        self._heard = now
        self.first = self.first or event
        self.last = event
        self.numbers.append(event["sequence_number"])
        if event["type"] == "response.output_text.delta":
            self.words.append(event["delta"])


class Reader:
    """Reads answers from a world."""

    def __init__(
        self,
        world: World,
        rng: random.Random,
        *,
        patience_s: float = PATIENCE_S,
        forgetful: bool = False,
    ) -> None:
        """`forgetful`: it comes back without its cursor, as no client should."""
        self._patience_s = patience_s
        self._world = world
        self._rng = rng
        self._forgetful = forgetful
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(SILENCE_S))

    async def read(self, reading: Reading) -> Reading:
        """Ask, and read to the end."""
        try:
            async with asyncio.timeout(self._patience_s):
                while not reading.ended:
                    await self._attempt(reading)
        except TimeoutError:
            reading.broken = f"no end within {self._patience_s} s: {reading.failures[-3:]}"
        except Broken as broken:
            reading.broken = str(broken)
        except (KeyError, TypeError, ValueError) as error:
            reading.broken = f"an event like none: {error!r}"
        return reading

    async def close(self) -> None:
        await self._http.aclose()

    async def _attempt(self, reading: Reading) -> None:
        address = self._rng.choice(self._world.nodes).address
        if reading.response_id is None:
            reading.asked = address
        connect = self._sse if reading.transport == "sse" else self._socket
        try:
            async with contextlib.aclosing(connect(reading, address)) as events:
                async for event in events:
                    reading.note(event)
                    if reading.ended:
                        return
        except (TryAgain, httpx.TransportError, websockets.WebSocketException, OSError) as failure:
            reading.failures.append(repr(failure))
            await asyncio.sleep(PAUSE_S)

    def _after(self, reading: Reading) -> int:
        return -1 if self._forgetful else reading.cursor

    # -- SSE -------------------------------------------------------------------------------

    async def _sse(self, reading: Reading, address: str) -> AsyncGenerator[Event]:
        url = f"http://{address}/v1/responses"
        headers = {"Authorization": f"Bearer {self._world.key}"}
        if reading.response_id is None:
            headers["Idempotency-Key"] = reading.idempotency_key
            if reading.joins is not None:
                headers["X-Kosmosx-Session"] = reading.joins
            request = self._http.build_request(
                "POST", url, headers=headers, json=reading.question.body() | {"stream": True}
            )
        else:
            cursor = {"stream": "true", "starting_after": str(self._after(reading))}
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

    async def _socket(self, reading: Reading, address: str) -> AsyncGenerator[Event]:
        url = f"ws://{address}/v1/responses"
        if reading.response_id is not None:
            url += (
                f"?session_id={reading.session_id}&response_id={reading.response_id}"
                f"&starting_after={self._after(reading)}"
            )
        elif reading.joins is not None:
            url += f"?session_id={reading.joins}"
        headers = {"Authorization": f"Bearer {self._world.key}"}
        async with websockets.connect(
            url, additional_headers=headers, open_timeout=SILENCE_S, close_timeout=0.2, proxy=None
        ) as socket:
            if reading.response_id is None:
                create = {"type": "response.create", **reading.question.body()}
                create["kosmosx:idempotency_key"] = reading.idempotency_key
                await socket.send(json.dumps(create))
            while True:
                try:
                    async with asyncio.timeout(SILENCE_S):
                        event = json.loads(await socket.recv())
                except TimeoutError as error:
                    raise TryAgain("silence") from error
                yield _checked(event)


def _checked(event: Event) -> Event:
    if event["type"] == "error":
        raise _refusal(event.get("status", 500), json.dumps(event))
    return event


def _refusal(status: int, body: str) -> Exception:
    """A server in trouble may say so; it may not deny what it has said before."""
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in {409, 429}:
        return TryAgain(body)
    return Broken(f"{status}: {body}")
