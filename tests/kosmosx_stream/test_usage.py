"""Usage and budgets as customers see them, by the real server."""

import csv
import io
import subprocess
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

from tests.kosmosx_stream.clients import MODEL, client, socket
from tests.server_process import KOSMOSX, ServerProcess

TOKEN_USD = Decimal("0.0002")


class Customer:
    """An account of its own, over HTTP."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.key = server.create_key()
        self.openai = client(server, self.key)

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.request(method, f"{self.server.base_url}{path}", headers=headers, **request)

    def get(self, path: str) -> dict[str, Any]:
        answer = self.call("GET", path)
        assert answer.status_code == 200
        return answer.json()

    def set_budget(self, limit_usd: str, *, hard: bool = True) -> dict[str, Any]:
        answer = self.call("PUT", "/v1/budget", json={"limit_usd": limit_usd, "hard": hard})
        assert answer.status_code == 200
        return answer.json()

    def operate(self, group: str, verb: str, *given: str) -> str:
        """What the operator does to the account, in a shell."""
        command = [KOSMOSX, group, verb, self.get("/v1/account")["id"], *given]
        command += ["--data-dir", self.server.data_dir]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def say(self, text: str = "Hello", **request: Any) -> Any:
        return self.openai.responses.create(model=MODEL, input=text, **request)


@pytest.fixture
def customer(wordy_server: ServerProcess) -> Customer:
    return Customer(wordy_server)


def test_usage_is_what_the_responses_said(customer: Customer) -> None:
    assert customer.get("/v1/usage")["data"] == []
    said = [customer.say(), customer.say("Hello again")]
    report = customer.get("/v1/usage")
    (today,) = report["data"]
    assert today["turns"] == 2
    assert today["output_tokens"] == sum(each.usage.output_tokens for each in said)
    assert today["total_tokens"] == sum(each.usage.total_tokens for each in said)
    cost = sum(Decimal(each.model_extra["kosmosx:usage"]["cost_usd"]) for each in said)
    assert Decimal(today["cost_usd"]) == Decimal(report["total"]["cost_usd"]) == cost
    assert not report["has_more"]


def test_usage_comes_by_session_and_key_as_a_table(customer: Customer) -> None:
    customer.say()
    with socket(customer.openai) as connection:
        connection.say(input="Hello")
        session_id = connection.close()["id"]
    answer = customer.call("GET", "/v1/usage?group_by=key_id&group_by=session_id&format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["key_id"] for row in rows} == {customer.key.split("_")[2]}
    assert [row["turns"] for row in rows if row["session_id"] == session_id] == ["1"]
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("start=yesterday", "start"),
        ("end=2026-13-01", "end"),
        ("start=2026-02-02&end=2026-02-01", "end"),
        ("group_by=colour", "group_by[0]"),
        ("format=xml", "format"),
    ],
)
def test_bad_questions_name_their_parameter(customer: Customer, query: str, param: str) -> None:
    answer = customer.call("GET", f"/v1/usage?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_a_forecast_is_no_less_than_what_is_spent(customer: Customer) -> None:
    customer.say()
    ahead = customer.get("/v1/usage/forecast")
    assert Decimal(ahead["projected_usd"]) >= Decimal(ahead["spent_usd"]) > 0
    assert (ahead["limit_usd"], ahead["left_usd"]) == (None, None)
    customer.set_budget("5")
    assert customer.get("/v1/usage/forecast")["limit_usd"] == "5.00"


def test_a_budget_is_set_seen_and_removed(customer: Customer) -> None:
    assert customer.get("/v1/budget")["limit_usd"] is None
    said = customer.set_budget("12.5")
    assert (said["limit_usd"], said["left_usd"], said["hard"]) == ("12.50", "12.50", True)
    cost = Decimal(customer.say().model_extra["kosmosx:usage"]["cost_usd"])
    now = customer.get("/v1/budget")
    assert Decimal(now["spent_usd"]) == cost
    assert Decimal(now["left_usd"]) == Decimal("12.5") - cost
    assert now["held_usd"] == "0.00"
    assert customer.call("DELETE", "/v1/budget").json()["limit_usd"] is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"limit_usd": "-1", "hard": True}, "limit_usd"),
        ({"limit_usd": 5, "hard": True}, "limit_usd"),
        ({"limit_usd": "1.0000001", "hard": True}, "limit_usd"),
        ({"hard": True}, "limit_usd"),
        ({"limit_usd": "1"}, "hard"),
    ],
)
def test_a_bad_budget_names_its_field(customer: Customer, body: Any, param: str) -> None:
    answer = customer.call("PUT", "/v1/budget", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_a_hard_budget_cuts_an_answer_and_then_refuses(customer: Customer) -> None:
    text = "word " * 120
    tokens = customer.openai.responses.input_tokens.count(model=MODEL, input=text).input_tokens
    limit = TOKEN_USD * (tokens + 5)
    customer.set_budget(str(limit))
    said = customer.say(text)
    assert said.status == "incomplete"
    assert said.model_extra["kosmosx:reason"] == "budget"
    assert said.usage.output_tokens == 5
    assert Decimal(said.model_extra["kosmosx:usage"]["cost_usd"]) == limit
    assert Decimal(said.model_extra["kosmosx:budget"]["left_usd"]) == 0
    with pytest.raises(openai.RateLimitError) as refused:
        customer.say()
    assert refused.value.code == refused.value.type == "insufficient_quota"
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert Decimal(customer.get("/v1/budget")["spent_usd"]) == limit


def test_a_soft_budget_warns_on_a_socket(customer: Customer) -> None:
    customer.set_budget("0.001", hard=False)
    with socket(customer.openai) as connection:
        events = connection.say(input="Hello")
    (warning,) = [event for event in events if event.type == "kosmosx:budget.warning"]
    assert warning.budget["limit_usd"] == "0.001"
    assert events[-1].type == "response.completed"
    assert Decimal(events[-1].response.model_extra["kosmosx:budget"]["left_usd"]) < 0


def test_the_operators_budget_is_not_the_customers_to_change(customer: Customer) -> None:
    assert "hard, 3.00 USD a month: 0.00 spent" in customer.operate("budgets", "set", "3")
    assert customer.get("/v1/budget")["locked"]
    for method in ("PUT", "DELETE"):
        body = {"json": {"limit_usd": "9", "hard": True}} if method == "PUT" else {}
        answer = customer.call(method, "/v1/budget", **body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "budget_locked")
    customer.operate("budgets", "remove")
    assert customer.get("/v1/budget")["limit_usd"] is None
    assert customer.operate("budgets", "show").strip() == "no budget"
