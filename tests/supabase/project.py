"""A real Supabase project on this machine: `@supabase/lite`, on PGlite or on a PostgreSQL."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from tests.node import NODE, node_modules
from tests.server_process import free_port

HERE = Path(__file__).parent
MIGRATIONS = HERE.parents[1] / "supabase" / "migrations"
START_TIMEOUT_S = 150


class SupabaseProject:
    """`lite start` on a folder with this program's migrations; can be stopped and started again."""

    publishable_key = "sb_publishable_of_the_tests_00000"
    service_key = "sb_secret_of_the_tests_0000000000"

    def __init__(self, folder: Path, *, driver: str = "pglite", database: str = "data") -> None:
        """`database` is PGlite's folder, or PostgreSQL's URL."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._http = httpx.Client(base_url=f"{self.url}/rest/v1", verify=False)
        self._folder = folder
        self._output = folder / "lite.out"
        self._process: subprocess.Popen[bytes] | None = None
        migrations = folder / "supabase" / "migrations"
        shutil.copytree(MIGRATIONS, migrations)
        shutil.copy(HERE / "reset.sql", migrations / "99999999999999_reset.sql")
        configuration = (
            (HERE / "config.toml")
            .read_text()
            .format(
                port=self.port,
                driver=driver,
                url=database,
                jwt_secret="signs-what-the-tests-sign-in-with-0000",
                publishable_key=self.publishable_key,
                secret_key=self.service_key,
            )
        )
        (folder / "supabase" / "config.toml").write_text(configuration)

    def migrate(self) -> None:
        """Apply the migrations that are not applied yet."""
        with self._output.open("ab") as out:
            subprocess.run(
                [*self._lite(), "migration", "up"], check=True, stdout=out, stderr=out,
                cwd=self._folder, env=self._environment(), timeout=START_TIMEOUT_S,
            )  # fmt: skip

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._output.open("ab") as out:
            self._process = subprocess.Popen(
                [*self._lite(), "start", "--no-admin"], stdout=out, stderr=out,
                cwd=self._folder, env=self._environment(), start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(self._output.read_text()[-2000:])
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill it, and all that it started."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Kill it for good."""
        self.stop()
        self._http.close()

    def reset(self) -> None:
        """Empty all tables."""
        self.call("reset").raise_for_status()

    def call(self, function: str, *, token: str | None = None, **arguments: Any) -> httpx.Response:
        """Call a function with the service key, or with the token of one who is signed in."""
        return self._http.post(f"rpc/{function}", json=arguments, headers=self._headers(token))

    def rows(self, table: str, **filters: str) -> list[Any]:
        """What is in a table, e.g. `id="eq.acct_1"`."""
        answer = self._http.get(table, params=filters, headers=self._headers(None))
        return list(answer.raise_for_status().json())

    def change(self, table: str, values: dict[str, Any], **filters: str) -> None:
        """Change rows of a table."""
        self._http.patch(
            table, json=values, params=filters, headers=self._headers(None)
        ).raise_for_status()

    def request(self, method: str, table: str, token: str, **filters: str) -> httpx.Response:
        """As one who is signed in; with an empty token, as anybody."""
        values = None if method == "GET" else {"id": "acct_9", "name": "Mine", "created_at": 1}
        headers = self._headers(token) | {"Prefer": "return=representation"}
        return self._http.request(method, table, params=filters, headers=headers, json=values)

    def _headers(self, token: str | None) -> dict[str, str]:
        if token is None:
            return {"apikey": self.service_key}
        return {"apikey": self.publishable_key} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )

    def _answers(self) -> bool:
        try:
            return self.call("schema_version").is_success
        except httpx.TransportError:
            return False

    def _lite(self) -> list[str | Path]:
        return [NODE, node_modules(HERE) / "@supabase" / "lite" / "dist" / "cli" / "index.js"]

    def _environment(self) -> dict[str, str]:
        return os.environ | {"LITE_TELEMETRY": "0", "NO_COLOR": "1"}
