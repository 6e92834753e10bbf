"""Where a budget has ended, a cheaper model answers, if the account's owner has put up for that."""

import os
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

from kosmosx_stream.settings import NANO_CHECKPOINT
from tests.kosmosx_stream.clients import MODEL, picture_url, socket
from tests.kosmosx_stream.test_usage import Customer
from tests.server_process import KOSMOSX, ServerProcess, started

CHEAPER = "kosmos-x-mini"
PRICES = """
version = "with-fallback"
token_micro_usd = 200
image_micro_usd = 500_000
detection_micro_usd = 0
minimum_tokens = 100

[fallback]
token_micro_usd = 20
image_micro_usd = 50_000
minimum_tokens = 100
"""


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("two_models")
    (folder / "prices.toml").write_text(PRICES)
    yield from started(
        folder,
        KOSMOSX_ENGINE="deterministic",
        KOSMOSX_PRICES=str(folder / "prices.toml"),
        KOSMOSX_FALLBACK_MODEL=str(NANO_CHECKPOINT),
        KOSMOSX_FALLBACK_ENGINE="deterministic",
    )


@pytest.fixture
def customer(two_models: ServerProcess) -> Customer:
    return Customer(two_models)


def set_budget(customer: Customer, limit_usd: str, fallback_usd: str) -> dict[str, Any]:
    budget = {"limit_usd": limit_usd, "hard": True, "fallback_usd": fallback_usd}
    answer = customer.call("PUT", "/v1/budget", json=budget)
    assert answer.status_code == 200, answer.text
    return answer.json()


def budget_of(response: Any) -> dict[str, Any]:
    return response.model_extra["kosmosx:budget"]


def cost(response: Any) -> Decimal:
    return Decimal(response.model_extra["kosmosx:usage"]["cost_usd"])


def test_when_the_budget_ends_the_cheaper_model_answers_until_its_own_end(
    customer: Customer,
) -> None:
    assert set_budget(customer, "0.02", "0.005")["fallback_usd"] == "0.005"
    dear = customer.say()
    assert (dear.model, budget_of(dear)["fallback"]) == (MODEL, False)
    cheap = customer.say(previous_response_id=dear.id)
    assert cheap.model == CHEAPER
    assert budget_of(cheap)["fallback"]
    assert Decimal(budget_of(cheap)["limit_usd"]) == Decimal("0.025")
    assert cost(cheap) == max(cheap.usage.total_tokens, 100) * Decimal("0.00002")
    spent = cost(dear) + cost(cheap)
    ended = False
    while not ended:
        try:
            spent += cost(customer.say())
        except openai.RateLimitError as error:
            ended = error.code == "insufficient_quota"
    report = customer.get("/v1/budget")
    assert Decimal(report["spent_usd"]) == spent <= Decimal("0.025")
    assert Decimal(report["held_usd"]) == 0
    models = customer.get("/v1/usage?group_by=model")["data"]
    assert {row["model"]: row["turns"] > 0 for row in models} == {MODEL: True, CHEAPER: True}


def test_over_a_websocket_the_receipt_has_lines_of_its_own_for_it(customer: Customer) -> None:
    set_budget(customer, "0.01", "1.00")
    with socket(customer.openai) as connection:
        last = connection.say(input="Hello")[-1].response
        assert last.model == CHEAPER
        connection.say(
            input=[{"role": "user", "content": [
                {"type": "input_image", "image_url": picture_url(), "detail": "auto"},
                {"type": "input_text", "text": "What is this?"},
            ]}]
        )  # fmt: skip
        receipt = connection.close()["receipt"]
    lines = {line["meter"]: line["unit_price_usd"] for line in receipt["lines"]}
    assert lines["fallback_tokens"] == "0.00002"
    assert lines["fallback_images"] == "0.05"
    assert not {"tokens", "images"} & set(lines)


def test_without_money_put_up_the_end_is_the_end(customer: Customer) -> None:
    customer.set_budget("0.01")
    with pytest.raises(openai.RateLimitError) as ended:
        customer.say()
    assert ended.value.code == "insufficient_quota"


def test_anybody_may_ask_for_the_cheaper_model(customer: Customer) -> None:
    models = customer.get("/v1/models")["data"]
    assert [model["id"] for model in models] == [MODEL, CHEAPER]
    assert models[1]["kosmosx:prices"]["token_usd"] == "0.00002"
    assert customer.get(f"/v1/models/{CHEAPER}") == models[1]
    response = customer.openai.responses.create(model=CHEAPER, input="Hello")
    assert cost(response) == max(response.usage.total_tokens, 100) * Decimal("0.00002")
    with pytest.raises(
        openai.NotFoundError, match="this server has 'kosmos-x' and 'kosmos-x-mini'"
    ):
        customer.openai.responses.create(model="gpt", input="Hello")


def test_a_soft_budget_never_ends(customer: Customer) -> None:
    soft = {"limit_usd": "1.00", "hard": False, "fallback_usd": "1.00"}
    refused = customer.call("PUT", "/v1/budget", json=soft)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "fallback_usd")


def test_the_operator_puts_up_for_it_too(customer: Customer) -> None:
    told = customer.operate("budgets", "set", "0.01", "--fallback", "0.50")
    assert "0.50 more for the cheaper model" in told
    assert customer.say().model == CHEAPER


def test_a_server_without_a_cheaper_model_promises_none(wordy_server: ServerProcess) -> None:
    wanted = {"limit_usd": "1.00", "hard": True, "fallback_usd": "1.00"}
    refused = Customer(wordy_server).call("PUT", "/v1/budget", json=wanted)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "fallback_usd")


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"KOSMOSX_FALLBACK_ENGINE": "deterministic"}, "price book's [fallback]"),
        ({}, "KOSMOSX_FALLBACK_ENGINE_URLS: "),
        ({"KOSMOSX_FALLBACK_MODEL_NAME": MODEL}, "another name than KOSMOSX_MODEL_NAME"),
    ],
)
def test_what_is_wrong_with_its_settings_is_told_at_start(
    tmp_path: Path, environment: dict[str, str], told: str
) -> None:
    settings = {"KOSMOSX_FALLBACK_MODEL": str(NANO_CHECKPOINT), "KOSMOSX_ENGINE": "deterministic"}
    started = subprocess.run(
        [KOSMOSX, "serve", "--data-dir", tmp_path / "data", "--port", "0"],
        env=os.environ | settings | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert started.returncode != 0
    assert told in started.stderr
