"""The server with its books in a Supabase project: kept, billed once, and missed when gone."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.kosmosx_stream.clients import MODEL, client, socket, text_of
from tests.server_process import KOSMOSX, ServerProcess, stopped
from tests.supabase.project import SupabaseProject


def settings(project: SupabaseProject, **changed: str) -> dict[str, str]:
    return {
        "SUPABASE_URL": project.url,
        "SUPABASE_SERVICE_KEY": project.service_key,
        "KOSMOSX_KEY_PEPPER": "a pepper that every server of the tests has",
        "KOSMOSX_ENGINE": "deterministic",
    } | changed


@pytest.fixture(scope="module")
def process(
    supabase: SupabaseProject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    supabase.reset()
    yield from stopped(
        tmp_path_factory.mktemp("booked"),
        KOSMOSX_DETERMINISTIC_RATE="50",
        KOSMOSX_LEASE_TTL_S="2",
        KOSMOSX_SWEEP_INTERVAL_S="0.2",
        KOSMOSX_SETTLE_TIMEOUT_S="1",
        **settings(supabase),
    )


@pytest.fixture
def server(process: ServerProcess) -> ServerProcess:
    process.ensure_running()
    return process


def session(server: ServerProcess, session_id: str, key: str | None = None) -> httpx.Response:
    return httpx.get(
        f"{server.base_url}/v1/sessions/{session_id}",
        headers={"Authorization": f"Bearer {key or server.key}"},
    )


def ledger(project: SupabaseProject, server: ServerProcess, session_id: str) -> list[Any]:
    """The session's rows, as the tables have them."""
    rows = project.rows("usage_records", session_id=f"eq.{session_id}")
    assert {row["account_id"] for row in rows} <= {account_of(project, server)}
    return rows


def account_of(project: SupabaseProject, server: ServerProcess) -> str:
    (key,) = project.rows("api_keys", id=f"eq.{server.key.split('_')[2]}")
    return str(key["account_id"])


def test_a_session_and_its_receipt_outlive_the_server(
    server: ServerProcess, supabase: SupabaseProject
) -> None:
    with socket(client(server)) as connection:
        events = connection.say(input="My name is Ada.")
        usage = events[-1].response.usage
        closed = connection.close()
    assert not server.database.exists()
    (row,) = ledger(supabase, server, closed["id"])
    assert row["raw_units"] == usage.total_tokens
    assert closed["receipt"]["lines"][0]["units"] == usage.total_tokens
    server.stop()
    server.start()
    assert session(server, closed["id"]).json() == closed
    other = server.create_key()
    assert session(server, closed["id"], other).status_code == 404


def test_a_killed_server_goes_on_and_bills_once(
    server: ServerProcess, supabase: SupabaseProject
) -> None:
    official = client(server)
    seen: list[Any] = []
    with (
        official.responses.create(model=MODEL, input="Tell me more.", stream=True) as stream,
        pytest.raises((openai.APIError, httpx.TransportError)),
    ):
        read_and_kill(stream, seen, server)
    server.start()
    with official.responses.retrieve(
        seen[0].response.id, stream=True, starting_after=seen[-1].sequence_number
    ) as rest:
        events = [*seen, *rest]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    response = events[-1].response
    assert response.status == "completed"
    assert text_of(events) == response.output_text
    (row,) = supabase.rows("usage_records", response_id=f"eq.{response.id}")
    assert row["raw_units"] == response.usage.total_tokens


def read_and_kill(stream: Any, seen: list[Any], server: ServerProcess) -> None:
    for event in stream:
        if event.type == "response.output_text.delta" and not text_of(seen):
            server.kill()
        seen.append(event)


