"""A deleted account: nothing of it opens, goes on, or can be read; what it used is billed."""

import sqlite3
import time
from contextlib import closing

import httpx
from redis import Redis

from tests.conftest import Twins
from tests.kosmosx_stream.clients import MODEL, client, socket

GOOD = "violet ostrich tango"


def traces(redis: Redis, account_id: str) -> list[bytes]:
    """Keys of the account's words."""
    found = []
    for name in redis.scan_iter("kx:*"):
        kind = redis.type(name)
        text = name
        if kind == b"hash":
            text += b"".join(redis.hvals(name))
        elif kind == b"list":
            text += b"".join(redis.lrange(name, 0, -1))
        if account_id.encode() in text:
            found.append(name)
    return found


def test_a_deleted_account_leaves_its_books(twins: Twins, twins_redis: str) -> None:
    url = f"{twins.first.base_url}/v1"
    who = {"email": "ada@example.com", "password": GOOD, "name": "Ada"}
    account = httpx.post(f"{url}/accounts", json=who).json()
    token = httpx.post(f"{url}/accounts/sign_in", json=who).json()["access_token"]
    signed_in = {"Authorization": f"Bearer {token}"}
    made = httpx.post(f"{url}/keys", headers=signed_in, json={"scopes": ["generate", "manage"]})
    key = made.json()["key"]
    bearer = {"Authorization": f"Bearer {key}"}
    conversation = httpx.post(f"{url}/conversations", headers=bearer, json={}).json()
    said = client(twins.first, key).responses.create(
        model=MODEL, input="Hi", conversation=conversation["id"], max_output_tokens=16
    )
    redis = Redis.from_url(twins_redis)
    assert len(traces(redis, account["id"])) >= 3
    by_key = httpx.delete(f"{url}/account", headers=bearer)
    assert (by_key.status_code, by_key.json()["error"]["code"]) == (403, "sign_in_required")

    with socket(client(twins.second, key)) as ws:
        ws.connection.response.create(model=MODEL, input="Hi")
        while ws.connection.recv().type != "response.output_text.delta":
            pass
        deleted = httpx.delete(f"{url}/account", headers=signed_in, timeout=60)
        assert deleted.json() == {
            "id": account["id"], "object": "kosmosx.account.deleted", "deleted": True,
        }  # fmt: skip
        while (event := ws.connection.recv()).type != "error":
            pass
        assert event.error.code == "invalid_api_key"

    for server in twins:
        for headers in (bearer, signed_in):
            gone = httpx.get(f"{server.base_url}/v1/responses/{said.id}", headers=headers)
            assert gone.status_code == 401
    assert httpx.post(f"{url}/accounts/sign_in", json=who).status_code == 401
    assert traces(redis, account["id"]) == []
    redis.close()
    with closing(sqlite3.connect(twins.first.database)) as books:
        deadline = time.monotonic() + 30
        states = "SELECT state FROM sessions WHERE account_id = ?"
        while {state for (state,) in books.execute(states, (account["id"],))} != {"closed"}:
            assert time.monotonic() < deadline
        query = "SELECT name, email, password_hash FROM accounts WHERE id = ?"
        assert books.execute(query, (account["id"],)).fetchone() == ("", None, None)
        query = "SELECT count(*), min(cost_micro_usd) FROM usage_records WHERE account_id = ?"
        count, least = books.execute(query, (account["id"],)).fetchone()
        assert count >= 2
        assert least > 0
    again = httpx.post(f"{url}/accounts", json=who)
    assert again.status_code == 200
    assert again.json()["id"] != account["id"]
