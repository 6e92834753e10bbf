"""Sessions over HTTP: opened, joined, listed in pages, closed with a receipt."""

from typing import Any

import httpx
import openai
import pytest

from tests.conftest import Twins
from tests.kosmosx_stream.clients import MODEL, client
from tests.server_process import ServerProcess

SHORT = {"model": MODEL, "max_output_tokens": 16}


@pytest.fixture(scope="module")
def key(twin_processes: Twins) -> str:
    """An account of its own: its list of sessions is known."""
    twin_processes.first.ensure_running()
    return twin_processes.first.create_key()


class Http:
    """Plain HTTP with a key."""

    def __init__(self, server: ServerProcess, key: str) -> None:
        self._url = f"{server.base_url}/v1"
        self._headers = {"Authorization": f"Bearer {key}"}

    def get(self, path: str, **params: Any) -> httpx.Response:
        return httpx.get(self._url + path, params=params, headers=self._headers)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return httpx.post(self._url + path, json=body, headers=self._headers | headers)

    def delete(self, path: str) -> httpx.Response:
        return httpx.delete(self._url + path, headers=self._headers)


@pytest.fixture
def http(twins: Twins, key: str) -> Http:
    return Http(twins.first, key)


def opened(http: Http, **body: Any) -> dict[str, Any]:
    answer = http.post("/sessions", body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_session_from_its_opening_to_its_receipt(http: Http, twins: Twins, key: str) -> None:
    session = opened(http, metadata={"who": "Ada"})
    assert (session["object"], session["status"]) == ("kosmosx.session", "open")
    assert (session["metadata"], session["receipt"]) == ({"who": "Ada"}, None)
    joining = client(twins.second, key).with_options(
        default_headers={"X-Kosmosx-Session": session["id"]}
    )
    for _ in range(2):
        response = joining.responses.create(**SHORT, input="Hi")
        assert response.to_dict()["kosmosx:session"] == {"id": session["id"]}
    used = http.get(f"/sessions/{session['id']}").json()
    assert (used["status"], used["usage"]["turns"]) == ("open", 2)
    closed = http.delete(f"/sessions/{session['id']}").json()
    assert (closed["status"], closed["close_reason"]) == ("closed", "client")
    assert closed["receipt"]["total_usd"] == used["usage"]["cost_usd"]
    assert http.delete(f"/sessions/{session['id']}").json() == closed
    with pytest.raises(openai.ConflictError) as refused:
        joining.responses.create(**SHORT, input="Hi")
    assert refused.value.code == "session_closed"


def test_sessions_are_listed_in_pages_by_status(twins: Twins) -> None:
    http = Http(twins.first, twins.first.create_key())
    assert http.get("/sessions").json() == {
        "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False,
    }  # fmt: skip
    ids = [opened(http)["id"] for _ in range(5)][::-1]
    http.delete(f"/sessions/{ids[1]}")

    def page(**query: Any) -> list[str]:
        answer = http.get("/sessions", **query).json()
        found = [session["id"] for session in answer["data"]]
        assert (answer["first_id"], answer["last_id"]) == (found[0], found[-1])
        assert answer["has_more"] == (found[-1] not in {ids[-1], query.get("last")})
        return found

    assert page(limit=2) == ids[:2]
    assert page(limit=2, after=ids[1]) == ids[2:4]
    assert page(limit=2, after=ids[3]) == ids[4:]
    assert page(status="open") == [ids[0], *ids[2:]]
    assert page(status="closed", last=ids[1]) == [ids[1]]


def test_what_is_refused_names_its_field(http: Http) -> None:
    for query, param in (
        ({"after": "sess_none"}, "after"),
        ({"status": "ajar"}, "status"),
        ({"limit": 0}, "limit"),
    ):
        answer = http.get("/sessions", **query)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    answer = http.post("/sessions", {"metadata": {"a": 1}})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "metadata.a")


def test_another_account_s_session_does_not_exist(http: Http, twins: Twins) -> None:
    session = opened(http)
    other = Http(twins.first, twins.first.key)
    for answer in (
        other.get(f"/sessions/{session['id']}"),
        other.delete(f"/sessions/{session['id']}"),
        other.post(
            "/responses",
            SHORT | {"input": "Hi"},
            **{"X-Kosmosx-Session": session["id"]},
        ),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "session_not_found")
    assert other.get("/sessions", after=session["id"]).status_code == 400
    listed = other.get("/sessions", limit=100).json()["data"]
    assert session["id"] not in {each["id"] for each in listed}
    assert http.get(f"/sessions/{session['id']}").json()["status"] == "open"
