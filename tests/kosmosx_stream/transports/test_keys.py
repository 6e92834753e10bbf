"""Keys over HTTP: made, listed without secrets, rotated, revoked; each good for its scopes."""

import time
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from kosmosx_stream.protocol.keys import SCOPES
from kosmosx_stream.transports.routes import endpoints
from tests.kosmosx_stream.clients import MODEL, client, socket
from tests.server_process import ServerProcess


class Keys:
    """`/v1/keys` as the holder of a key sees it."""

    def __init__(self, server: ServerProcess, key: str) -> None:
        self.key = key
        self._base_url = f"{server.base_url}/v1"

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.request(method, self._base_url + path, headers=headers, **options)

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.request("GET", path, params=query)

    def create(self, **body: Any) -> dict[str, Any]:
        answer = self.request("POST", "/keys", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return answer.json()

    def rotate(self, key_id: str, **body: Any) -> httpx.Response:
        return self.request("POST", f"/keys/{key_id}/rotate", json=body)

    def revoke(self, key_id: str) -> httpx.Response:
        return self.request("DELETE", f"/keys/{key_id}")

    def refusal(self, path: str = "/models") -> str | None:
        answer = self.get(path)
        return None if answer.status_code == 200 else answer.json()["error"]["code"]


@pytest.fixture(scope="module")
def mine(wordy_server: ServerProcess) -> Keys:
    """An account of its own."""
    return Keys(wordy_server, wordy_server.create_key())


def test_a_new_key_is_good_for_all_but_management(wordy_server: ServerProcess, mine: Keys) -> None:
    made = mine.create(label="laptop")
    assert made["label"] == "laptop"
    assert made["scopes"] == ["generate", "read", "usage"]
    assert (made["status"], made["expires_at"], made["last_used_at"]) == ("active", None, None)
    other = Keys(wordy_server, made["key"])
    assert other.refusal() is None
    assert other.refusal("/keys") == "insufficient_scope"
    assert client(wordy_server, made["key"]).responses.create(model=MODEL, input="Hi").output_text


def test_keys_are_listed_without_their_secrets(wordy_server: ServerProcess) -> None:
    mine = Keys(wordy_server, wordy_server.create_key("--label", "root"))
    made = [mine.create(label=str(number)) for number in range(3)]
    whole = mine.get("/keys").text
    assert all(each["key"] not in whole and each["key"][-43:] not in whole for each in made)
    first = mine.get("/keys", limit=2).json()
    assert [each["label"] for each in first["data"]] == ["root", "0"]
    assert first["has_more"]
    rest = mine.get("/keys", after=first["last_id"]).json()
    assert [each["id"] for each in rest["data"]] == [made[1]["id"], made[2]["id"]]
    assert not rest["has_more"]
    shown = mine.get(f"/keys/{made[0]['id']}").json()
    assert shown == {name: value for name, value in made[0].items() if name != "key"}
    assert mine.get("/keys", after="nobody").status_code == 400


def test_a_revoked_key_opens_nothing_at_once(wordy_server: ServerProcess, mine: Keys) -> None:
    made = mine.create()
    other = Keys(wordy_server, made["key"])
    assert other.refusal() is None
    revoked = mine.revoke(made["id"]).json()
    assert revoked["status"] == "revoked"
    assert other.refusal() == "invalid_api_key"
    assert mine.revoke(made["id"]).json() == revoked


def test_a_key_may_revoke_itself(wordy_server: ServerProcess, mine: Keys) -> None:
    made = mine.create(scopes=["manage"])
    other = Keys(wordy_server, made["key"])
    assert other.revoke(made["id"]).status_code == 200
    assert other.refusal() == "invalid_api_key"


def test_a_rotated_key_overlaps_with_its_successor(wordy_server: ServerProcess, mine: Keys) -> None:
    made = mine.create(label="app", scopes=["read"], expires_at=int(time.time()) + 3600)
    new = mine.rotate(made["id"], overlap_s=600).json()
    assert (new["label"], new["scopes"]) == ("app", ["read"])
    life_s = made["expires_at"] - made["created_at"]
    assert new["expires_at"] - new["created_at"] == pytest.approx(life_s)
    old = mine.get(f"/keys/{made['id']}").json()
    assert old["successor_id"] == new["id"]
    assert old["expires_at"] == pytest.approx(new["created_at"] + 600)
    assert Keys(wordy_server, made["key"]).refusal() is None
    assert Keys(wordy_server, new["key"]).refusal() is None
    again = mine.rotate(made["id"])
    assert (again.status_code, again.json()["error"]["code"]) == (409, "key_ended")


def test_a_key_rotated_without_overlap_is_told_that_it_expired(
    wordy_server: ServerProcess, mine: Keys
) -> None:
    made = mine.create()
    other = Keys(wordy_server, made["key"])
    assert other.refusal() is None
    new = mine.rotate(made["id"], overlap_s=0).json()
    assert other.refusal() == "expired_api_key"
    assert Keys(wordy_server, new["key"]).refusal() is None
    assert mine.get(f"/keys/{made['id']}").json()["status"] == "expired"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"label": 1}, "label"),
        ({"label": "x" * 65}, "label"),
        ({"label": "x\0y"}, "label"),
        ({"scopes": "read"}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["read", "write"]}, "scopes[1]"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": 1}, "expires_at"),
    ],
)
def test_bad_input_is_refused_by_name(mine: Keys, body: dict[str, Any], param: str) -> None:
    answer = mine.request("POST", "/keys", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("overlap_s", [-1, 1.5, 30 * 86400 + 1])
def test_an_overlap_has_bounds(mine: Keys, overlap_s: float) -> None:
    answer = mine.rotate(mine.create()["id"], overlap_s=overlap_s)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "overlap_s")


