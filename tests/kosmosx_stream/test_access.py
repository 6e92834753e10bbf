"""Nothing without a key, except health and the page's own files."""

import re

import httpx
import openai
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from kosmosx_stream.transports.routes import endpoints
from tests.kosmosx_stream.clients import MODEL, client
from tests.server_process import ServerProcess

PUBLIC = {
    ("POST", "/v1/accounts"),
    ("POST", "/v1/accounts/sign_in"),
    ("POST", "/v1/stripe/webhook"),  # Signed by Stripe.
    ("GET", "/v1/receipts/key"),  # To check receipts with; the public half.
}
PATHS = [
    (each.method, re.sub(r"{\w+}", "x_0", each.path))
    for each in endpoints()
    if (each.method, each.path) not in PUBLIC
]
WRONG = [None, "Bearer", "Bearer kx_live_no_such", "Bearer x", "Basic abc", "Bearer \xe9"]


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("authorization", WRONG)
def test_every_route_asks_for_a_key(
    server: ServerProcess, method: str, path: str, authorization: str | None
) -> None:
    headers = {"Authorization": authorization.encode("latin-1")} if authorization else {}
    answer = httpx.request(method, server.base_url + path, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] in {"missing_api_key", "invalid_api_key"}


@pytest.mark.parametrize("authorization", [None, "Bearer kx_live_no_such"])
def test_a_websocket_asks_for_a_key(server: ServerProcess, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    url = server.base_url.replace("http", "ws") + "/v1/responses"
    with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers):
        pass
    assert refused.value.response.status_code == 401


def test_a_browser_brings_its_key_as_a_subprotocol(server: ServerProcess) -> None:
    url = server.base_url.replace("http", "ws") + "/v1/responses"
    offered = ["realtime", f"openai-insecure-api-key.{server.key}"]
    with connect(url, subprotocols=offered, origin=server.base_url) as ws:
        assert ws.subprotocol == "realtime"
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(url, subprotocols=offered, origin="https://evil.example"),
    ):
        pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/", "/main.js", "/style.css"])
def test_health_and_the_page_are_open(server: ServerProcess, path: str) -> None:
    answer = httpx.get(server.base_url + path)
    assert answer.status_code == 200
    if not path.startswith("/health"):
        assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/__init__.py", "/../pyproject.toml", "/__pycache__/"])
def test_the_page_s_folder_shows_nothing_else(server: ServerProcess, path: str) -> None:
    assert httpx.get(server.base_url + path).status_code == 404


def test_the_official_client_names_the_error(server: ServerProcess) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        client(server, "kx_live_wrong").responses.create(model=MODEL, input="Hi")
    assert refused.value.code == "invalid_api_key"


def test_models(server: ServerProcess) -> None:
    models = client(server).models
    assert [model.id for model in models.list()] == ["kosmos-x"]
    assert models.retrieve("kosmos-x").owned_by
