"""The chart's job, on a PostgreSQL that has what Supabase brings."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.chart import CHART
from tests.supabase.postgres import postgres

MIGRATIONS = CHART / "migrations"
SUPABASE = """
create role anon; create role authenticated; create role service_role;
create schema auth;
create function auth.uid() returns uuid language sql as 'select null::uuid';
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture
def database(server: str) -> Iterator[str]:
    """A fresh one of Supabase's kind."""
    sql(server, "create database books")
    url = server.rpartition("/")[0] + "/books"
    sql(url, SUPABASE)
    yield url
    sql(server, "drop database books")
    sql(server, "drop role anon; drop role authenticated; drop role service_role")


def sql(url: str, statement: str) -> str:
    command = ["psql", url, "-XqtA", "-v", "ON_ERROR_STOP=1", "-c", statement]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def migrate(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", CHART / "migrate.sh", folder], capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "SUPABASE_DB_URL": url},
    )  # fmt: skip


def test_migrations_are_applied_once(database: str) -> None:
    stems = sorted(path.stem for path in MIGRATIONS.glob("*.sql"))
    assert stems
    first = migrate(database, MIGRATIONS)
    assert first.returncode == 0, first.stderr
    assert first.stdout.split() == [word for stem in stems for word in ("applied", stem)]
    again = migrate(database, MIGRATIONS)
    assert again.stdout.split() == [word for stem in stems for word in ("kept", stem)]
    assert int(sql(database, "select public.schema_version()")) >= 1
    noted = sql(database, "select version from supabase_migrations.schema_migrations order by 1")
    assert noted.split() == [stem.partition("_")[0] for stem in stems]


def test_a_migration_that_fails_leaves_nothing(database: str, tmp_path: Path) -> None:
    (tmp_path / "1_good.sql").write_text("create table good (n int);")
    (tmp_path / "2_bad.sql").write_text("create table half (n int); create tabel typo (n int);")
    (tmp_path / "3_later.sql").write_text("create table later (n int);")
    result = migrate(database, tmp_path)
    assert result.returncode != 0
    assert "tabel" in result.stderr
    tables = sql(database, "select tablename from pg_tables where schemaname = 'public'")
    assert tables.split() == ["good"]
    (tmp_path / "2_bad.sql").write_text("create table whole (n int);")
    assert migrate(database, tmp_path).stdout.split() == [
        "kept", "1_good", "applied", "2_bad", "applied", "3_later",
    ]  # fmt: skip


def test_jobs_at_once_apply_each_once(database: str, tmp_path: Path) -> None:
    folder = shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    jobs = [
        subprocess.Popen(
            ["sh", CHART / "migrate.sh", folder], stdout=subprocess.PIPE, text=True,
            env={"PATH": "/usr/bin:/bin", "SUPABASE_DB_URL": database},
        )
        for _ in range(4)
    ]  # fmt: skip
    said = [job.communicate(timeout=60)[0].split() for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0, 0]
    count = len(list(folder.iterdir()))
    assert sum(words.count("applied") for words in said) == count
