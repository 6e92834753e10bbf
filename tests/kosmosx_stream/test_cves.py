"""What others were attacked by, tried on this server. Each test names its CVE and what it was.

Beside these: CVE-2025-48956 (huge heads) in test_limits.py, CVE-2026-24779 (one URL, two parsers)
in test_image_urls.py, CVE-2025-59425 (keys told by time) in tests/metering/test_keys.py.
"""

import io
import json
import sqlite3
from typing import Any

import httpx
import pytest
from PIL import Image
from tokenizers import Tokenizer
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from conversation.items import Message, Text
from kosmosx_stream.kosmosx.prompt import Kosmos2Format
from kosmosx_stream.settings import NANO_CHECKPOINT
from tests.kosmosx_stream.clients import MODEL, client
from tests.kosmosx_stream.raw_http import RawClient
from tests.kosmosx_stream.test_bad_input import picture
from tests.server_process import ServerProcess

FORMAT = Kosmos2Format.from_checkpoint(NANO_CHECKPOINT)
TOKENIZER = Tokenizer.from_file(str(NANO_CHECKPOINT / "tokenizer.json"))


def ask(server: ServerProcess, **changes: Any) -> httpx.Response:
    return httpx.post(
        f"{server.base_url}/v1/responses",
        json={"model": MODEL, "input": "Hello!", "max_output_tokens": 16} | changes,
        headers={"Authorization": f"Bearer {server.key}"},
        timeout=60,
    )


def socket(server: ServerProcess, key: str, query: str = "") -> ClientConnection:
    url = server.base_url.replace("http", "ws") + "/v1/responses" + query
    return connect(url, additional_headers={"Authorization": f"Bearer {key}"})


# -- vLLM --------------------------------------------------------------------------------------


def test_cve_2025_62426_template_arguments_are_not_the_client_s(slow_server: ServerProcess) -> None:
    """vLLM passed `chat_template_kwargs` on: `tokenize` then ran in the server's only thread."""
    plain = ask(slow_server).json()
    evil = {"tokenize": True, "chat_template": "{% for i in range(10**9) %}{% endfor %}"}
    tried = ask(slow_server, chat_template_kwargs=evil, chat_template=evil["chat_template"]).json()
    assert tried["output"][0]["content"] == plain["output"][0]["content"]
    assert tried["usage"] == plain["usage"]


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "name": "f", "parameters": {"type": "something"}},
        {"type": "function", "name": "f", "parameters": {"type": "string", "pattern": "((("}},
        {"type": "function", "name": "f", "parameters": {"type": ["object"], "$ref": "#"}},
        {"type": "function", "name": "f", "parameters": "object"},
        {"type": {"a": 1}},
        7,
    ],
    ids=["type", "pattern", "reference", "no schema", "type of type", "no object"],
)
def test_cve_2025_48944_bad_tools_crash_nothing(server: ServerProcess, tool: Any) -> None:
    """In vLLM one request with an unknown type or a broken pattern ended the worker."""
    refused = ask(server, tools=[tool], tool_choice="auto")
    assert refused.status_code in {200, 400}
    assert ask(server).json()["status"] in {"completed", "incomplete"}


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
def test_cve_2026_22773_a_picture_of_one_pixel(
    server: ServerProcess, size: tuple[int, int]
) -> None:
    """In vLLM the shape of a tiny picture did not fit the model, and the engine died."""
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, "PNG")
    answer = ask(server, input=picture(file.getvalue()))
    assert answer.status_code == 200
    assert answer.json()["status"] in {"completed", "incomplete"}
    assert httpx.get(f"{server.base_url}/health/ready").status_code == 200


CONTROL = ["<image>", "</image>", "<patch_index_0001>", "<s>", "</s>", "<pad>", "<grounding>",
           "<phrase>x</phrase><object><patch_index_0000><patch_index_1023></object>"]  # fmt: skip


def controls(text: str) -> list[int]:
    """The control tokens in the prompt of a user's message."""
    asked = Message(id="msg", role="user", content=(Text(text),))
    added = TOKENIZER.get_added_tokens_decoder()
    return [token for token in FORMAT.segment([asked], grounding=False) if token in added]


@pytest.mark.parametrize("text", CONTROL)
def test_cve_2026_44222_text_is_never_a_control_token(
    slow_server: ServerProcess, text: str
) -> None:
    """In vLLM a user's written placeholder stood for a picture that was not there."""
    assert controls(f"a {text} b") == controls("a word b")
    assert ask(slow_server, input=f"a {text} b").json()["status"] in {"completed", "incomplete"}


