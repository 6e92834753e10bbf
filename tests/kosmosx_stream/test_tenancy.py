"""Whatever an account can name is not there for any other, on every route of the document.

A route, parameter or field that is new has to be put into the tables here.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from kosmosx_stream.protocol.body_schemas import BODIES
from kosmosx_stream.transports.openapi import openapi
from kosmosx_stream.transports.routes import endpoints
from tests.kosmosx_stream.clients import MODEL, client, message
from tests.server_process import ServerProcess

DOCUMENT = openapi(endpoints())
OPERATIONS = [
    (method, path, described)
    for path, methods in DOCUMENT["paths"].items()
    for method, described in methods.items()
    if [*described["responses"]["200"]["content"]] != ["text/event-stream"]
]
"""Those that come to an end; whose news `GET /v1/conversations/events` tells has its own test."""
BODY: dict[str, Any] = {
    "UpdateConversation": {"metadata": {"mine": "now"}},
    "MoveHead": {"turn_id": None},
    "CreateItems": {"items": [message("Hello!")]},
    "RotateKey": {"overlap_s": 0},
}
"""Of the operations that name something in their paths."""
EVERYBODY_S = {"model"}
"""Names in paths that are the same for all."""

NAMING = {"after", "X-Kosmosx-Session", "Idempotency-Key"}
NAMING_NOTHING = {
    "X-Kosmosx-Events", "Last-Event-ID", "stream", "starting_after", "include", "limit", "order",
    "status", "start", "end", "group_by", "format", "kosmosx:search",
}  # fmt: skip
"""Parameters in queries and headers."""
FIELDS_NAMING = {"previous_response_id", "conversation", "session", "turn_id", "id"}
"""`id` in bodies: of a conversation, a session, or an item that is referred to."""


class Tenant:
    """An account, and one of everything that it can name."""

    def __init__(self, server: ServerProcess, key: str) -> None:
        self.http = httpx.Client(
            base_url=server.base_url, headers={"Authorization": f"Bearer {key}"}, timeout=60
        )
        self.conversation = self.post("/v1/conversations", items=[message("My name is Ada.")])
        self.response = self.post(
            "/v1/responses", model=MODEL, input="Hi", conversation=self.conversation["id"]
        )
        self.session = self.post("/v1/sessions", metadata={"whose": "mine"})
        self.key = self.post("/v1/keys", label="mine")
        items = self.get(f"/v1/conversations/{self.conversation['id']}/items")
        self.ids = {
            "response_id": self.response["id"],
            "completion_id": self.response["id"].replace("resp_", "chatcmpl-"),
            "conversation_id": self.conversation["id"],
            "item_id": items["data"][0]["id"],
            "session_id": self.session["id"],
            "key_id": self.key["id"],
        }

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get(self, path: str) -> dict[str, Any]:
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def everything(self) -> list[Any]:
        """All that the account can read of what it has."""
        read = [
            path.format(**self.ids)
            for method, path, _ in OPERATIONS
            if method == "get" and not set(names(path)) & EVERYBODY_S
        ]
        return [self.http.get(path).text for path in read if "forecast" not in path]

    def refusal(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        answer = self.http.request(method, path, **options)
        return answer.status_code, answer.text


def names(path: str) -> list[str]:
    return re.findall(r"{(\w+)}", path)


def nobodys(value: str) -> str:
    """A name of the same form that nobody has."""
    return re.sub(r"[0-9a-f]{4}$", "0000", value)


@pytest.fixture(scope="module")
def tenants(wordy_server: ServerProcess) -> Iterator[tuple[Tenant, Tenant]]:
    owner, stranger = (Tenant(wordy_server, wordy_server.create_key()) for _ in range(2))
    yield owner, stranger
    owner.http.close()
    stranger.http.close()


def test_every_path_is_nobody_else_s(tenants: tuple[Tenant, Tenant]) -> None:
    """As if it had never been: 404 in the words for an id that nobody has, and nothing happens."""
    owner, stranger = tenants
    owned = owner.everything()
    nobody = {name: nobodys(value) for name, value in owner.ids.items()}
    for method, path, described in OPERATIONS:
        if not names(path) or set(names(path)) & EVERYBODY_S:
            continue
        assert set(names(path)) <= set(owner.ids), f"{path}: say in this test what is named here"
        options: dict[str, Any] = {}
        if "requestBody" in described:
            schema = described["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            options["json"] = BODY[schema.rpartition("/")[2]]
        # Its own thing at the outer name, another's at the inner one, too.
        for outer in (owner.ids, stranger.ids):
            ids = owner.ids | {name: outer[name] for name in names(path)[:-1]}
            status, told = stranger.refusal(method, path.format(**ids), **options)
            assert status == 404, f"{method} {path}: {status} {told}"
            missing = {**ids, names(path)[-1]: nobody[names(path)[-1]]}
            _, said = stranger.refusal(method, path.format(**missing), **options)
            for name in names(path):
                told, said = told.replace(ids[name], ""), said.replace(missing[name], "")
            assert told == said, f"{method} {path} tells the difference"
    assert owner.everything() == owned


def test_lists_and_sums_show_only_what_is_one_s_own(tenants: tuple[Tenant, Tenant]) -> None:
    owner, stranger = tenants
    for method, path, _ in OPERATIONS:
        if method == "get" and not names(path):
            shown = json.dumps(stranger.get(path))
            assert not [value for value in owner.ids.values() if value in shown], path


def test_no_list_begins_at_what_is_another_s(tenants: tuple[Tenant, Tenant]) -> None:
    owner, stranger = tenants
    for method, path, described in OPERATIONS:
        if not any(each["name"] == "after" for each in described["parameters"]):
            continue
        for value in owner.ids.values():
            query = {"after": value}
            status, told = stranger.refusal(method, path.format(**stranger.ids), params=query)
            assert status == 400, f"{path}?after={value}: {told}"


def test_every_parameter_is_known_to_name_something_or_nothing() -> None:
    found = {
        each["name"]
        for _, _, described in OPERATIONS
        for each in described["parameters"]
        if each["in"] != "path"
    }
    assert found == NAMING | NAMING_NOTHING


def fields(schema: Any) -> set[str]:
    match schema:
        case dict():
            named = set(schema.get("properties", ()))
            return named.union(*map(fields, schema.values()))
        case list():
            return set().union(*map(fields, schema))
        case _:
            return set()


def test_every_field_that_looks_like_a_name_is_known() -> None:
    like = {name for name in fields(BODIES) if name == "id" or name.endswith("_id")}
    # Those that are refused, or only mean something within one request.
    assert like - {"file_id", "call_id", "tool_call_id"} <= FIELDS_NAMING


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])
def test_no_turn_joins_another_s_session(tenants: tuple[Tenant, Tenant], path: str) -> None:
    owner, stranger = tenants
    body = {"model": MODEL, "input": "Hi", "messages": [{"role": "user", "content": "Hi"}]}
    del body["messages" if path.endswith("responses") else "input"]
    headers = {"X-Kosmosx-Session": owner.session["id"]}
    status, told = stranger.refusal("POST", path, json=body, headers=headers)
    assert (status, json.loads(told)["error"]["code"]) == (404, "session_not_found")


def test_no_body_names_what_is_another_s(tenants: tuple[Tenant, Tenant]) -> None:
    owner, stranger = tenants
    ids, turn = owner.ids, {"model": MODEL, "input": "Hi"}
    after = {"previous_response_id": ids["response_id"]}
    within = {"conversation": ids["conversation_id"]}
    reference = {"model": MODEL, "input": [{"type": "item_reference", "id": ids["item_id"]}]}
    page = {"origin": "https://app.example.com"}
    for path, body in (
        ("/v1/responses", turn | after),
        ("/v1/responses", turn | within),
        ("/v1/responses", turn | {"conversation": {"id": ids["conversation_id"]}}),
        ("/v1/responses", reference),
        ("/v1/responses/input_tokens", turn | after),
        ("/v1/responses/input_tokens", turn | within),
        ("/v1/responses/compact", turn | after),
        ("/v1/client_secrets", page | within),
        ("/v1/client_secrets", page | {"session": {"id": ids["session_id"]}}),
    ):
        status, told = stranger.refusal("POST", path, json=body)
        assert status in {400, 404}, f"{path} {body}: {told}"
        assert json.loads(told)["error"]["code"].endswith("not_found"), f"{path} {body}: {told}"


def test_no_conversation_goes_on_from_another_s_turn(tenants: tuple[Tenant, Tenant]) -> None:
    owner, stranger = tenants
    path = f"/v1/conversations/{stranger.ids['conversation_id']}/head"
    told = [
        stranger.refusal("POST", path, json={"turn_id": turn_id})
        for turn_id in (owner.ids["response_id"], nobodys(owner.ids["response_id"]))
    ]
    assert [status for status, _ in told] == [400, 400]
    assert "No turn" in told[0][1]


def test_the_same_idempotency_key_is_two_accounts_two(tenants: tuple[Tenant, Tenant]) -> None:
    ids = set()
    for tenant in tenants:
        answer = tenant.http.post(
            "/v1/responses", json={"model": MODEL, "input": "Hi"}, headers={"Idempotency-Key": "1"}
        )
        ids.add(answer.json()["id"])
    assert len(ids) == 2


def test_no_websocket_comes_back_to_what_is_another_s(
    wordy_server: ServerProcess, tenants: tuple[Tenant, Tenant]
) -> None:
    owner, stranger = tenants
    official = client(wordy_server, stranger.http.headers["Authorization"].removeprefix("Bearer "))
    for query, code in (
        ({"session_id": owner.ids["session_id"]}, "session_not_found"),
        ({"response_id": owner.ids["response_id"]}, "response_not_found"),
    ):
        with official.responses.connect(extra_query=query) as connection:
            assert connection.recv().error.code == code
    with official.responses.connect() as connection:
        for command, code in (
            ({"type": "kosmosx:response.cancel", "response_id": owner.ids["response_id"]},
             "response_not_found"),
            ({"type": "response.create", "model": MODEL, "input": "Hi",
              "previous_response_id": owner.ids["response_id"]}, "previous_response_not_found"),
            ({"type": "response.create", "model": MODEL, "input": "Hi",
              "conversation": owner.ids["conversation_id"]}, "conversation_not_found"),
        ):  # fmt: skip
            connection.send(command)
            assert connection.recv().error.code == code
