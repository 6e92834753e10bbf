"""The system under test: two servers, one Valkey, one set of books, a proxy on every edge."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Self

from tests.chaos.proxy import Proxy
from tests.pair import ValkeyProcess
from tests.server_process import ServerProcess

LEASE_TTL_S = 1.0
TOKENS_PER_S = 40.0
GRACE_S = 10.0
EXIT_TIMEOUT_S = 4.0


class Node:
    """One server, with the proxies before and behind it."""

    def __init__(self, folder: Path, valkey: ValkeyProcess, shared: dict[str, str]) -> None:
        folder.mkdir()
        self.to_valkey = Proxy(valkey.port)
        self._folder, self._shared = folder, shared
        self.server: ServerProcess
        self.front: Proxy

    async def start(self) -> None:
        await self.to_valkey.start()
        url = f"redis://127.0.0.1:{self.to_valkey.port}/0"
        self.server = ServerProcess(
            self._folder,
            command=[sys.executable, "-m", "tests.chaos.saboteur"],
            **self._shared,
            REDIS_URL=url,
        )
        self.front = Proxy(self.server.port)
        await self.front.start()
        await self.restart()

    async def restart(self, **environment: str) -> None:
        """Start the server, which is down; `environment` is for this one life."""
        await asyncio.to_thread(self.server.start, **environment)

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.stop)
        await self.front.stop()
        await self.to_valkey.stop()

    def signal(self, how: signal.Signals) -> None:
        os.kill(self.server.pid, how)

    async def gone(self) -> None:
        """Wait until it ends by itself, some seconds at most."""
        await asyncio.to_thread(self.server.wait, EXIT_TIMEOUT_S)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.front.port}"


class World:
    """Start it with `async with`."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.valkey = ValkeyProcess(folder / "valkey")
        self.database = folder / "books.db"
        shared = {
            "KOSMOSX_DATABASE": str(self.database),
            "KOSMOSX_KEY_PEPPER": "shared by both servers",
            "KOSMOSX_ENGINE": "deterministic",
            "KOSMOSX_DETERMINISTIC_RATE": str(TOKENS_PER_S),
            "KOSMOSX_LEASE_TTL_S": str(LEASE_TTL_S),
            "KOSMOSX_SWEEP_INTERVAL_S": "0.1",
            "KOSMOSX_SESSION_IDLE_S": "5",
            "KOSMOSX_DISCONNECT_GRACE_S": str(GRACE_S),
            "KOSMOSX_DRAIN_TIMEOUT_S": "0.5",
        } | environment
        self.nodes = tuple(Node(folder / name, self.valkey, shared) for name in ("one", "two"))

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.valkey.start)
        for node in self.nodes:
            await node.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in self.nodes:
            await node.stop()
        self.valkey.end()

    @property
    def key(self) -> str:
        return self.nodes[0].server.key
