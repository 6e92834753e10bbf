"""Where the model comes from: a folder, or a hub, here a small one that speaks its protocol."""

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kosmosx_stream.model_folder import ModelNotFoundError, model_folder
from kosmosx_stream.settings import NANO_CHECKPOINT
from tests.server_process import KOSMOSX

NAME = "microsoft/kosmos-2-patch14-224"
COMMIT = "e91cfbcb4ce051b6a55bfb5f96165a3bbf5eb82c"
ON_HUB = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "pytorch_model.bin": b"a pickle",
    "README.md": b"# A model",
}


class Hub(BaseHTTPRequestHandler):
    """What `huggingface_hub` asks of a hub: the list of a model's files, and each of them."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None: ...

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        name = path.rpartition("/")[2]
        if path in {f"/api/models/{NAME}/revision/main", f"/api/models/{NAME}"}:
            files = [{"rfilename": name} for name in ON_HUB]
            self._send(json.dumps({"id": NAME, "sha": COMMIT, "siblings": files}).encode())
        elif path.startswith(f"/api/models/{NAME}/tree/"):
            files = [
                {"type": "file", "path": name, "size": len(data), "oid": COMMIT}
                for name, data in ON_HUB.items()
            ]
            self._send(json.dumps(files).encode())
        elif path == f"/{NAME}/resolve/{COMMIT}/{name}" and name in ON_HUB:
            self._send(ON_HUB[name])
        else:
            self._send(b"{}", status=404)

    def _send(self, body: bytes, *, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        if status != 200:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def serve(model: str | Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`kosmosx serve`, which is expected to refuse."""
    command = [KOSMOSX, "serve", "--port", "0", "--data-dir", folder / "data", "--model", model]
    environment = {"HF_HOME": str(folder / "hf"), "KOSMOSX_ENGINE": "deterministic"} | environment
    return subprocess.run(
        command,
        check=False,
        env=os.environ | {"HF_HUB_OFFLINE": "0"} | environment,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120,
    )


def test_a_folder_is_taken_as_it_is():
    assert model_folder(NANO_CHECKPOINT) == NANO_CHECKPOINT


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path):
    with pytest.raises(ModelNotFoundError, match=r"has no config\.json"):
        model_folder(tmp_path)


@pytest.mark.parametrize("name", ["no-such-folder", "/no/such/folder", "a/b/c"])
def test_what_is_neither_folder_nor_name_is_refused(name: str):
    with pytest.raises(ModelNotFoundError, match=r"KOSMOSX_MODEL .*owner/name"):
        model_folder(Path(name))


def test_a_name_is_fetched_from_the_hub(hub: str, tmp_path: Path):
    """The client is the real one; the server goes on to the checkpoint, which is none."""
    refused = serve(NAME, tmp_path, HF_ENDPOINT=hub)
    (snapshot,) = tmp_path.glob("hf/hub/models--*/snapshots/*")
    assert {each.name for each in snapshot.iterdir()} == {"config.json", "model.safetensors"}
    assert (snapshot / "model.safetensors").read_bytes() == b"weights"
    assert refused.returncode == 1
    assert f"the model in {snapshot} cannot be served" in refused.stderr


def test_weights_of_an_engine_elsewhere_are_not_fetched(hub: str, tmp_path: Path):
    serve(
        NAME,
        tmp_path,
        HF_ENDPOINT=hub,
        KOSMOSX_ENGINE="remote",
        KOSMOSX_ENGINE_URLS="http://127.0.0.1:9",
    )
    (snapshot,) = tmp_path.glob("hf/hub/models--*/snapshots/*")
    assert {each.name for each in snapshot.iterdir()} == {"config.json"}


def test_a_hub_without_the_model_is_named(hub: str, tmp_path: Path):
    refused = serve("nobody/nothing", tmp_path, HF_ENDPOINT=hub)
    assert refused.returncode == 1
    assert "KOSMOSX_MODEL (--model) is 'nobody/nothing'" in refused.stderr
    assert hub in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_hub_out_of_reach_is_named(tmp_path: Path):
    refused = serve(NAME, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert refused.returncode == 1
    assert f"KOSMOSX_MODEL (--model) is '{NAME}'" in refused.stderr
    assert "http://127.0.0.1:9" in refused.stderr
    assert "Traceback" not in refused.stderr