@pytest.fixture(scope="module")
def lacking(wordy_server: ServerProcess, mine: Keys) -> dict[str, Keys]:
    """For each scope, a key that has all others."""
    return {
        scope: Keys(
            wordy_server, mine.create(scopes=[each for each in SCOPES if each != scope])["key"]
        )
        for scope in SCOPES
    }


SCOPED = [each for each in endpoints() if each.operation.needs in SCOPES]


def test_every_route_names_the_scope_that_it_needs(
    wordy_server: ServerProcess, lacking: dict[str, Keys]
) -> None:
    with httpx.Client(base_url=wordy_server.base_url) as http:
        for each in SCOPED:
            needs = each.operation.needs
            headers = {"Authorization": f"Bearer {lacking[needs].key}"}
            answer = http.request(each.method, each.path, headers=headers)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (403, "insufficient_scope"), each.path
            assert f"'{needs}'" in error["message"]


def test_reading_and_writing_need_different_scopes() -> None:
    """What is the least that each of the API's routes asks for, beside the model list."""
    for each in SCOPED:
        if each.path.startswith(("/v1/keys", "/v1/account")):
            assert each.operation.needs == "manage"
        elif each.method == "GET":
            assert each.operation.needs in {"read", "usage"}
        else:
            assert each.operation.needs in {"generate", "manage"}


def test_a_websocket_needs_generate_and_a_replay_read(
    wordy_server: ServerProcess, lacking: dict[str, Keys]
) -> None:
    url = wordy_server.base_url.replace("http", "ws") + "/v1/responses"
    headers = {"Authorization": f"Bearer {lacking['generate'].key}"}
    with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers):
        pass
    assert refused.value.response.status_code == 403
    speaker = client(wordy_server, lacking["read"].key)
    said = speaker.responses.create(model=MODEL, input="Hi")
    query = {"response_id": said.id}
    with speaker.responses.connect(extra_query=query) as connection:
        refusal = connection.recv()
        assert (refusal.type, refusal.error.code) == ("error", "insufficient_scope")
    with socket(speaker) as ws:
        assert ws.say(input="Hi")[-1].type == "response.completed"
