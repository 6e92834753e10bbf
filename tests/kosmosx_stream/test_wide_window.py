"""A window that is wider than the model was made for: served, and told of once."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kosmosx_stream.cli import app
from kosmosx_stream.engines import factory
from kosmosx_stream.settings import NANO_CHECKPOINT, Settings
from tests.server_process import ServerProcess

MADE_FOR = json.loads((NANO_CHECKPOINT / "config.json").read_text())["text_config"][
    "max_position_embeddings"
]
WIDER = 2 * MADE_FOR
TOLD = f"KOSMOSX_MAX_MODEL_LEN is {WIDER}, and the model in "


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_log_warns_once_of_a_wider_window(workers: str, tmp_path: Path) -> None:
    server = ServerProcess(
        tmp_path / "data",
        KOSMOSX_ENGINE="deterministic",
        KOSMOSX_WORKERS=workers,
        KOSMOSX_MAX_MODEL_LEN=str(WIDER),
    )
    server.start()
    server.stop()
    log = (tmp_path / "data" / "logs" / "server.log").read_text()
    (warning,) = [line for line in log.splitlines() if TOLD in line]
    assert " WARNING " in warning
    assert f"made for {MADE_FOR} tokens" in warning
    assert server.output().count(TOLD) == 1


@pytest.mark.parametrize("engine", ["vllm", "remote", "transformers"])
def test_it_is_told_whichever_engine_runs_the_model(engine: str) -> None:
    urls = "http://127.0.0.1:1" if engine == "remote" else ""
    settings = Settings(engine=engine, engine_urls=urls)
    assert factory.caution(settings) is None
    narrower = settings.model_copy(update={"max_model_len": MADE_FOR})
    assert factory.caution(narrower) is None
    wider = settings.model_copy(update={"max_model_len": WIDER})
    assert (factory.caution(wider) or "").startswith(TOLD)


def test_a_model_whose_window_cannot_be_wider_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"architectures": ["LlamaForCausalLM"], "vocab_size": 9}
    (tmp_path / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 64}))
    monkeypatch.setenv("KOSMOSX_MAX_MODEL_LEN", "65")
    options = ["--port", "0", "--data-dir", str(tmp_path / "data"), "--model", str(tmp_path)]
    refused = CliRunner().invoke(app, ["serve", *options])
    assert refused.exit_code == 1
    assert "KOSMOSX_MAX_MODEL_LEN is 65; the model was made for 64" in refused.output
    assert "loading" not in refused.output
