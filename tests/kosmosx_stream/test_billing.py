"""From a turn over HTTP to units at Stripe, and what Stripe and operators say in between."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from kosmosx_stream.cli import app
from tests.server_process import ServerProcess
from tests.stripe_standin.app import Fault, StripeStandin
from tests.stripe_standin.server import StandinServer
from tests.stripe_standin.signing import SECRET, signature, subscription_event, thin_event

KEY = "sk_test_1"


class Shop:
    """A server and its Stripe."""

    def __init__(self, folder: Path, stripe: StripeStandin, url: str) -> None:
        self.stripe = stripe
        self.environment = {
            "STRIPE_API_KEY": KEY,
            "STRIPE_WEBHOOK_SECRET": f"whsec_other,{SECRET}",
            "KOSMOSX_STRIPE_URL": url,
            "KOSMOSX_STRIPE_DELAY_S": "0",
            "KOSMOSX_STRIPE_INTERVAL_S": "0.05",
            "KOSMOSX_ENGINE": "deterministic",
        }
        self.server = ServerProcess(folder / "data", **self.environment)
        self.server.data_dir.mkdir()

    def command(self, *words: str) -> Result:
        """`kosmosx …` on the server's data folder."""
        return CliRunner().invoke(
            app, [*words, "--data-dir", str(self.server.data_dir)], env=self.environment
        )

    def rows(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.server.database)) as db:
            return db.execute(sql).fetchall()

    @property
    def account_id(self) -> str:
        ((account_id,),) = self.rows("SELECT id FROM accounts")
        return str(account_id)

    def say(self) -> int:
        """A response in a session of its own; the tokens that it is billed."""
        headers = {"Authorization": f"Bearer {self.server.key}"}
        answer = httpx.post(
            f"{self.server.base_url}/v1/responses",
            json={"model": "kosmos-x", "input": "Hello!"},
            headers=headers,
            timeout=60,
        )
        session_id = answer.headers["x-kosmosx-session"]
        closed = httpx.get(f"{self.server.base_url}/v1/sessions/{session_id}", headers=headers)
        (line,) = closed.json()["receipt"]["lines"]
        return int(line["billable_units"])

    def tell(self, body: bytes, header: str | None = None) -> httpx.Response:
        """An event of Stripe's."""
        return httpx.post(
            f"{self.server.base_url}/v1/stripe/webhook",
            content=body,
            headers={"Stripe-Signature": signature(body) if header is None else header},
        )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, stripe_server: StandinServer) -> Iterator[Shop]:
    """Set up, with the first account linked and subscribed."""
    stripe = StripeStandin(time.time, key=KEY)
    with stripe_server.serving(stripe):
        made = Shop(tmp_path_factory.mktemp("shop"), stripe, stripe_server.url)
        made.server.start()
        assert made.command("stripe", "setup").exit_code == 0
        yield made
        made.server.stop()


def test_units_wait_for_a_customer_and_arrive_as_the_receipt_has_them(shop: Shop) -> None:
    before = shop.say()
    status = shop.command("stripe", "status")
    assert (status.exit_code, "unlinked    1" in status.output) == (0, True)
    linked = shop.command("stripe", "link", shop.account_id, "--subscribe")
    assert "1 rows waited" in linked.output
    shop.stripe.faults.append(Fault.LOST_REPLY)
    assert shop.stripe.meters.wait_for(before)
    assert shop.stripe.meters.wait_for(before + shop.say())
    (customer_id,) = shop.stripe.catalog.customers
    assert len(shop.stripe.catalog.subscriptions) == 1
    again = shop.command("stripe", "link", shop.account_id, "--subscribe")
    assert again.output.startswith(f"{customer_id} pays for {shop.account_id}; 0 rows")
    assert len(shop.stripe.catalog.subscriptions) == 1


def test_hours_that_are_not_closed_are_not_compared(shop: Shop) -> None:
    done = shop.command("reconcile")
    assert (done.exit_code, done.output) == (0, "0 hours compared\n")


def test_a_hour_that_does_not_agree_is_shown(shop: Shop) -> None:
    """Two days ago, by the books: Stripe knows of nothing then."""
    shop.rows("PRAGMA busy_timeout = 5000")
    with closing(sqlite3.connect(shop.server.database, timeout=30)) as db:
        db.execute(
            "INSERT INTO outbox (id, account_id, customer_id, session_id, segment, meter, units,"
            " cost_micro_usd, timestamp, state, changed_at) SELECT 'kx:old', account_id, 'cus_old',"
            " id, 99, 'tokens', 5, 1000, ?, 'accepted', 0 FROM sessions LIMIT 1",
            (int(time.time()) - 2 * 86400,),
        )
        db.commit()
    done = shop.command("reconcile")
    assert done.exit_code == 1
    assert "mismatch" in done.output
    assert "cus_old  tokens  sent 5, Stripe has 0" in done.output
    status = shop.command("stripe", "status")
    assert (status.exit_code, "mismatched  1 hours, 5 units" in status.output) == (1, True)


