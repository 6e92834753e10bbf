"""One set of books for all servers over one Redis: each tells where its books are, and agrees.

A SQLite file serves one host. Servers that share turns, but not books, would bill what others owe.
"""

import asyncio
import logging
import platform
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis

from conversation.ports import LogUnavailable
from conversation.redis_connection import connect, key, milliseconds, reply
from kosmosx_stream.bootstrap import books_path
from kosmosx_stream.settings import Settings

logger = logging.getLogger(__name__)

TOLD_FOR_S = 15.0
"""So long after its last server has ended, a Redis takes servers with other books."""
INTERVAL_S = 5.0
_KEY = key("books", "place")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class OtherBooks(Exception):
    """Servers over this Redis have their books elsewhere."""


async def check_books(settings: Settings) -> None:
    """Agree with the servers over the Redis that was named; the books have to be there already.

    Raises:
        LogUnavailable: it cannot be told now.
        OtherBooks: their books are not these.
    """
    if settings.redis_url is not None:
        async with connect(settings.redis_url.get_secret_value()) as redis:
            await _tell(redis, _place(settings))


async def keep_telling(redis: Redis, settings: Settings) -> None:
    """Tell where the books are for as long as this runs."""
    place = _place(settings)
    while True:
        try:
            await _tell(redis, place)
        except OtherBooks as error:
            logger.error("%s", error)  # noqa: TRY400 - it is all there is to say
        except LogUnavailable as error:
            logger.warning("where the books are could not be told: %s", error)
        await asyncio.sleep(INTERVAL_S)


def _place(settings: Settings) -> str:
    if settings.supabase_url is not None:
        return settings.supabase_url
    file = books_path(settings).stat()
    # Containers of one host have its boot id, and see one file by the same numbers.
    host = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else platform.node()
    return f"a SQLite file ({file.st_dev}:{file.st_ino} on {host})"


async def _tell(redis: Redis, place: str) -> None:
    pipeline = redis.pipeline()
    pipeline.set(_KEY, place, nx=True, px=milliseconds(TOLD_FOR_S))
    cast("Any", pipeline).get(_KEY)
    told = (await reply(pipeline.execute()))[1].decode()
    if told != place:
        raise OtherBooks(
            f"REDIS_URL: the servers over it have their books in {told}, this one in {place};"
            " on one host point KOSMOSX_DATABASE to one file, on several set SUPABASE_URL"
        )
    await reply(redis.pexpire(_KEY, milliseconds(TOLD_FOR_S)))
