"""What a new data folder gets: the secret of its keys, and a first account with a first key."""

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from kosmosx_stream.embedded_valkey import LONGEST_SOCKET_PATH, DataDirInUse, embedded_valkey
from kosmosx_stream.ids import new_id
from kosmosx_stream.settings import Settings
from metering import keys
from metering.accounts import Account
from metering.errors import StoreTooNew, StoreUnavailable
from metering.identities import Identities, LocalIdentities
from metering.issuing import Issuer
from metering.prices import PriceBook, PricesInvalid, default_price_book
from metering.sqlite.store import open_sqlite
from metering.store import Store
from metering.supabase.identities import SupabaseIdentities
from metering.supabase.store import open_supabase

PEPPER_BYTES = 32
SOCKET_NAME_BYTES = 48
"""Room for the longest name of a socket."""


def prepare_data_dir(settings: Settings) -> None:
    """Make the folder and its log folder, for this user only.

    Raises:
        OSError: it cannot be made or written.
    """
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (settings.data_dir / "logs").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"KOSMOSX_DATA_DIR (--data-dir) is '{settings.data_dir}': expected a folder that can be"
            f" made and written: {error.strerror}"
        ) from error


@contextlib.contextmanager
def owned(settings: Settings) -> Iterator[None]:
    """Make the folder, and be the only server on it.

    Raises:
        DataDirInUse: another server runs on the folder.
        OSError: it cannot be made or written.
    """
    prepare_data_dir(settings)
    with (settings.data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataDirInUse(
                f"another server runs on {settings.data_dir}; take another data folder"
            ) from None
        yield


def keep_temporary_files(settings: Settings) -> None:
    """Send this process's temporary files, and its children's, into the data folder.

    The engine makes sockets there: where their paths would get too long, the system's folder stays.
    """
    folder = (settings.data_dir / "tmp").absolute()
    if len(str(folder)) + SOCKET_NAME_BYTES > LONGEST_SOCKET_PATH:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


@contextlib.asynccontextmanager
async def redis_url(settings: Settings) -> AsyncIterator[str]:
    """Where memory and log are: a Redis that was named, or a Valkey that runs meanwhile."""
    if settings.redis_url is not None:
        yield settings.redis_url.get_secret_value()
        return
    async with embedded_valkey(settings.data_dir) as url:
        yield url


def load_prices(settings: Settings) -> PriceBook:
    """The operator's price book, or the published one.

    Raises:
        PricesInvalid: it cannot be read, or a field is wrong; the message names both.
    """
    book = _read_prices(settings.prices)
    if settings.fallback_model is not None and book.fallback is None:
        raise PricesInvalid(
            "KOSMOSX_FALLBACK_MODEL: expected its prices in the price book's [fallback], which it"
            " has not"
        )
    return book


def _read_prices(path: Path | None) -> PriceBook:
    if path is None:
        return default_price_book()
    try:
        return PriceBook.load(path.read_bytes())
    except OSError as error:
        raise PricesInvalid(f"KOSMOSX_PRICES is '{path}': {error.strerror}") from error
    except PricesInvalid as error:
        raise PricesInvalid(f"KOSMOSX_PRICES is '{path}': {error}") from error


def books_path(settings: Settings) -> Path:
    """The SQLite file of the books, where they are in one."""
    return settings.database or settings.data_dir / "kosmosx.db"


@contextlib.asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[Store]:
    """The books of this data folder, or those that it shares, until this is left.

    Raises:
        StoreTooNew: a newer version of this program migrated them.
        StoreUnavailable: they cannot be opened; the message names the setting.
    """
    store = await _open_store(settings)
    try:
        yield store
    finally:
        await store.close()


async def _open_store(settings: Settings) -> Store:
    project = settings.supabase_project
    if project is None:
        path = books_path(settings)
        with _naming(f"the books in {path} (KOSMOSX_DATABASE)"):
            return await open_sqlite(path)
    with _naming(f"SUPABASE_URL={project[0]} with SUPABASE_SERVICE_KEY"):
        return await open_supabase(*project)


@contextlib.asynccontextmanager
async def opened_identities(settings: Settings, store: Store) -> AsyncIterator[Identities]:
    """Where people sign in: with the books' own passwords, or with Supabase Auth.

    Raises:
        StoreUnavailable: it cannot be reached.
    """
    project = settings.supabase_project
    identities: Identities = LocalIdentities(store.accounts)
    if project is not None:
        identities = await SupabaseIdentities.open(*project)
    try:
        yield identities
    finally:
        await identities.close()


@contextlib.contextmanager
def _naming(setting: str) -> Iterator[None]:
    try:
        yield
    except (StoreTooNew, StoreUnavailable) as error:
        raise type(error)(f"{setting}: {error}") from error


def load_pepper(settings: Settings) -> bytes:
    """The secret in the hashes of keys: from the settings, or made once and kept."""
    if settings.key_pepper is not None:
        return settings.key_pepper.get_secret_value().encode()
    path = settings.data_dir / "pepper"
    if not path.exists():
        _write_once(path, secrets.token_hex(PEPPER_BYTES))
    return path.read_text().strip().encode()


async def first_key(store: Store, settings: Settings) -> str | None:
    """The key that the first start made; it is kept, readable for this user only.

    None if it is no good any more: revoked, rotated, or made for other books or another pepper.
    """
    path = settings.data_dir / "first_key"
    if not path.exists():
        account_id = await create_account(store, "default")
        issuer = Issuer(store.accounts, load_pepper(settings))
        made = await issuer.issue(account_id, at=time.time(), label="first")
        _write_once(path, made.token)
    token = path.read_text().strip()
    return token if await _opens(store, settings, token) else None


async def _opens(store: Store, settings: Settings, token: str) -> bool:
    try:
        key = await store.accounts.find_key(keys.parse(token))
    except keys.InvalidKey:
        return False
    if key is None or not key.valid(time.time()):
        return False
    return keys.matches(keys.mac(token, load_pepper(settings)), key.hash)


async def create_account(store: Store, name: str) -> str:
    """A new account's id."""
    account = Account(id=new_id("acct"), name=name, created_at=time.time())
    return (await store.accounts.create_account(account)).id


def _write_once(path: Path, secret: str) -> None:
    """Write a secret for this user only; whoever comes second leaves the first one's."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(secret + "\n")
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