def test_an_event_is_taken_once(shop: Shop) -> None:
    body = subscription_event("evt_once")
    for _ in range(2):
        answer = shop.tell(body)
        assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert shop.rows("SELECT id, customer_id, status FROM subscriptions") == [
        ("sub_1", "cus_1", "active")
    ]
    assert shop.rows("SELECT count(*) FROM stripe_events WHERE id = 'evt_once'") == [(1,)]


@pytest.mark.parametrize(
    ("body", "header", "code"),
    [
        (subscription_event("evt_bad"), "t=1,v1=00", "invalid_signature"),
        (subscription_event("evt_bad"), "", "invalid_signature"),
        (subscription_event("evt_bad", livemode=True), None, "wrong_mode"),
        (b"{}", None, "invalid_event"),
    ],
)
def test_what_cannot_be_taken_is_refused_by_name(
    shop: Shop, body: bytes, header: str | None, code: str
) -> None:
    answer = shop.tell(body, header)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert shop.rows("SELECT count(*) FROM stripe_events WHERE id = 'evt_bad'") == [(0,)]


def test_a_report_of_errors_is_logged_in_stripes_words(shop: Shop) -> None:
    shop.stripe.meters._report("kosmosx_tokens", "Customer not found.", "kx:1")
    assert shop.tell(thin_event(shop.stripe.meters.reports[-1])).status_code == 200
    log = (shop.server.data_dir / "logs" / "server.log").read_text()
    assert "billing: Stripe: There is 1 invalid event" in log


def test_without_a_key_there_is_no_webhook(wordy_server: ServerProcess) -> None:
    answer = httpx.post(f"{wordy_server.base_url}/v1/stripe/webhook", content=b"{}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "webhook_not_configured"


def test_no_secret_is_in_the_log(shop: Shop) -> None:
    log = (shop.server.data_dir / "logs" / "server.log").read_text()
    assert KEY not in log
    assert SECRET not in log


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("stripe", "link", "acct_none"), "there is no account acct_none"),
        (("stripe", "link", "ACCOUNT", "cus_none"), "Stripe has no customer 'cus_none'"),
        (("stripe", "link", "ACCOUNT", "--dedicated", "audio"), "expected one of tokens, images"),
    ],
)
def test_what_cannot_be_linked_is_named(shop: Shop, words: tuple[str, ...], message: str) -> None:
    done = shop.command(*(word.replace("ACCOUNT", shop.account_id) for word in words))
    assert done.exit_code != 0
    assert message in done.output


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"STRIPE_API_KEY": "sk_live_1"}, "expected a key for test mode, got one for live mode"),
        (
            {"STRIPE_API_KEY": "sk_test_1", "KOSMOSX_STRIPE_MODE": "live"},
            "expected a key for live mode, got one for test mode",
        ),
        ({"STRIPE_API_KEY": "whatever"}, "expected a secret key of Stripe's"),
        ({"KOSMOSX_STRIPE_MODE": "real"}, "STRIPE_MODE: expected test, live, got 'real'"),
        ({"KOSMOSX_PRICES": "BOOK"}, "missing required field `token_micro_usd`"),
        ({"KOSMOSX_PRICES": "/nowhere.toml"}, "/nowhere.toml"),
    ],
)
@pytest.mark.parametrize("command", [("serve",), ("stripe", "setup")])
def test_nothing_starts_with_what_does_not_fit(
    tmp_path: Path, command: tuple[str, ...], environment: dict[str, str], message: str
) -> None:
    book = tmp_path / "prices.toml"
    book.write_text('version = "1"')
    given = {name: value.replace("BOOK", str(book)) for name, value in environment.items()}
    done = CliRunner().invoke(app, [*command, "--data-dir", str(tmp_path / "data")], env=given)
    assert done.exit_code in {1, 2}
    assert message.lower() in done.output.lower()
    assert "Traceback" not in done.output


def test_stripe_is_not_asked_without_a_key(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["stripe", "setup", "--data-dir", str(tmp_path)])
    assert (done.exit_code, "STRIPE_API_KEY" in done.output) == (2, True)


def test_a_receipt_is_checked_on_the_command_line(shop: Shop, tmp_path: Path) -> None:
    shop.say()
    headers = {"Authorization": f"Bearer {shop.server.key}"}
    listed = httpx.get(f"{shop.server.base_url}/v1/sessions", headers=headers).json()
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(listed["data"][0]))
    good = shop.command("receipts", "verify", str(file))
    assert (good.exit_code, good.output.startswith("good: session sess_")) == (0, True)
    key = shop.command("receipts", "key").output.strip()
    assert key == httpx.get(f"{shop.server.base_url}/v1/receipts/key").json()["public_key"]
    assert shop.command("receipts", "verify", str(file), "--key", key).exit_code == 0

    file.write_text(file.read_text().replace('"total_usd": "0.', '"total_usd": "9.'))
    bad = shop.command("receipts", "verify", str(file))
    assert (bad.exit_code, "it was changed after it was signed" in bad.output) == (1, True)
    for text in ("[]", "{", '{"receipt": null}'):
        file.write_text(text)
        assert shop.command("receipts", "verify", str(file)).exit_code == 1
