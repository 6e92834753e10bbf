"""`kosmosx doctor` on settings that are right, and on ones that are not."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conversation.redis_connection import connect
from kosmosx_stream.embedded_valkey import embedded_valkey
from tests.server_process import KOSMOSX, free_port

NOBODY = "http://127.0.0.1:1"


def examine(folder: Path, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Its exit status, and what it found, by what it is about."""
    command = [KOSMOSX, "doctor", "--json", "--data-dir", folder]
    ended = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    return ended.returncode, {each["about"]: each for each in json.loads(ended.stdout)}


def test_a_machine_that_serves_the_defaults_is_well(tmp_path: Path) -> None:
    status, findings = examine(tmp_path / "data")
    assert status == 0
    assert list(findings) == [
        "data folder",
        "prices",
        "redis",
        "books",
        "model",
        "engine",
        "stripe",
        "collector",
    ]
    assert findings["redis"]["verdict"] == findings["model"]["verdict"] == "ok"
    assert "Kosmos-2" in findings["model"]["found"]


def test_what_is_wrong_is_told_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text("version = 5")
    status, findings = examine(
        tmp_path / "data",
        KOSMOSX_PRICES=str(prices),
        KOSMOSX_MODEL=str(tmp_path / "nowhere"),
        KOSMOSX_ENGINE="remote",
        KOSMOSX_ENGINE_URLS=NOBODY,
        KOSMOSX_FALLBACK_MODEL=str(tmp_path / "nowhere else"),
        KOSMOSX_FALLBACK_ENGINE_URLS=NOBODY,
        REDIS_URL=f"redis://127.0.0.1:{free_port()}",
        STRIPE_API_KEY="sk_test_x",
        KOSMOSX_STRIPE_URL=NOBODY,
        OTEL_EXPORTER_OTLP_ENDPOINT=NOBODY,
    )
    assert status == 1
    failed = {about for about, each in findings.items() if each["verdict"] == "failure"}
    cheaper = {"fallback model", "fallback engine"}
    assert failed == {"prices", "redis", "model", "engine", "stripe"} | cheaper
    assert all(each["do"] for each in findings.values() if each["verdict"] == "failure")
    assert "version" in findings["prices"]["found"]
    assert "0 of 1 servers answer" in findings["engine"]["found"]
    assert "nowhere else" in findings["fallback model"]["found"]
    assert "KOSMOSX_FALLBACK_MODEL" in findings["fallback model"]["do"]
    assert "KOSMOSX_FALLBACK_ENGINE_URLS" in findings["fallback engine"]["do"]
    # Answers do without it.
    assert findings["collector"]["verdict"] == "warning"
    assert ":4318" in findings["collector"]["do"]
    assert findings["books"]["verdict"] == "warning"  # SQLite, with a Redis that others may share.


def test_a_window_that_the_model_was_not_made_for_is_told(tmp_path: Path) -> None:
    status, findings = examine(tmp_path / "data", KOSMOSX_MAX_MODEL_LEN="4096")
    assert status == 0
    assert findings["model"]["verdict"] == "warning"
    assert "KOSMOSX_MAX_MODEL_LEN is 4096" in findings["model"]["found"]
    assert "made for 2048" in findings["model"]["found"]


@pytest.mark.parametrize(
    ("setting", "value"), [("appendfsync", "everysec"), ("maxmemory-policy", "allkeys-lru")]
)
async def test_a_redis_that_may_forget_is_named(tmp_path: Path, setting: str, value: str) -> None:
    async with embedded_valkey(tmp_path) as url:
        redis = connect(url)
        await redis.config_set(setting, value)
        await redis.aclose()
        status, findings = examine(tmp_path / "data", REDIS_URL=url)
    assert status == 1
    assert findings["redis"]["verdict"] == "failure"
    assert setting in findings["redis"]["found"]


async def test_a_redis_that_has_no_room_is_named(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url:
        redis = connect(url)
        await redis.config_set("maxmemory", "1")
        await redis.aclose()
        status, findings = examine(tmp_path / "data", REDIS_URL=url)
    assert status == 1
    assert findings["redis"]["verdict"] == "failure"
    assert "the store is full" in findings["redis"]["found"]
