"""The functions of `supabase/migrations`, called over HTTP with the service key.

Every function may be called again when no answer came, so one that was lost on a broken connection
is called a second time here. What is compound goes and comes as text of JSON.
"""

from typing import Any, Self, TypeVar

import httpx
import msgspec
from postgrest import APIError, AsyncPostgrestClient

from metering.errors import (
    EmailTaken,
    KeyEnded,
    NotFound,
    SessionClosed,
    StoreTooNew,
    StoreUnavailable,
)
from metering.supabase.connection import connect

T = TypeVar("T")

SCHEMA_VERSION = 2
"""What `schema_version()` says after the newest migration."""

MAX_CONNECTIONS = 32

# PostgREST's and PostgreSQL's codes.
_NOT_FOUND = "PT404"
_CONFLICTS = {
    "session_closed": SessionClosed,
    "email_taken": EmailTaken,
    "key_ended": KeyEnded,
}
"""What "PT409" says in its details."""
_NO_SUCH_FUNCTION = frozenset({"PGRST202", "PGRST205", "42883"})
_FAULTY_INPUT = ("22", "23")
"""Classes of errors: data exceptions and broken constraints. They are not mended by waiting."""


class Database:
    """One client for the whole process. Made by `open`."""

    def __init__(self, http: httpx.AsyncClient, rest: AsyncPostgrestClient) -> None:
        self._http = http
        self._rest = rest

    @classmethod
    async def open(cls, url: str, service_key: str, *, timeout_s: float = 5.0) -> Self:
        """Reach the project, and see that it has this program's tables.

        Args:
            url: of the project, e.g. `https://abcd.supabase.co`.
            service_key: the secret one (`sb_secret_…`, or a JWT of the role `service_role`).
            timeout_s: how long to wait for an answer.

        Raises:
            StoreTooNew: a newer version of this program migrated it.
            StoreUnavailable: it cannot be reached, refuses the key, or was not migrated.
        """
        http = connect(url, service_key, timeout_s=timeout_s, max_connections=MAX_CONNECTIONS)
        rest = AsyncPostgrestClient(
            f"{url.rstrip('/')}/rest/v1", headers=dict(http.headers), http_client=http
        )
        database = cls(http, rest)
        try:
            await database._check_version()
        except BaseException:
            await database.close()
            raise
        return database

    async def close(self) -> None:
        await self._http.aclose()

    async def call(self, function: str, **arguments: Any) -> Any:
        """What the function returns, as JSON has it.

        Raises:
            NotFound, SessionClosed, EmailTaken, KeyEnded: as the function says.
            StoreUnavailable: no answer, or the database cannot give one now.
        """
        try:
            try:
                return await self._send(function, arguments)
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                return await self._send(function, arguments)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise StoreUnavailable(f"{function}: {reason}") from error
        except APIError as error:
            raise _meaning(function, error) from error

    async def read(self, type_: type[T], function: str, **arguments: Any) -> T:
        """What the function returns as text of JSON."""
        return msgspec.json.decode(await self.call(function, **arguments), type=type_)

    async def find(self, type_: type[T], function: str, **arguments: Any) -> T | None:
        """As `read`; None where it returns null."""
        found: str | None = await self.call(function, **arguments)
        return None if found is None else msgspec.json.decode(found, type=type_)

    async def _send(self, function: str, arguments: dict[str, Any]) -> Any:
        return (await self._rest.rpc(function, arguments).execute()).data

    async def _check_version(self) -> None:
        version = await self.call("schema_version")
        if version > SCHEMA_VERSION:
            raise StoreTooNew(f"schema {version}, this program knows {SCHEMA_VERSION}")
        if version < SCHEMA_VERSION:
            raise StoreUnavailable(
                f"the project has schema {version} of {SCHEMA_VERSION}: apply supabase/migrations"
            )


def text(value: object) -> str:
    """A compound argument, as text of JSON."""
    return msgspec.json.encode(value).decode()


def _meaning(function: str, error: APIError) -> Exception:
    code, message = error.code or "", error.message or ""
    if code == _NOT_FOUND:
        return NotFound(message)
    if error.details in _CONFLICTS:
        return _CONFLICTS[error.details](message)
    if code in _NO_SUCH_FUNCTION:
        return StoreUnavailable(f"the project lacks {function}(): apply supabase/migrations")
    if code[:2] in _FAULTY_INPUT:
        return error
    return StoreUnavailable(f"{function}: {code} {message}")
