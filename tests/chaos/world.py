"""The system under test: two servers, one Valkey, one set of books, a proxy on every edge."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from redis import Redis

from kosmosx_stream.settings import Settings
from tests.chaos.forked_server import ForkedServer
from tests.chaos.proxy import Proxy
from tests.chaos.saboteur import ORDERS, TELL
from tests.pair import ValkeyProcess

TOKENS_PER_S = 40.0
QUICK = {
    "KOSMOSX_ENGINE": "deterministic",
    "KOSMOSX_DETERMINISTIC_RATE": str(TOKENS_PER_S),
    "KOSMOSX_SESSION_IDLE_S": "3",
    "KOSMOSX_SETTLE_TIMEOUT_S": "2",
    "KOSMOSX_DRAIN_TIMEOUT_S": "0.5",
}
"""Less patience than by default, so that more happens in a minute. Leases are as they come."""
STARTS = 20
"""A server that starts while its store is away gives up, and its supervisor starts it again."""
START_PAUSE_S = 0.5
"""Before it does: what is full, or may evict, is refused at once, for as long as it is so."""


class Target:
    """What one fault at a time breaks."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()


class Edge(Target, Proxy):
    """A proxy that faults break."""

    def __init__(self, port: int) -> None:
        Target.__init__(self)
        Proxy.__init__(self, port)


class Node(Target):
    """One server, with the edges before and behind it."""

    def __init__(self, folder: Path, valkey_port: int, shared: Mapping[str, str]) -> None:
        super().__init__()
        folder.mkdir()
        self.to_valkey = Edge(valkey_port)
        self._folder, self._shared = folder, shared
        self._orders = folder / ORDERS
        self.server: ForkedServer
        self.front: Edge
        self.mishaps: list[str] = []

    async def start(self) -> None:
        await self.to_valkey.start()
        self.server = ForkedServer(
            self._folder,
            **self._shared,
            REDIS_URL=f"redis://127.0.0.1:{self.to_valkey.port}/0",
            CHAOS_ORDERS=str(self._orders),
        )
        self.front = Edge(self.server.port)
        await self.front.start()
        await self.restart()

    async def restart(self) -> None:
        """Start the server, which is down."""
        for left in reversed(range(STARTS)):
            try:
                await asyncio.to_thread(self.server.start)
            except RuntimeError:
                if not left:
                    raise
                await asyncio.sleep(START_PAUSE_S)
            else:
                return

    async def drain(self) -> None:
        """SIGTERM, and wait for the end; one that does not come is a fault of the server's."""
        try:
            await asyncio.to_thread(self.server.stop)
        except subprocess.TimeoutExpired:
            self.mishaps.append("a server did not end on SIGTERM")
            self.signal(TELL)
            await asyncio.to_thread(self.server.kill)

    async def stop(self) -> None:
        await self.drain()
        await self.front.stop()
        await self.to_valkey.stop()

    def signal(self, how: signal.Signals) -> None:
        os.kill(self.server.pid, how)

    def order(self, **order: Any) -> None:
        """Tell the saboteur inside."""
        self._orders.write_text(json.dumps(order))
        self.signal(signal.SIGUSR1)

    async def dies_within(self, timeout_s: float) -> bool:
        """Wait for its end."""
        return await asyncio.to_thread(self.server.wait, timeout_s)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.front.port}"


class Store(Target):
    """The Valkey of both servers."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.valkey = ValkeyProcess(folder, **{"enable-debug-command": "local"})

    def configure(self, **settings: str) -> None:
        """Change settings while it runs."""
        with Redis.from_url(self.valkey.url) as redis:
            for name, value in settings.items():
                redis.config_set(name.replace("_", "-"), value)

    def slow_disk(self, seconds: float) -> None:
        """Let each write take so long."""
        with Redis.from_url(self.valkey.url) as redis:
            redis.execute_command("DEBUG", "AOF-FLUSH-SLEEP", int(seconds * 1e6))

    def rewrite(self) -> None:
        """Have it begin to write its file anew."""
        with Redis.from_url(self.valkey.url) as redis:
            redis.bgrewriteaof()


class Books(Target):
    """The database of both servers."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    async def locked(self, seconds: float) -> None:
        """Hold the lock that every write needs."""
        books = sqlite3.connect(
            self.path, isolation_level=None, timeout=30, check_same_thread=False
        )
        try:
            await asyncio.to_thread(books.execute, "BEGIN IMMEDIATE")
            await asyncio.sleep(seconds)
        finally:
            books.close()


class World:
    """Start it with `async with`."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.store = Store(folder / "valkey")
        self.books = Books(folder / "books.db")
        shared = QUICK | {"KOSMOSX_KEY_PEPPER": "shared by both servers"} | environment
        if "SUPABASE_URL" not in shared:
            shared["KOSMOSX_DATABASE"] = str(self.books.path)
        self.lease_ttl_s: float = Settings.model_fields["lease_ttl_s"].default
        self.nodes = tuple(
            Node(folder / name, self.store.valkey.port, shared) for name in ("one", "two")
        )

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.store.valkey.start)
        for node in self.nodes:
            await node.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in self.nodes:
            await node.stop()
        self.store.valkey.end()

    @property
    def key(self) -> str:
        return self.nodes[0].server.key
