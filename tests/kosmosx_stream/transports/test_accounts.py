"""Accounts over HTTP: registered, signed in to, and used with what signing in gives."""

from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from kosmosx_stream.settings import Settings
from tests.kosmosx_stream.clients import MODEL, client, socket
from tests.server_process import ServerProcess, started

GOOD = "violet ostrich tango"
FAILED = 3


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server where one may register ten times, and fail to sign in three times."""
    yield from started(
        tmp_path_factory.mktemp("accounts"),
        KOSMOSX_ENGINE="deterministic",
        KOSMOSX_MAX_REGISTRATIONS_PER_HOUR="10",
        KOSMOSX_MAX_FAILED_SIGN_INS=str(FAILED),
    )


def post(server: ServerProcess, path: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{server.base_url}/v1/{path}", json=body)


def sign_in(server: ServerProcess, email: str, password: str = GOOD) -> httpx.Response:
    return post(server, "accounts/sign_in", email=email, password=password)


def get(server: ServerProcess, path: str, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{server.base_url}/v1/{path}", headers=headers)


def code(answer: httpx.Response) -> str:
    return answer.json()["error"]["code"]


@pytest.fixture(scope="module")
def token(open_server: ServerProcess) -> str:
    made = post(open_server, "accounts", email=" Ada@Example.com", password=GOOD, name="Ada")
    assert made.status_code == 200, made.text
    account = made.json()
    assert (account["email"], account["name"]) == ("ada@example.com", "Ada")
    signed = sign_in(open_server, "ADA@example.com")
    assert signed.headers["cache-control"] == "no-store"
    assert signed.json()["account"] == account
    return signed.json()["access_token"]


def test_who_signed_in_sees_the_account(open_server: ServerProcess, token: str) -> None:
    assert get(open_server, "account", token).json()["email"] == "ada@example.com"
    assert get(open_server, "keys", token).json()["data"] == []


def test_who_signed_in_can_chat_and_make_keys(open_server: ServerProcess, token: str) -> None:
    said = client(open_server, token).responses.create(model=MODEL, input="Hi")
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{open_server.base_url}/v1/keys"
    key = httpx.post(url, headers=headers, json={"label": "mine"}).json()["key"]
    assert client(open_server, key).responses.retrieve(said.id).output_text == said.output_text
    with socket(client(open_server, token)) as ws:
        assert ws.say(input="Hi")[-1].type == "response.completed"
        assert ws.close()["status"] == "closed"
    (noted,) = get(open_server, "keys", token).json()["data"]
    assert noted["label"] == "mine"


def test_an_email_registers_once(open_server: ServerProcess, token: str) -> None:
    again = post(open_server, "accounts", email="ada@EXAMPLE.com", password="another ostrich dance")
    assert (again.status_code, code(again)) == (409, "email_taken")
    assert again.json()["error"]["param"] == "email"
    assert sign_in(open_server, "ada@example.com").status_code == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"password": GOOD}, "email"),
        ({"email": "nobody", "password": GOOD}, "email"),
        ({"email": "bob@example.com"}, "password"),
        ({"email": "bob@example.com", "password": "short"}, "password"),
        ({"email": "bob@example.com", "password": "password123"}, "password"),
        ({"email": "bob@example.com", "password": "x" * 129}, "password"),
        ({"email": "bob@example.com", "password": GOOD, "name": 1}, "name"),
        ({"email": "bob@example.com", "password": GOOD, "name": "B\0b"}, "name"),
    ],
)
def test_bad_input_is_refused_by_name(
    open_server: ServerProcess, body: dict[str, Any], param: str
) -> None:
    refused = post(open_server, "accounts", **body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def change(server: ServerProcess, token: str, **passwords: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.post(f"{server.base_url}/v1/account/password", headers=headers, json=passwords)


def test_a_password_is_changed(open_server: ServerProcess) -> None:
    email, new = "grace@example.com", "another good ostrich"
    made = post(open_server, "accounts", email=email, password=GOOD).json()
    token = sign_in(open_server, email).json()["access_token"]
    weak = change(open_server, token, password=GOOD, new_password="password123")
    assert (code(weak), weak.json()["error"]["param"]) == ("weak_password", "new_password")
    assert change(open_server, token, password=GOOD, new_password=new).json() == made
    assert sign_in(open_server, email).status_code == 401
    assert sign_in(open_server, email, new).status_code == 200


def test_the_password_to_be_changed_is_tried_few_times(open_server: ServerProcess) -> None:
    email, new = "mary@example.com", "another good ostrich"
    assert post(open_server, "accounts", email=email, password=GOOD).status_code == 200
    token = sign_in(open_server, email).json()["access_token"]
    for _ in range(FAILED):
        wrong = change(open_server, token, password="wrong", new_password=new)
        assert (wrong.status_code, code(wrong)) == (400, "wrong_password")
        assert wrong.json()["error"]["param"] == "password"
    assert change(open_server, token, password=GOOD, new_password=new).status_code == 429
    by_key = change(open_server, open_server.key, password=GOOD, new_password=new)
    assert (by_key.status_code, code(by_key)) in {(409, "no_password"), (403, "insufficient_scope")}


def test_a_password_is_tried_few_times(open_server: ServerProcess) -> None:
    email = "eve@example.com"
    assert post(open_server, "accounts", email=email, password=GOOD).status_code == 200
    for _ in range(FAILED + 1):  # What is right does not count.
        assert sign_in(open_server, email).status_code == 200
    for _ in range(FAILED):
        refused = sign_in(open_server, email, "wrong")
        assert (refused.status_code, code(refused)) == (401, "wrong_password")
    for password in ("wrong", GOOD):
        refused = sign_in(open_server, email, password)
        assert (refused.status_code, code(refused)) == (429, "too_many_attempts")
        assert 0 < int(refused.headers["retry-after"]) <= 900


def test_nobody_registers_often(open_server: ServerProcess) -> None:
    answers = [
        post(open_server, "accounts", email=f"n{number}@example.com", password="password123")
        for number in range(11)
    ]
    assert answers[-1].status_code == 429


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_forged_token_opens_nothing(
    open_server: ServerProcess, token: str, algorithm: str
) -> None:
    claims = jwt.decode(token, options={"verify_signature": False})
    secret = b"x" * 32 if algorithm == "HS256" else None
    forged = jwt.encode(claims, secret, algorithm)
    refused = get(open_server, "account", forged)
    assert (refused.status_code, code(refused)) == (401, "invalid_api_key")


def test_another_server_s_token_opens_nothing(wordy_server: ServerProcess, token: str) -> None:
    assert get(wordy_server, "account", token).status_code == 401


def test_no_password_is_written_anywhere(open_server: ServerProcess) -> None:
    log = (open_server.data_dir / "logs" / "server.log").read_text()
    assert GOOD not in log + open_server.output()
    for path in open_server.data_dir.rglob("*"):
        if path.is_file():
            assert GOOD.encode() not in path.read_bytes(), path


def test_a_closed_server_takes_no_registrations(slow_server: ServerProcess) -> None:
    refused = post(slow_server, "accounts", email="ada@example.com", password=GOOD)
    assert (refused.status_code, code(refused)) == (403, "registration_closed")


@pytest.mark.parametrize(
    ("host", "registration", "is_open"),
    [
        ("127.0.0.1", None, True),
        ("::1", None, True),
        ("0.0.0.0", None, False),
        ("192.168.1.7", None, False),
        ("0.0.0.0", "open", True),
        ("127.0.0.1", "closed", False),
    ],
)
def test_registration_is_open_on_this_machine_alone_unless_told_otherwise(
    host: str, registration: Any, *, is_open: bool
) -> None:
    assert Settings(host=host, registration=registration).registration_open is is_open
