"""Client secrets: used once, from their origin, in time; and what a browser can do with one."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from conversation.redis_connection import connect as connect_redis
from kosmosx_stream.access.client_secrets import REMEMBERED_S, SCOPES, ClientSecrets
from kosmosx_stream.access.grant import Grant, Granted
from kosmosx_stream.protocol.errors import AuthenticationError
from metering.accounts import Account
from metering.issuing import Issuer
from metering.sqlite.store import open_sqlite
from metering.store import Store
from tests.conftest import Twins
from tests.kosmosx_stream.clients import MODEL, TERMINAL, client
from tests.server_process import ServerProcess

PEPPER = b"pepper" * 4
ORIGIN = "https://app.example.com"
SHORT = {"model": MODEL, "max_output_tokens": 16, "input": "Hi"}


# -- minted and redeemed -----------------------------------------------------------------------


class Desk:
    """A desk that mints and redeems, on a clock that the test turns."""

    def __init__(self, redis: Redis, store: Store, key_id: str) -> None:
        self.now = 1000.0
        self.redis = redis
        self.store = store
        self.secrets = ClientSecrets(redis, store.accounts, PEPPER, clock=lambda: self.now)
        self.grant = Grant(
            account_id="acct",
            key_id=key_id,
            session_id="sess_1",
            origin=ORIGIN,
            expires_at=self.now + 60,
            conversation_id="conv_1",
            max_output_tokens=100,
        )

    async def refusal(self, secret: str, origin: str | None = ORIGIN) -> str:
        with pytest.raises(AuthenticationError) as refused:
            await self.secrets.redeem(secret, origin)
        return refused.value.code


@pytest.fixture
async def desk(twins_redis: str, tmp_path: Path) -> AsyncIterator[Desk]:
    store = await open_sqlite(tmp_path / "books.db")
    await store.accounts.create_account(Account(id="acct", name="", created_at=0))
    key = await Issuer(store.accounts, PEPPER).issue("acct", at=0)
    redis = connect_redis(twins_redis)
    yield Desk(redis, store, key.record.id)
    await redis.aclose()
    await store.close()


async def test_a_secret_is_good_once(desk: Desk) -> None:
    secret = await desk.secrets.mint(desk.grant)
    assert secret.startswith("ek_")
    granted = await desk.secrets.redeem(secret, ORIGIN)
    assert granted == Granted(
        account_id="acct", key_id=desk.grant.key_id, scopes=SCOPES, grant=desk.grant
    )
    assert await desk.refusal(secret) == "client_secret_used"


async def test_of_many_at_once_one_gets_in(desk: Desk) -> None:
    secret = await desk.secrets.mint(desk.grant)
    attempts = [desk.secrets.redeem(secret, ORIGIN) for _ in range(20)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(outcome, Granted) for outcome in outcomes) == 1
    refusals = {each.code for each in outcomes if isinstance(each, AuthenticationError)}
    assert refusals == {"client_secret_used"}


async def test_a_secret_expires(desk: Desk) -> None:
    secret = await desk.secrets.mint(desk.grant)
    desk.now += 60
    assert await desk.refusal(secret) == "client_secret_expired"


@pytest.mark.parametrize("origin", [None, "", "null", ORIGIN + ":444", "http://app.example.com"])
async def test_another_origin_does_not_use_it_up(desk: Desk, origin: str | None) -> None:
    secret = await desk.secrets.mint(desk.grant)
    assert await desk.refusal(secret, origin) == "origin_not_allowed"
    assert await desk.secrets.redeem(secret, ORIGIN)


async def test_a_revoked_key_s_secrets_are_worth_nothing(desk: Desk) -> None:
    secret = await desk.secrets.mint(desk.grant)
    await desk.store.accounts.revoke_key("acct", desk.grant.key_id, 1.0)
    assert await desk.refusal(secret) == "invalid_client_secret"


async def test_what_was_never_minted_is_invalid(desk: Desk) -> None:
    secret = await desk.secrets.mint(desk.grant)
    for other in ("ek_", "ek_" + "A" * 43, secret[:-1], secret + "A", secret.swapcase()):
        assert await desk.refusal(other) == "invalid_client_secret"


async def test_only_a_keyed_hash_is_kept_and_not_for_long(desk: Desk) -> None:
    before = set(await desk.redis.keys("*"))
    secret = await desk.secrets.mint(desk.grant)
    (name,) = set(await desk.redis.keys("*")) - before
    assert secret.encode() not in name + await desk.redis.get(name)
    assert 60 < await desk.redis.ttl(name) <= 60 + REMEMBERED_S
    await desk.secrets.redeem(secret, ORIGIN)
    assert 60 < await desk.redis.ttl(name) <= 60 + REMEMBERED_S
    assert await desk.redis.get(name) == b""


# -- used by browsers --------------------------------------------------------------------------


class Tenant:
    """An account's server: it mints secrets for its pages."""

    def __init__(self, server: ServerProcess, key: str) -> None:
        self.server = server
        self.key = key

    def mint(self, **wanted: Any) -> dict[str, Any]:
        answer = self.post("/v1/client_secrets", {"origin": ORIGIN} | wanted)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return answer.json()

    def post(self, path: str, body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.post(self.server.base_url + path, json=body, headers=headers)

    def session(self, session_id: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}"}
        url = f"{self.server.base_url}/v1/sessions/{session_id}"
        return httpx.get(url, headers=headers).json()


@pytest.fixture
def tenant(twins: Twins) -> Tenant:
    return Tenant(twins.first, twins.first.key)


@contextmanager
def browser(
    server: ServerProcess, secret: str, *, origin: str = ORIGIN, query: str = ""
) -> Iterator[ClientConnection]:
    """A WebSocket as a page opens it."""
    url = server.base_url.replace("http", "ws") + "/v1/responses" + query
    offered = ["realtime", f"openai-insecure-api-key.{secret}"]
    with connect(url, subprotocols=offered, origin=origin) as socket:
        yield socket


def refused(server: ServerProcess, secret: str, **how: Any) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as failed, browser(server, secret, **how):
        pass
    answer = failed.value.response
    assert secret not in str(answer.headers)
    return answer.status_code, json.loads(answer.body)["error"]["code"]


def say(socket: ClientConnection, **request: Any) -> dict[str, Any]:
    """Say something; returns the last event."""
    socket.send(json.dumps({"type": "response.create"} | SHORT | request))
    while True:
        event = json.loads(socket.recv())
        if event["type"] in TERMINAL:
            return event


def test_a_browser_connects_once(twins: Twins, tenant: Tenant) -> None:
    minted = tenant.mint(session={"metadata": {"who": "Ada"}})
    session_id = minted["session"]["id"]
    assert minted["session"]["metadata"] == {"who": "Ada"}
    with browser(twins.second, minted["value"]) as socket:
        assert socket.subprotocol == "realtime"
        assert minted["value"] not in str(socket.response.headers)
        response = say(socket)["response"]
        assert response["kosmosx:session"] == {"id": session_id}
        assert refused(twins.first, minted["value"]) == (401, "client_secret_used")
        socket.send('{"type":"kosmosx:session.close"}')
        closed = json.loads(socket.recv())
    assert (closed["type"], closed["session"]["id"]) == ("kosmosx:session.closed", session_id)
    assert tenant.session(session_id)["usage"]["turns"] == 1


def test_only_the_named_origin_gets_in(twins: Twins, tenant: Tenant) -> None:
    secret = tenant.mint()["value"]
    for origin in ("https://evil.example", twins.first.base_url):
        assert refused(twins.first, secret, origin=origin) == (401, "origin_not_allowed")
    with browser(twins.first, secret) as socket:
        assert say(socket)["type"] == "response.incomplete"


def test_a_secret_is_good_for_one_post(twins: Twins, tenant: Tenant) -> None:
    minted = tenant.mint()
    headers = {"Authorization": f"Bearer {minted['value']}", "Origin": ORIGIN}
    url = f"{twins.second.base_url}/v1/responses"
    answer = httpx.post(url, json=SHORT, headers=headers)
    assert answer.headers["x-kosmosx-session"] == minted["session"]["id"]
    again = httpx.post(url, json=SHORT, headers=headers)
    assert (again.status_code, again.json()["error"]["code"]) == (401, "client_secret_used")
    streamed = tenant.mint(session={"id": minted["session"]["id"]})
    headers["Authorization"] = f"Bearer {streamed['value']}"
    answer = httpx.post(url, json=SHORT | {"stream": True}, headers=headers)
    assert "event: response.incomplete" in answer.text
    assert tenant.session(minted["session"]["id"])["usage"]["turns"] == 2


def test_a_page_repeats_its_post_with_another_secret(twins: Twins, tenant: Tenant) -> None:
    """It is the same response; of another session it is another one."""
    session_id = tenant.mint()["session"]["id"]
    same = {"session": {"id": session_id}}
    answers = []
    for wanted in (same, same, {}):
        headers = {
            "Authorization": f"Bearer {tenant.mint(**wanted)['value']}",
            "Origin": ORIGIN,
            "Idempotency-Key": "the only one",
        }
        url = f"{twins.first.base_url}/v1/responses"
        answers.append(httpx.post(url, json=SHORT, headers=headers).json()["id"])
    assert answers[0] == answers[1] != answers[2]
    assert tenant.session(session_id)["usage"]["turns"] == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/client_secrets"),
        ("POST", "/v1/sessions"),
        ("GET", "/v1/sessions"),
        ("GET", "/v1/models"),
        ("POST", "/v1/conversations"),
        ("GET", "/v1/responses/resp_0"),
    ],
)
def test_a_secret_opens_nothing_else(tenant: Tenant, method: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {tenant.mint()['value']}", "Origin": ORIGIN}
    answer = httpx.request(method, tenant.server.base_url + path, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (
        403,
        "client_secret_not_allowed",
    )


def test_a_secret_s_limits_hold(twins: Twins, tenant: Tenant) -> None:
    official = client(twins.first)
    conversation = official.conversations.create(metadata={"whose": "ours"})
    other = official.conversations.create()
    elsewhere = official.responses.create(**SHORT)
    minted = tenant.mint(conversation=conversation.id, max_output_tokens=20)
    with browser(twins.first, minted["value"]) as socket:
        first = say(socket, conversation=conversation.id, max_output_tokens=500)["response"]
        assert first["usage"]["output_tokens"] == first["max_output_tokens"] == 20
        second = say(socket, previous_response_id=first["id"], max_output_tokens=None)["response"]
        assert second["usage"]["output_tokens"] == 20
        assert say(socket, input=[{"id": first["output"][0]["id"]}])["type"] != "error"
        faults: list[tuple[dict[str, Any], str]] = [
            ({"conversation": other.id}, "conversation_not_allowed"),
            ({"previous_response_id": elsewhere.id}, "previous_response_not_found"),
            ({"input": [{"id": elsewhere.output[0].id}]}, "item_not_found"),
        ]
        for request, code in faults:
            assert say(socket, **request)["error"]["code"] == code
        socket.send(json.dumps({"type": "kosmosx:response.cancel", "response_id": elsewhere.id}))
        assert json.loads(socket.recv())["error"]["code"] == "response_not_found"


def test_a_browser_comes_back_with_another_secret(twins: Twins, tenant: Tenant) -> None:
    minted = tenant.mint()
    session_id = minted["session"]["id"]
    with browser(twins.first, minted["value"]) as socket:
        response_id = say(socket)["response"]["id"]
    secret = tenant.mint(session={"id": session_id})["value"]
    query = f"?session_id={session_id}&response_id={response_id}&starting_after=5"
    with browser(twins.first, secret, query=query) as socket:
        assert json.loads(socket.recv())["sequence_number"] == 6
    strange = tenant.mint()["value"]
    with browser(twins.first, strange, query=query) as socket:
        assert json.loads(socket.recv())["error"]["code"] == "session_not_allowed"
    strange = tenant.mint()["value"]
    with browser(twins.first, strange, query=f"?response_id={response_id}") as socket:
        assert json.loads(socket.recv())["error"]["code"] == "response_not_found"


def test_secrets_are_minted_for_one_s_own_things(twins: Twins, tenant: Tenant) -> None:
    mine = tenant.mint()["session"]["id"]
    conversation = client(twins.first).conversations.create()
    other = Tenant(twins.first, twins.first.create_key())
    refusals: list[tuple[dict[str, Any], int, str]] = [
        ({"session": {"id": mine}}, 404, "session_not_found"),
        ({"conversation": conversation.id}, 404, "conversation_not_found"),
    ]
    for wanted, status, code in refusals:
        answer = other.post("/v1/client_secrets", {"origin": ORIGIN} | wanted)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    closed = httpx.delete(
        f"{twins.first.base_url}/v1/sessions/{mine}",
        headers={"Authorization": f"Bearer {tenant.key}"},
    )
    assert closed.json()["status"] == "closed"
    answer = tenant.post("/v1/client_secrets", {"origin": ORIGIN, "session": {"id": mine}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "session_closed")


def test_no_secret_is_written_anywhere(twins: Twins, tenant: Tenant, twins_folder: Path) -> None:
    used, unused = tenant.mint()["value"], tenant.mint()["value"]
    with browser(twins.first, used) as socket:
        say(socket)
    assert refused(twins.first, used) == (401, "client_secret_used")
    assert refused(twins.first, unused, origin="https://evil.example")[0] == 401
    written = [path.read_bytes() for path in twins_folder.rglob("*") if path.is_file()]
    assert any(b"secret" in data for data in written)  # The names of the hashes.
    assert not any(secret.encode() in data for secret in (used, unused) for data in written)
