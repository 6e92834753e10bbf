"""Waiting for an answer that goes out in one piece, while its client waits too."""

import asyncio

from starlette.requests import Request
from starlette.types import Receive

from kosmosx_stream.services import Services

CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that has left; nobody reads it."""


async def until_ended(request: Request, services: Services, response_id: str) -> bool:
    """Read the response to its end; False if the client left before that.

    Raises:
        ApiError: the response cannot be followed.
    """
    reading = asyncio.create_task(services.hub.until_ended(response_id))
    leaving = asyncio.create_task(left(request.receive))
    try:
        await asyncio.wait([reading, leaving], return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            reading.result()
        return reading.done()
    finally:
        for task in (reading, leaving):
            task.cancel()
        await asyncio.gather(reading, leaving, return_exceptions=True)


async def left(receive: Receive) -> None:
    """Wait until the client has left; what it says before is nothing to anybody."""
    while (await receive())["type"] != "http.disconnect":
        pass
