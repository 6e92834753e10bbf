"""Servers that are restarted one after another under load: nobody loses or repeats anything."""

import asyncio
import contextlib
import json
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import openai
import websockets

from tests.conftest import Twins
from tests.kosmosx_stream.clients import MODEL, client, text_of
from tests.server_process import ServerProcess

ASKED = {"model": MODEL, "input": "Say something.", "max_output_tokens": 60}
TERMINAL = "response.completed", "response.incomplete"
SERVICE_RESTART = 1012


class Talk:
    """One session on a WebSocket, which goes on wherever it is let in."""

    def __init__(self, twins: Twins, key: str) -> None:
        self._twins = twins
        self._headers = {"Authorization": f"Bearer {key}"}
        self.answers: list[list[dict[str, Any]]] = []
        self.session_id: str | None = None
        self.moves = 0
        self._cursor: dict[str, str] = {}

    async def go_on(self, enough: asyncio.Event) -> dict[str, Any]:
        """Ask again and again until it is enough; returns the closed session."""
        while True:
            for server in self._twins:
                with contextlib.suppress(websockets.InvalidHandshake, OSError):
                    async with self._connect(server) as socket:
                        try:
                            return await self._talk(socket, enough)
                        except websockets.ConnectionClosed as closed:
                            self._note(closed)
            await asyncio.sleep(0.05)

    def _connect(self, server: ServerProcess) -> Any:
        query = self._cursor | ({"session_id": self.session_id} if self.session_id else {})
        url = f"ws://127.0.0.1:{server.port}/v1/responses?{urlencode(query)}"
        return websockets.connect(url, additional_headers=self._headers, proxy=None)

    def _note(self, closed: websockets.ConnectionClosed) -> None:
        """The reason tells where to go on; nothing was under way if it does not."""
        assert closed.rcvd is not None
        assert closed.rcvd.code == SERVICE_RESTART
        self._cursor = dict(parse_qsl(closed.rcvd.reason))
        self.moves += 1
        if not self._cursor and self.answers and not self.answers[-1]:
            self.answers.pop()

    async def _talk(self, socket: Any, enough: asyncio.Event) -> dict[str, Any]:
        while True:
            if not self._cursor:
                if enough.is_set():
                    return await self._close(socket)
                await socket.send(json.dumps({"type": "response.create"} | ASKED))
                self.answers.append([])
            elif self._cursor["starting_after"] != "-1":
                assert self._cursor["starting_after"] == str(
                    self.answers[-1][-1]["sequence_number"]
                )
            await self._read(socket)

    async def _read(self, socket: Any) -> None:
        while True:
            event = json.loads(await socket.recv())
            if event["type"] == "error":
                # It was asked when the server was about to go: nothing was begun.
                assert event["error"]["code"] in {"server_unavailable", "response_not_found"}
                assert self.answers.pop() == []
                self._cursor = {}
                return
            if event["type"] == "kosmosx:session.opened":
                self.session_id = event["session"]["id"]
            self.answers[-1].append(event)
            if event["type"] in TERMINAL:
                self._cursor = {}
                return

    async def _close(self, socket: Any) -> dict[str, Any]:
        await socket.send(json.dumps({"type": "kosmosx:session.close"}))
        while (event := json.loads(await socket.recv()))["type"] != "kosmosx:session.closed":
            pass
        return dict(event["session"])


class Reader:
    """One who asks over SSE, and comes back to its answer where the stream broke off."""

    def __init__(self, twins: Twins, key: str) -> None:
        self._clients = [
            openai.AsyncOpenAI(base_url=f"{each.base_url}/v1", api_key=key, max_retries=0)
            for each in twins
        ]
        self.answers: list[list[Any]] = []

    async def go_on(self, enough: asyncio.Event) -> None:
        while not enough.is_set():
            seen: list[Any] = []
            while not seen or seen[-1].type not in TERMINAL:
                for official in self._clients:
                    with contextlib.suppress(openai.APIError, httpx.TransportError):
                        await self._read(official, seen)
                        break
                await asyncio.sleep(0.05)
            self.answers.append(seen)
        for official in self._clients:
            await official.close()

    async def _read(self, official: openai.AsyncOpenAI, seen: list[Any]) -> None:
        if seen:
            stream = await official.responses.retrieve(
                seen[0].response.id, stream=True, starting_after=seen[-1].sequence_number
            )
        else:
            stream = await official.responses.create(**ASKED, stream=True)
        async with stream:
            async for event in stream:
                if event.type == "error":
                    assert event.sequence_number == (seen[-1].sequence_number if seen else -1)
                    return
                seen.append(event)


async def test_a_rolling_restart_under_load(twins: Twins) -> None:
    key = twins.first.create_key()
    undisturbed = client(twins.first, key).responses.create(**ASKED)
    talks = [Talk(twins, key) for _ in range(6)]
    readers = [Reader(twins, key) for _ in range(4)]
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        talking = [group.create_task(talk.go_on(enough)) for talk in talks]
        for reader in readers:
            group.create_task(reader.go_on(enough))
        for each in twins:
            assert await asyncio.to_thread(each.stop) == 0
            await asyncio.to_thread(each.start)
        enough.set()
    assert all(talk.moves for talk in talks)
    for reader in readers:
        for events in reader.answers:
            assert [event.sequence_number for event in events] == list(range(len(events)))
            assert text_of(events) == undisturbed.output_text, events[0]
    for talk, done in zip(talks, talking, strict=True):
        session = done.result()
        check(talk, session, undisturbed)


def check(talk: Talk, session: dict[str, Any], undisturbed: Any) -> None:
    """Its answers are whole, and its one receipt is for just these."""
    for events in talk.answers:
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        words = (e["delta"] for e in events if e["type"] == "response.output_text.delta")
        assert "".join(words) == undisturbed.output_text, events[-1]
    assert session["id"] == talk.session_id
    assert session["usage"]["turns"] == len(talk.answers)
    total = len(talk.answers) * undisturbed.usage.total_tokens
    assert session["usage"]["total_tokens"] == total
    (line,) = session["receipt"]["lines"]
    assert line["units"] == total
