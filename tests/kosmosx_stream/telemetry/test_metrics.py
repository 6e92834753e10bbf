"""What Prometheus reads of a running server: every declared metric, and what turns make of them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import httpx
import openai
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from kosmosx_stream.telemetry.names import METRICS
from tests.kosmosx_stream.clients import MODEL, client, message, picture_url, socket
from tests.server_process import ServerProcess

OPENMETRICS = {"accept": "application/openmetrics-text; version=1.0.0"}


def scrape(server: ServerProcess) -> dict[str, list[Sample]]:
    """The samples of each family, by its name in Prometheus."""
    answer = httpx.get(f"{server.base_url}/metrics", headers=OPENMETRICS).raise_for_status()
    families = text_string_to_metric_families(answer.text)
    return {
        family.name + ("_total" if family.type == "counter" else ""): family.samples
        for family in families
    }


def value(samples: list[Sample], **labels: str) -> float:
    """The sum over the series with these labels; of histograms, how many were measured."""
    return sum(
        sample.value
        for sample in samples
        if not sample.name.endswith(("_bucket", "_sum")) and labels.items() <= sample.labels.items()
    )


class Rise:
    """What was counted in between."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._before = scrape(server)
        self._after: dict[str, list[Sample]] = {}

    def look(self) -> None:
        self._after = scrape(self._server)

    def __call__(self, name: str, **labels: str) -> float:
        before = value(self._before.get(name, []), **labels)
        return value(self._after[name], **labels) - before


@contextmanager
def rise(server: ServerProcess) -> Iterator[Rise]:
    counted = Rise(server)
    yield counted
    counted.look()


def test_a_turn_counts_what_its_usage_says(wordy_server: ServerProcess) -> None:
    asked = {"model": MODEL, "max_output_tokens": 16}
    with rise(wordy_server) as counted:
        official = client(wordy_server)
        with official.responses.create(**asked, input="Hello!", stream=True) as stream:
            *_, last = stream
        with socket(official) as ws:
            other = ws.say(input=[message("And this?", picture_url())], max_output_tokens=16)[-1]
            receipt = ws.close()
    usages = [last.response.usage, other.response.usage]
    outcomes = ["stop" if end.type == "response.completed" else "length" for end in (last, other)]
    output_tokens = sum(usage.output_tokens for usage in usages)
    assert counted("kosmosx_tokens_total", gen_ai_token_type="output") == output_tokens
    assert counted("kosmosx_tokens_committed_total") == output_tokens
    input_tokens = sum(usage.input_tokens for usage in usages)
    assert counted("kosmosx_tokens_total", gen_ai_token_type="input") == input_tokens
    cached = sum(usage.input_tokens_details.cached_tokens for usage in usages)
    assert counted("kosmosx_tokens_cached_total") == cached
    assert counted("kosmosx_images_total") == 1
    session_id = getattr(last.response, "kosmosx:session")["id"]
    session = official.get(f"/sessions/{session_id}", cast_to=object)
    cost_usd = Decimal(session["usage"]["cost_usd"]) + Decimal(receipt["usage"]["cost_usd"])
    assert counted("kosmosx_cost_micro_usd_total") == cost_usd * 1_000_000 > 0
    for outcome in ("stop", "length"):
        ended = outcomes.count(outcome)
        assert counted("kosmosx_turns_total", outcome=outcome) == ended
    assert counted("kosmosx_settlements_total", outcome="recorded") == 2
    for each in ("time_to_first_token", "request_duration", "time_per_output_token"):
        name = f"gen_ai_server_{each}_seconds"
        assert counted(name, gen_ai_request_model=MODEL) == 2, name
    # A gap before every commit of tokens but each answer's first.
    assert 0 <= counted("kosmosx_inter_token_gap_seconds") <= output_tokens - 2
    assert counted("kosmosx_follow_lag_seconds") >= 2
    assert counted("kosmosx_commit_duration_seconds") == counted("kosmosx_commit_writes") > 2


def test_refusals_are_counted_by_their_codes(wordy_server: ServerProcess) -> None:
    official = client(wordy_server)
    with rise(wordy_server) as counted:
        with pytest.raises(openai.NotFoundError):
            official.responses.create(model="another", input="Hello!")
        with socket(official) as ws:
            ws.connection.send({"type": "no such command"})
            refused = ws.read()[-1]
        httpx.get(f"{wordy_server.base_url}/v1/models/{'x' * 99}")
    assert counted("kosmosx_refusals_total", code="model_not_found", transport="http") == 1
    assert counted("kosmosx_refusals_total", code=refused.error.code, transport="websocket") == 1
    route = "/v1/models/{model}"
    assert counted("http_server_request_duration_seconds", http_route=route) == 1


def test_every_metric_is_there_with_its_labels(wordy_server: ServerProcess) -> None:
    with pytest.raises(openai.NotFoundError):
        client(wordy_server).responses.create(model="another", input="Hello!")
    client(wordy_server).responses.create(model=MODEL, input="Hello!", max_output_tokens=16)
    found = scrape(wordy_server)
    for metric in METRICS:
        samples = found[metric.prometheus]
        assert samples, metric.name
        for sample in samples:
            labels = set(sample.labels) - {"le"}
            assert labels == {label.prometheus for label in metric.labels}, sample
    ours = {name for name in found if not re.match("process_|python_", name)}
    assert ours == {metric.prometheus for metric in METRICS}


def test_what_is_so_is_shown(wordy_server: ServerProcess) -> None:
    with socket(client(wordy_server)) as ws:
        ws.say(input="Hello!", max_output_tokens=16)
        found = scrape(wordy_server)
        assert value(found["kosmosx_sessions_active"]) >= 1
        assert value(found["kosmosx_connections_open"], transport="websocket") >= 1
    assert value(found["kosmosx_redis_up"]) == value(found["kosmosx_redis_durable"]) == 1
    assert value(found["kosmosx_books_up"]) == 1
    assert value(found["kosmosx_draining"]) == 0


def test_nobody_is_named(wordy_server: ServerProcess) -> None:
    said = client(wordy_server).responses.create(
        model=MODEL, input="Mellifluous.", max_output_tokens=16
    )
    text = httpx.get(f"{wordy_server.base_url}/metrics").text
    for name in (said.id, wordy_server.key, "acct_", "sess_", "Mellifluous"):
        assert name not in text


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via"])
def test_what_comes_through_a_proxy_is_not_served(wordy_server: ServerProcess, header: str) -> None:
    answer = httpx.get(f"{wordy_server.base_url}/metrics", headers={header: "192.0.2.1"})
    assert answer.status_code == 404
