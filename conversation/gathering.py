"""Calls that are made at the same time go to the store as one, each with an answer of its own.

It knows neither the calls nor the store.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Call = TypeVar("Call")
Answer = TypeVar("Answer")

MOST_AT_ONCE = 1000
"""Calls that go together: the store does nothing else meanwhile."""


class Gathering(Generic[Call, Answer]):
    """Gathers the calls of one turn of the event loop, and those made while others are answered."""

    def __init__(self, make: Callable[[Sequence[Call]], Awaitable[Sequence[Answer]]]) -> None:
        """`make` makes the calls, and returns their answers in order; it raises for all of them."""
        self._make = make
        self._waiting: list[tuple[Call, asyncio.Future[Answer]]] = []
        self._making: asyncio.Task[None] | None = None

    async def __call__(self, call: Call) -> Answer:
        """Make a call. Who is cancelled meanwhile learns nothing; the call is made all the same."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((call, answer))
        if self._making is None or self._making.done():
            self._making = loop.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            try:
                answers = await self._make([call for call, _ in batch])
            except Exception as error:  # noqa: BLE001 - the callers'
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
            else:
                for (_, answer), found in zip(batch, answers, strict=True):
                    if not answer.done():
                        answer.set_result(found)