def test_an_answer_goes_on_without_the_project_and_is_billed_when_it_is_back(
    server: ServerProcess, supabase: SupabaseProject
) -> None:
    with client(server).responses.create(model=MODEL, input="Hello!", stream=True) as stream:
        first = next(iter(stream)).response
        supabase.stop()
        try:
            last = list(stream)[-1].response
            assert (last.id, last.status) == (first.id, "completed")
            # Nobody is let in meanwhile.
            for _ in range(2):
                refused = ask_until(server, last.id, 503)
                assert refused["error"]["code"] == "store_unavailable"
        finally:
            supabase.start()
    answer = ask_until(server, last.id, 200)
    assert answer["output"][0]["content"][0]["text"] == last.output_text
    rows = rows_when_settled(supabase, last.id)
    assert [row["raw_units"] for row in rows] == [last.usage.total_tokens]


def rows_when_settled(project: SupabaseProject, response_id: str) -> list[Any]:
    deadline = time.monotonic() + 30
    while not (rows := project.rows("usage_records", response_id=f"eq.{response_id}")):
        assert time.monotonic() < deadline
    return rows


def ask_until(server: ServerProcess, response_id: str, status: int) -> dict[str, Any]:
    """Read a response until the server says this; its verdict on the key is good for a second."""
    deadline = time.monotonic() + 30
    with httpx.Client(headers={"Authorization": f"Bearer {server.key}"}) as asking:
        while True:
            answer = asking.get(f"{server.base_url}/v1/responses/{response_id}")
            if answer.status_code == status:
                return dict(answer.json())
            assert time.monotonic() < deadline, answer.text


def test_people_sign_in_by_supabase_auth(server: ServerProcess, supabase: SupabaseProject) -> None:
    ada = {"email": "ada@example.com", "password": "violet ostrich tango"}
    with httpx.Client(base_url=f"{server.base_url}/v1/") as asking:
        account = asking.post("accounts", json=ada).json()
        assert asking.post("accounts", json=ada).json()["error"]["code"] == "email_taken"
        (kept,) = supabase.rows("accounts", id=f"eq.{account['id']}")
        assert kept["password_hash"] is None
        assert kept["user_id"] is not None
        wrong = asking.post("accounts/sign_in", json=ada | {"password": "violet ostrich fandango"})
        assert wrong.status_code == 401
        token = asking.post("accounts/sign_in", json=ada).json()["access_token"]
        asking.headers["Authorization"] = f"Bearer {token}"
        new = {"new_password": "violet ostrich fandango"}
        changed = asking.post("account/password", json={"password": ada["password"]} | new)
        assert changed.is_success, changed.text
        assert asking.post("accounts/sign_in", json=ada).status_code == 401
        ada["password"] = new["new_password"]
        assert asking.post("accounts/sign_in", json=ada).is_success
        assert asking.get("account").json()["email"] == "ada@example.com"
        said = client(server, token).responses.create(model=MODEL, input="Hi")
        assert said.status == "completed"
        assert asking.delete("account").is_success
        assert asking.post("accounts/sign_in", json=ada).status_code == 401
    (row,) = supabase.rows("usage_records", response_id=f"eq.{said.id}")
    assert row["account_id"] == account["id"]
    (gone,) = supabase.rows("accounts", id=f"eq.{account['id']}")
    assert (gone["email"], gone["user_id"]) == (None, None)


@pytest.mark.parametrize(
    ("command", "changed", "said"),
    [
        (["serve"], {"SUPABASE_URL": "http://127.0.0.1:9"}, "schema_version: All connection"),
        (["serve"], {"SUPABASE_SERVICE_KEY": "sb_secret_wrong"}, "the service key is refused"),
        (
            ["keys", "create"],
            {"SUPABASE_SERVICE_KEY": SupabaseProject.publishable_key},
            "the service key is refused",
        ),
    ],
    ids=["unreachable", "a wrong key", "not the secret key"],
)
def test_it_does_not_start_without_its_books(
    supabase: SupabaseProject,
    tmp_path: Path,
    command: list[str],
    changed: dict[str, str],
    said: str,
) -> None:
    environment = settings(supabase, **changed)
    done = subprocess.run(
        [KOSMOSX, *command, "--data-dir", tmp_path / "data"],
        env=os.environ | {"KOSMOSX_PORT": "0"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"kosmosx: SUPABASE_URL={environment['SUPABASE_URL']} with SUPABASE_SERVICE_KEY: {said}"
    )
