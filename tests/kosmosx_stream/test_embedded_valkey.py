"""The embedded server keeps what it acknowledged, to itself, and ends with its parent."""

import asyncio
import os
import select
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from redis.asyncio import Redis

from conversation.redis_connection import connect, patiently
from conversation.redis_durability import check_settings
from kosmosx_stream.embedded_valkey import (
    DataDirInUse,
    EmbeddedValkeyError,
    embedded_valkey,
    find_binary,
)

PARENT = """
import asyncio, sys
from pathlib import Path
from conversation.redis_connection import connect
from kosmosx_stream.embedded_valkey import embedded_valkey

async def main():
    async with embedded_valkey(Path(sys.argv[1])) as url, connect(url) as redis:
        await redis.set("acknowledged", "yes")
        print((await redis.info("server"))["process_id"], flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def running(data_dir: Path) -> AsyncIterator[Redis]:
    async with embedded_valkey(data_dir) as url, connect(url) as redis:
        yield redis


async def pid_of(redis: Redis) -> int:
    return int((await redis.info("server"))["process_id"])


def wait_until_ended(pid: int) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended, _, _ = select.select([process], [], [], 20)
    os.close(process)
    assert ended


async def test_it_loses_nothing_and_is_private(tmp_path: Path) -> None:
    async with running(tmp_path / "new" / "data") as redis:
        assert await check_settings(redis) == []
        assert (await redis.config_get("port"))["port"] == "0"
    folder = tmp_path / "new" / "data" / "valkey"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_data_outlives_the_server(tmp_path: Path) -> None:
    async with running(tmp_path) as redis:
        await redis.set("kept", "yes")
        pid = await pid_of(redis)
    wait_until_ended(pid)
    async with running(tmp_path) as redis:
        assert await redis.get("kept") == b"yes"


async def test_a_second_server_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as redis:
        with pytest.raises(DataDirInUse, match="another server runs on"):
            async with embedded_valkey(tmp_path, lock_wait_s=0):
                pass
        assert await redis.ping()


async def test_a_successor_waits_for_the_predecessor_to_end(tmp_path: Path) -> None:
    """As after a quick restart: the old server may still be closing its files."""
    async with asyncio.TaskGroup() as tasks, running(tmp_path) as redis:
        await redis.set("kept", "yes")
        successor = tasks.create_task(read_with_own_server(tmp_path))
        await asyncio.sleep(0)
    assert successor.result() == b"yes"


async def read_with_own_server(data_dir: Path) -> object:
    async with running(data_dir) as redis:
        return await redis.get("kept")


async def test_it_ends_with_a_killed_parent_and_keeps_the_data(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, tmp_path, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert os.getsid(pid) != os.getsid(parent.pid)  # Ctrl-C reaches the parent alone.
    parent.kill()
    await parent.communicate()
    wait_until_ended(pid)
    async with running(tmp_path) as redis:
        assert await redis.get("acknowledged") == b"yes"


async def test_a_server_that_dies_is_started_again(tmp_path: Path) -> None:
    async with running(tmp_path) as redis:
        await redis.set("kept", "yes")
        first = await pid_of(redis)
        os.kill(first, signal.SIGKILL)
        wait_until_ended(first)
        assert await patiently(lambda: redis.get("kept"), 20) == b"yes"
        assert await pid_of(redis) != first


async def test_a_torn_last_write_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    async with running(tmp_path) as redis:
        await redis.set("kept", "yes")
        await redis.set("torn", "no longer")
    (journal,) = (tmp_path / "valkey" / "appendonlydir").glob("*.incr.aof")
    os.truncate(journal, journal.stat().st_size - 5)
    async with running(tmp_path) as redis:
        assert await redis.get("kept") == b"yes"
        assert await redis.get("torn") is None


async def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    data_dir = tmp_path / ("long" * 30)
    async with embedded_valkey(data_dir) as url, connect(url) as redis:
        socket = Path(unquote(urlparse(url).path))
        assert data_dir not in socket.parents
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        await redis.set("kept", "yes")
    assert not socket.parent.exists()
    async with running(data_dir) as redis:
        assert await redis.get("kept") == b"yes"


async def test_odd_characters_in_the_path(tmp_path: Path) -> None:
    async with running(tmp_path / "my data?#%20ü") as redis:
        assert await redis.ping()


async def test_a_damaged_journal_is_reported(tmp_path: Path) -> None:
    async with running(tmp_path) as redis:
        await redis.set("kept", "yes")
    (manifest,) = (tmp_path / "valkey" / "appendonlydir").glob("*.manifest")
    manifest.write_text("nonsense\n")
    with pytest.raises(EmbeddedValkeyError, match=r"did not start: .*manifest"):
        async with embedded_valkey(tmp_path):
            pass


def test_redis_on_the_path_serves_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "redis-server"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary() == binary


def test_without_a_binary_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedValkeyError, match="set REDIS_URL"):
        find_binary()
