"""Servers over one Redis have one set of books, or do not start."""

import asyncio
from pathlib import Path

import pytest

from conversation.redis_connection import connect
from kosmosx_stream import shared_books
from kosmosx_stream.embedded_valkey import embedded_valkey
from kosmosx_stream.settings import Settings
from kosmosx_stream.shared_books import OtherBooks, check_books, keep_telling

SUPABASE = {
    "SUPABASE_URL": "https://a.supabase.co",
    "SUPABASE_SERVICE_KEY": "sb_secret_1",
    "key_pepper": "p" * 16,
}


def with_file(folder: Path, url: str) -> Settings:
    folder.mkdir()
    (folder / "kosmosx.db").touch()
    return Settings(REDIS_URL=url, data_dir=folder)


async def test_servers_with_one_file_agree_and_others_are_refused(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url:
        first = with_file(tmp_path / "first", url)
        (tmp_path / "linked.db").symlink_to(tmp_path / "first" / "kosmosx.db")
        await check_books(first)
        await check_books(first)
        await check_books(Settings(REDIS_URL=url, database=tmp_path / "linked.db"))
        for other in (with_file(tmp_path / "second", url), Settings(REDIS_URL=url, **SUPABASE)):
            with pytest.raises(OtherBooks, match="on several set SUPABASE_URL"):
                await check_books(other)


async def test_servers_with_one_project_agree(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url:
        await check_books(Settings(REDIS_URL=url, **SUPABASE))
        await check_books(Settings(REDIS_URL=url, **SUPABASE))
        with pytest.raises(OtherBooks, match="this one in a SQLite file"):
            await check_books(with_file(tmp_path / "file", url))


async def test_the_place_is_told_while_a_server_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And forgotten after it: other books may then be used."""
    told = asyncio.Semaphore(0)

    async def between(_: float) -> None:
        told.release()
        await asyncio.Event().wait()

    async with embedded_valkey(tmp_path) as url, connect(url) as redis:
        settings = Settings(REDIS_URL=url, **SUPABASE)
        await check_books(settings)
        await redis.pexpire(shared_books._KEY, 10)
        with monkeypatch.context() as patch:
            patch.setattr(shared_books.asyncio, "sleep", between)
            telling = asyncio.create_task(keep_telling(redis, settings))
            await told.acquire()
        assert await redis.pttl(shared_books._KEY) > 10_000
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        await redis.delete(shared_books._KEY)
        await check_books(with_file(tmp_path / "file", url))


async def test_an_own_valkey_is_nobody_elses(tmp_path: Path) -> None:
    await check_books(Settings(data_dir=tmp_path))
