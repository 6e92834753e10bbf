"""A process of its own on a store file, told what to do on its command line and its stdin.

python store_process.py record DB COUNT     records turns, prints each id once it is acknowledged
python store_process.py die DB STATEMENT    records a session's last turn, killed as that SQL
                                            statement begins
python store_process.py die_closing DB STATEMENT   the same, as it closes a session
python store_process.py close DB COUNT NAME closes sessions as stdin says when, prints the results
python store_process.py open DB             opens the file as stdin says when
"""

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from metering.ledger import Closing
from metering.sqlite.database import Database
from metering.sqlite.store import open_sqlite, sqlite_store
from metering.store import Store
from metering.usage import ledger_rows
from tests.metering.samples import BOOK, turn


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this is its protocol


async def record(path: Path, count: str) -> None:
    store = await open_sqlite(path)
    for number in range(int(count)):
        usage = turn(f"resp_{number}", images=1)
        await store.ledger.record_turn(usage, ledger_rows(usage, BOOK))
        say(usage.response_id)
    await store.close()


async def die(path: Path, statement: str) -> None:
    store = await doomed_store(path, int(statement))
    usage = turn(images=1, detections=1)
    closing = Closing(2_000.0, "finished")
    await store.ledger.record_turn(usage, ledger_rows(usage, BOOK), closing)
    say("acknowledged")
    await store.close()


async def die_closing(path: Path, statement: str) -> None:
    store = await doomed_store(path, int(statement))
    await store.ledger.close_session("acct_1", "sess_1", 2_000.0, "client")
    say("acknowledged")
    await store.close()


async def doomed_store(path: Path, left: int) -> Store:
    """A store whose process is killed as it begins the SQL statement after so many others."""
    database = await Database.open(path)

    def trace(_: str) -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    await database.run(sqlite3.Connection.set_trace_callback, trace)
    return sqlite_store(database)


async def close(path: Path, count: str, name: str) -> None:
    store = await open_sqlite(path)
    say("ready")
    sys.stdin.readline()
    for number in range(int(count)):
        closed = await store.ledger.close_session("acct_1", f"sess_{number}", 5.0, name)
        say(msgspec.json.encode(closed).decode())
    await store.close()


async def open_(path: Path) -> None:
    say("ready")
    sys.stdin.readline()
    store = await open_sqlite(path)
    await store.close()


if __name__ == "__main__":
    commands: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
        "record": record,
        "die": die,
        "die_closing": die_closing,
        "close": close,
        "open": open_,
    }
    asyncio.run(commands[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:]))
