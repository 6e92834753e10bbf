"""A client with a session of its own: pictures, cancels, lost connections, and a receipt."""

import asyncio
import base64
import contextlib
import json
import random
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import websockets

from tests.chaos.reader import (
    PAUSE_S,
    SILENCE_S,
    Event,
    Question,
    Reader,
    Reading,
    Transport,
    TryAgain,
)

SAMPLES = Path(__file__).parents[2] / "web_demo" / "samples"
PICTURES = [f"scene-{number}.png" for number in range(1, 7)]
FATES = {"read": 8, "cancel": 3, "drop": 5, "leave": 2}
"""How often each happens to an answer. Who drops a connection comes back; who leaves does not."""
FEWEST, MOST = 24, 72
"""Longest answer, in tokens."""

Fate = Literal["read", "cancel", "drop", "leave"]


class Left(Exception):
    """Nobody reads this answer to its end."""


@dataclass(frozen=True)
class PictureQuestion(Question):
    """As `Question`, about pictures."""

    pictures: tuple[str, ...] = ()
    previous: str | None = None
    """The response that it goes on from."""

    def body(self) -> dict[str, Any]:
        content: list[Event] = [{"type": "input_text", "text": self.text}]
        for name in self.pictures:
            data = base64.b64encode((SAMPLES / name).read_bytes()).decode()
            url = f"data:image/png;base64,{data}"
            content.append({"type": "input_image", "image_url": url, "detail": "auto"})
        said = {"type": "message", "role": "user", "content": content}
        before = {"previous_response_id": self.previous} if self.previous else {}
        return super().body() | {"input": [said]} | before


@dataclass
class Turn:
    """One question, and what happens to its answer."""

    text: str
    max_tokens: int
    pictures: tuple[str, ...]
    fate: Fate
    at: int
    """The event after which that happens."""
    over: bool = False


@dataclass
class Visit:
    """A session as it is planned, and what came of it."""

    number: int
    transport: Transport
    opens: bool
    """Whether the session is opened before its first turn, or by it."""
    turns: list[Turn]
    session_id: str | None = None
    readings: list[Reading] = field(default_factory=list)
    receipts: dict[str, list[Event]] = field(default_factory=dict)
    """By session; whatever was ever shown as one."""

    def note(self, session: Event) -> None:
        if session["receipt"] is not None:
            self.receipts.setdefault(session["id"], []).append(session["receipt"])


def plan(seed: int, visits: int) -> Iterator[Visit]:
    """The same ones for the same seed."""
    for number in range(visits):
        rng = random.Random(f"{seed} visit {number}")
        yield Visit(
            number,
            transport=rng.choice(("sse", "socket")),
            opens=rng.random() < 0.5,
            turns=[_turn(rng, f"{number}.{turn}") for turn in range(rng.choice((1, 1, 2, 3)))],
        )


def _turn(rng: random.Random, name: str) -> Turn:
    (fate,) = rng.choices(list(FATES), list(FATES.values()))
    return Turn(
        f"What is in picture {name}?",
        rng.randint(FEWEST, MOST),
        tuple(rng.sample(PICTURES, rng.choice((0, 0, 1, 2)))),
        fate,  # type: ignore[arg-type]
        rng.randint(1, FEWEST),
    )


class Visitor(Reader):
    """Goes through visits; whatever fails on the way is tried again."""

    _turn: Turn

    async def visit(self, visit: Visit) -> None:
        if visit.opens:
            visit.session_id = (await self._insist("POST", "/sessions"))["id"]
        previous = None
        for self._turn in visit.turns:
            question = PictureQuestion(
                self._turn.text,
                self._turn.max_tokens,
                pictures=self._turn.pictures,
                previous=previous,
            )
            reading = Reading(question, visit.transport, joins=visit.session_id)
            try:
                await self.read(reading)
            except Left:
                pass
            else:
                visit.readings.append(reading)
                previous = reading.response_id
            if reading.response_id and (visit.opens or visit.transport == "socket"):
                visit.session_id = reading.session_id
        if visit.session_id is not None:
            await self._close(visit, visit.session_id)

    async def close_session(self, visit: Visit, session_id: str) -> None:
        """Over HTTP; again changes nothing."""
        visit.note(await self._insist("DELETE", f"/sessions/{session_id}"))

    async def shown(self, response_id: str) -> Event:
        return await self._insist("GET", f"/responses/{response_id}")

    async def _close(self, visit: Visit, session_id: str) -> None:
        if visit.transport == "socket":
            # It may be closed by now, whatever was heard of that: what follows tells.
            with contextlib.suppress(websockets.WebSocketException, OSError):
                visit.note(await self._close_by_socket(session_id))
        await self.close_session(visit, session_id)

    async def _close_by_socket(self, session_id: str) -> Event:
        url = f"ws://{self._address()}/v1/responses?session_id={session_id}"
        async with (
            asyncio.timeout(SILENCE_S),
            websockets.connect(
                url, additional_headers=self._headers(), close_timeout=0.2, proxy=None
            ) as socket,
        ):
            await socket.send(json.dumps({"type": "kosmosx:session.close"}))
            async for message in socket:
                event = json.loads(message)
                if event["type"] == "kosmosx:session.closed":
                    session: Event = event["session"]
                    return session
        raise OSError("closed without a receipt")

    async def _sse(self, reading: Reading, address: str) -> AsyncGenerator[Event]:
        async with contextlib.aclosing(
            self._fated(reading, super()._sse(reading, address))
        ) as events:
            async for event in events:
                yield event

    async def _socket(self, reading: Reading, address: str) -> AsyncGenerator[Event]:
        async with contextlib.aclosing(
            self._fated(reading, super()._socket(reading, address))
        ) as events:
            async for event in events:
                yield event

    async def _fated(
        self, reading: Reading, events: AsyncGenerator[Event]
    ) -> AsyncGenerator[Event]:
        """Do to the answer what is to happen to it, once."""
        turn = self._turn
        async for event in _in_open_session(reading, events):
            yield event
            if turn.over or event["sequence_number"] < turn.at:
                continue
            turn.over = True
            match turn.fate:
                case "cancel":
                    await self._cancel(str(reading.response_id))
                case "drop":
                    raise TryAgain("dropped on purpose")
                case "leave":
                    raise Left
                case "read":
                    pass

    async def _cancel(self, response_id: str) -> None:
        """Ask once; where that gets lost, the answer goes on to its end."""
        url = f"http://{self._address()}/v1/responses/{response_id}/cancel"
        with contextlib.suppress(httpx.TransportError):
            await self._http.post(url, headers=self._headers())

    async def _insist(self, method: str, path: str) -> Event:
        """Until a server does it. Only what may be done twice is asked so."""
        while True:
            try:
                answer = await self._http.request(
                    method, f"http://{self._address()}/v1{path}", headers=self._headers()
                )
            except httpx.TransportError:
                await asyncio.sleep(PAUSE_S)
                continue
            if not answer.is_server_error:
                done: Event = answer.raise_for_status().json()
                return done
            await asyncio.sleep(PAUSE_S)

    def _address(self) -> str:
        return self._rng.choice(self._world.nodes).address

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._world.key}"}


async def _in_open_session(
    reading: Reading, events: AsyncGenerator[Event]
) -> AsyncGenerator[Event]:
    """A session that nobody was connected to may be closed by now: it is asked in a new one."""
    try:
        async for event in events:
            yield event
    except TryAgain as refusal:
        if "session_closed" in str(refusal):
            reading.joins = None
        raise
