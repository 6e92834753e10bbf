"""`kosmosx accounts` and `kosmosx keys`: the same as over HTTP, from a shell."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from kosmosx_stream.cli import app
from tests.kosmosx_stream.clients import MODEL, client, socket
from tests.server_process import ServerProcess

GOOD = "violet ostrich tango"


class Shell:
    """Runs commands on a data folder; in a thread, as they run loops of their own."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def run(self, *command: str, typed: str | None = None) -> Result:
        line = [*command, "--data-dir", str(self._data_dir)]
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(CliRunner().invoke, app, line, input=typed).result()

    def json(self, *command: str, typed: str | None = None) -> Any:
        done = self.run(*command, "--json", typed=typed)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def refusal(self, *command: str, typed: str | None = None) -> str:
        done = self.run(*command, typed=typed)
        assert done.exit_code in {1, 2}
        return str(done.stderr)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "data")


def test_a_key_from_its_creation_to_its_end(shell: Shell) -> None:
    made = shell.json("keys", "create", "--label", "app", "--scopes", "read,usage")
    assert made["key"].startswith(f"kx_live_{made['id']}_")
    assert made["scopes"] == ["read", "usage"]
    assert shell.run("keys", "create", "--account", made["account_id"]).stdout.startswith("kx_live")
    short = shell.json("keys", "create", "--expires-in-days", "1")
    assert short["expires_at"] == pytest.approx(time.time() + 86400, abs=100)
    listed = shell.json("keys", "list")
    assert len(listed) == 3
    assert all("key" not in each for each in listed)
    new = shell.json("keys", "rotate", made["id"], "--overlap-s", "0")
    assert (new["label"], new["scopes"]) == ("app", ["read", "usage"])
    old, _, added = shell.json("keys", "list", "--account", made["account_id"])
    assert (old["status"], old["successor_id"], added["id"]) == ("expired", new["id"], new["id"])
    assert shell.json("keys", "revoke", new["id"])["status"] == "revoked"
    assert f"{new['id']}  {made['account_id']}  revoked" in shell.run("keys", "list").stdout


def test_an_account_from_its_creation_to_its_end(shell: Shell) -> None:
    made = shell.json(
        "accounts", "create", "--email", "Ada@Example.com", "--password-stdin", typed=f"{GOOD}\n"
    )
    assert made["email"] == "ada@example.com"
    typed = "another good ostrich\n"
    assert shell.json("accounts", "password", made["id"], "--password-stdin", typed=typed) == made
    key = shell.json("keys", "create", "--account", made["id"])
    assert shell.json("accounts", "list") == [made] == [shell.json("accounts", "show", made["id"])]
    shell.run("plan", made["id"], "basic")
    listed = shell.run("accounts", "list").stdout
    assert listed.startswith(f"{made['id']}  ada@example.com  basic")
    assert "Delete" in shell.refusal("accounts", "delete", made["id"], typed="n\n")
    shell.json("accounts", "delete", made["id"], "--yes")
    assert shell.json("accounts", "list") == []
    assert shell.json("keys", "list", "--account", made["id"])[0]["id"] == key["id"]
    assert shell.json("keys", "list", "--account", made["id"])[0]["status"] == "revoked"
    assert "no account" in shell.refusal("accounts", "show", made["id"])


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("keys create --scopes read,write", "'write'"),
        ("keys create --account acct_9", "acct_9"),
        ("keys rotate nobody", "nobody"),
        ("keys revoke nobody", "nobody"),
        ("accounts show acct_9", "acct_9"),
        ("accounts delete acct_9 --yes", "acct_9"),
        ("accounts create --email nobody", "--email"),
        ("accounts create --email a@b.de --password-stdin", "password"),
    ],
)
def test_bad_input_is_refused_by_name(shell: Shell, command: str, named: str) -> None:
    assert named in shell.refusal(*command.split(), typed="password123\n")


def test_books_that_are_made_are_told_of(shell: Shell) -> None:
    first, second = shell.run("keys", "list"), shell.run("keys", "list")
    assert first.stderr.startswith("kosmosx: there are no books in ")
    assert second.stderr == ""


def test_a_password_is_set_where_somebody_signs_in(shell: Shell) -> None:
    made = shell.json("accounts", "create")
    for account_id in (made["id"], "acct_9"):
        refused = shell.refusal("accounts", "password", account_id, "--password-stdin", typed=GOOD)
        assert account_id in refused


def test_an_email_has_one_account(shell: Shell) -> None:
    create = ("accounts", "create", "--email", "a@example.com", "--password-stdin")
    assert shell.run(*create, typed=f"{GOOD}\n").exit_code == 0
    assert "a@example.com" in shell.refusal(*create, typed=f"{GOOD}\n")


def test_a_revocation_from_a_shell_ends_what_is_open(slow_server: ServerProcess) -> None:
    shell = Shell(slow_server.data_dir)
    made = shell.json("keys", "create")
    with socket(client(slow_server, made["key"])) as ws:
        ws.connection.response.create(model=MODEL, input="Hi", max_output_tokens=1000)
        while ws.connection.recv().type != "response.output_text.delta":
            pass
        assert shell.run("keys", "revoke", made["id"]).stderr == ""
        while (event := ws.connection.recv()).type != "error":
            pass
    assert event.error.code == "invalid_api_key"
