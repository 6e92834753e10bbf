"""The HTTP API does what its document says, and nothing else: Schemathesis against the server."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from kosmosx_stream.transports.endpoint import resources
from kosmosx_stream.transports.routes import endpoints
from tests.kosmosx_stream.clients import MODEL, client
from tests.server_process import ServerProcess

UNFIT_CHECKS = (
    # Good data may still be refused: a picture that is none, a history that does not fit.
    "positive_data_acceptance",
    # A deleted session is a closed one; its receipt stays.
    "use_after_free",
)


def with_real_names(document: dict[str, Any], server: ServerProcess) -> dict[str, Any]:
    """The document, with what only this server knows where most guesses would be wrong."""
    response = client(server).responses.create(model=MODEL, input="Hello!")
    for schema in document["components"]["schemas"].values():
        if "input" in schema.get("properties", ()) or "messages" in schema.get("properties", ()):
            schema["properties"]["model"] = {"enum": [MODEL]}
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                if parameter["name"] == "response_id":
                    parameter["schema"] = {"enum": [response.id, "resp_none"]}
    return document


def test_schemathesis_finds_nothing(wordy_server: ServerProcess, tmp_path: Path) -> None:
    """No 5xx, no status, type or body that is not documented, no bad data that is taken."""
    document = httpx.get(f"{wordy_server.base_url}/openapi.json").json()
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(with_real_names(document, wordy_server)))
    # A header that nobody documented is no fault: it is ignored, as all of HTTP does.
    (tmp_path / "schemathesis.toml").write_text("[generation]\nallow-extra-parameters = false\n")
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "run", path,
            "--url", wordy_server.base_url,
            "--header", f"Authorization: Bearer {wordy_server.key}",
            "--exclude-path", "/v1/conversations/events",  # It never ends.
            "--phases", "coverage,fuzzing,stateful",
            "--max-examples", "5",
            "--seed", "1",
            "--no-shrink",
            "--exclude-checks", ",".join(UNFIT_CHECKS),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Tested: {len(endpoints()) - 1}" in done.stdout


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/v1/models", {"GET", "HEAD"}), ("/v1/responses/x", {"GET", "HEAD", "DELETE"})],
)
def test_a_method_that_a_path_has_not(
    wordy_server: ServerProcess, path: str, methods: set[str]
) -> None:
    answer = httpx.put(wordy_server.base_url + path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == methods
    assert answer.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_path_that_is_not_there(wordy_server: ServerProcess, method: str) -> None:
    answer = httpx.request(method, f"{wordy_server.base_url}/v1/embeddings")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_base_url_without_its_version(wordy_server: ServerProcess) -> None:
    answer = httpx.post(f"{wordy_server.base_url}/responses", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert "the API is below /v1" in answer.json()["error"]["message"]


def test_a_packed_body_is_not_unpacked(wordy_server: ServerProcess) -> None:
    answer = httpx.post(
        f"{wordy_server.base_url}/v1/responses",
        content=gzip.compress(b"{}"),
        headers={"Authorization": f"Bearer {wordy_server.key}", "Content-Encoding": "gzip"},
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_encoding")


def test_a_websocket_that_is_not_there(wordy_server: ServerProcess) -> None:
    url = wordy_server.base_url.replace("http", "ws")
    with pytest.raises(InvalidStatus) as refused, connect(f"{url}/v1/realtime"):
        pass
    answer = refused.value.response
    assert (answer.status_code, json.loads(answer.body)["error"]["code"]) == (404, "not_found")


def test_no_path_hides_another() -> None:
    routes = resources(endpoints())
    for number, route in enumerate(routes):
        earlier = [each for each in routes[:number] if each.path_regex.match(route.path)]
        assert not earlier, route.path
