"""Two real servers over one Valkey and one set of books, as on one host behind a balancer."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from kosmosx_stream.embedded_valkey import find_binary
from tests.server_process import ServerProcess, free_port

START_TIMEOUT_S = 20.0


class ValkeyProcess:
    """A Valkey of its own on a TCP port, every write on disk before it is acknowledged."""

    def __init__(self, folder: Path, **options: str) -> None:
        """`options` overrule those of the configuration."""
        folder.mkdir()
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._options = {
            "port": str(self.port),
            "dir": str(folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
        } | options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it has loaded what it kept."""
        arguments = [part for name, value in self._options.items() for part in (f"--{name}", value)]
        with (self._folder / "valkey.out").open("ab") as out:
            self._process = subprocess.Popen([find_binary(), *arguments], stdout=out, stderr=out)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError((self._folder / "valkey.out").read_text()[-2000:])
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with Redis.from_url(self.url, socket_timeout=1) as redis:
                return bool(redis.ping())
        except RedisError:
            return False

    def send(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def forget(self) -> None:
        """Lose everything that was written."""
        shutil.rmtree(self._folder / "appendonlydir", ignore_errors=True)


class Pair:
    """Servers `one` and `two`; a key of either is good on both."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.valkey = ValkeyProcess(folder / "valkey")
        self.database = folder / "books.db"
        self._shared = {
            "REDIS_URL": self.valkey.url,
            "KOSMOSX_DATABASE": str(self.database),
            "KOSMOSX_KEY_PEPPER": "shared by both servers",
            "KOSMOSX_ENGINE": "deterministic",
        } | environment
        self.one, self.two = (self._server(folder / name) for name in ("one", "two"))

    def _server(self, data_dir: Path) -> ServerProcess:
        data_dir.mkdir()
        return ServerProcess(data_dir, **self._shared)

    @property
    def servers(self) -> tuple[ServerProcess, ServerProcess]:
        return self.one, self.two

    def start(self) -> None:
        self.valkey.start()
        for server in self.servers:
            server.start()

    def stop(self) -> None:
        for server in self.servers:
            server.stop()
        self.valkey.end()
