"""Ends tasks for good."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine

PATIENCE_S = 10.0
"""Longer than what a task has to finish when it is cancelled."""


@contextlib.asynccontextmanager
async def meanwhile(*works: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run each in a task of its own until this is left; then they are ended.

    One that fails before ends nothing else.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        await end(*tasks)


async def end(*tasks: asyncio.Task[None], patience_s: float = PATIENCE_S) -> None:
    """Cancel the tasks, again and again, until they have ended.

    A cancellation can get lost: where a library's connection fails in the same moment, its error
    takes the place of the `CancelledError`, and what lives with such errors goes on for ever.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=patience_s)