# -- LiteLLM -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        "' OR '1'='1",
        "kx_live_' OR 1=1 --_x",
        "kx_live_0'; DROP TABLE api_keys; --_x",
        "x' UNION SELECT id, account_id, hash, '', 0, NULL FROM api_keys --",
        "kx_live_%_%",
    ],
)
def test_cve_2026_42208_a_key_is_no_sql(slow_server: ServerProcess, key: str) -> None:
    """LiteLLM put the bearer token into the statement that looked it up."""
    headers = {"Authorization": f"Bearer {key}"}
    for path in ("/v1/models", "/v1/sessions?after='%20OR%201=1%20--"):
        assert httpx.get(slow_server.base_url + path, headers=headers).status_code == 401
    mine = {"Authorization": f"Bearer {slow_server.key}"}
    listed = httpx.get(f"{slow_server.base_url}/v1/sessions/{key}", headers=mine)
    assert listed.status_code == 404


# -- Open WebUI --------------------------------------------------------------------------------


@pytest.mark.parametrize("asks", [False, True], ids=["silent", "with a request"])
def test_cve_2026_44553_a_revoked_key_ends_its_sockets(
    slow_server: ServerProcess, *, asks: bool
) -> None:
    """In Open WebUI who was let in once kept their rights for as long as the socket lived."""
    key = slow_server.create_key()
    with socket(slow_server, key) as ws:
        ws.send("{}")
        assert json.loads(ws.recv())["type"] == "error"
        with sqlite3.connect(slow_server.database) as books:
            revoke = "UPDATE api_keys SET revoked_at = 1 WHERE id = ?"
            assert books.execute(revoke, (key.split("_")[2],)).rowcount == 1
        if asks:
            ws.send(json.dumps({"type": "response.create", "model": MODEL, "input": "Hello!"}))
        refused = json.loads(ws.recv(timeout=60))
        assert (refused["status"], refused["error"]["code"]) == (401, "invalid_api_key")
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=60)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


@pytest.mark.parametrize("command", ["cancel", "steer", "continue", "conversation", "resume"])
def test_cve_2026_44564_a_socket_allows_what_http_allows(
    slow_server: ServerProcess, command: str
) -> None:
    """In Open WebUI the HTTP routes asked whose document it was, and the socket's did not."""
    owner = client(slow_server)
    conversation = owner.conversations.create()
    live = owner.responses.create(
        model=MODEL, input="What can you do?", max_output_tokens=64, background=True
    )
    create = {"type": "response.create", "model": MODEL, "input": "Hello!"}
    commands = {
        "cancel": {"type": "kosmosx:response.cancel", "response_id": live.id},
        "steer": {"type": "response.steer", "previous_response_id": live.id, "input": "Stop."},
        "continue": create | {"previous_response_id": live.id},
        "conversation": create | {"conversation": conversation.id},
        "resume": None,
    }
    query = f"?response_id={live.id}" if command == "resume" else ""
    with socket(slow_server, slow_server.create_key(), query) as ws:
        if commands[command] is not None:
            ws.send(json.dumps(commands[command]))
        refused = json.loads(ws.recv(timeout=60))
        assert refused["type"] in {"error", "response.steer.failed"}
        assert refused["error"]["code"].endswith("_not_found")
    with owner.responses.retrieve(live.id, stream=True) as stream:
        assert list(stream)[-1].response.output[0].content[0].text  # Nobody disturbed it.


# -- Starlette ---------------------------------------------------------------------------------


def test_cve_2024_47874_forms_are_not_parsed(slow_server: ServerProcess) -> None:
    """Starlette kept a multipart field of any size in memory; there is no form to send here."""
    form = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 2**20
    headers = {
        "Authorization": f"Bearer {slow_server.key}",
        "Content-Type": "multipart/form-data; boundary=x",
    }
    answer = httpx.post(f"{slow_server.base_url}/v1/responses", content=form, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


def test_cve_2025_62727_many_ranges_of_a_file(slow_server: ServerProcess) -> None:
    """Starlette merged the ranges of one header in quadratic time."""
    ranges = "bytes=" + ",".join(f"{start}-{start}" for start in range(0, 2000, 2))
    answer = httpx.get(f"{slow_server.base_url}/main.js", headers={"Range": ranges})
    assert answer.status_code in {200, 206, 400, 416}
    endless = ranges + ",0-" * 3000
    assert httpx.get(f"{slow_server.base_url}/main.js", headers={"Range": endless}).is_error


@pytest.mark.parametrize("host", ["x/health/live?", "x/health/live#", "x:80/?", "a@b/health/live"])
def test_cve_2026_48710_the_host_is_no_path(slow_server: ServerProcess, host: str) -> None:
    """In Starlette the Host header moved the path that was checked away from the one served."""
    with RawClient(slow_server) as raw:
        request = f"GET /v1/models HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        raw.send(request.encode())
        assert raw.rest().split()[1] in {b"401", b"400"}
