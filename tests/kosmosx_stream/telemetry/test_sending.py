"""What a collector gets of a real server, over OTLP."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from kosmosx_stream.settings import Settings
from kosmosx_stream.telemetry.sending import make_telemetry, sending
from tests.kosmosx_stream.clients import MODEL, client
from tests.otlp_collector import Collector, Span
from tests.server_process import ServerProcess, free_port, started

PARENT_ID = "b7ad6b7169203331"
WORD = "Mellifluous"
BELOW_THE_TURN = {"engine", "commit", "settlement"}


def traceparent() -> tuple[str, dict[str, str]]:
    """The id of a trace that is to be kept, and the header that says so."""
    trace_id = secrets.token_hex(16)
    return trace_id, {"traceparent": f"00-{trace_id}-{PARENT_ID}-01"}


def read_trace(otlp: Collector, trace_id: str, last: str) -> dict[str, Span]:
    """Its spans by their names, once the one that ends last is there."""
    spans = otlp.wait_for(
        lambda spans: any(span.name == last and span.trace_id == trace_id for span in spans)
    )
    found = [span for span in spans if span.trace_id == trace_id]
    assert len({span.name for span in found}) == len(found)
    return {span.name: span for span in found}


def check_tree(spans: dict[str, Span], root: str) -> None:
    """From the socket to admission, engine, commits and settlement."""
    turn = spans["chat kosmos-x"]
    assert set(spans) == {root, "admission", "lease", turn.name, *BELOW_THE_TURN}
    assert spans[root].parent_id == PARENT_ID
    for name in ("admission", "lease", turn.name):
        assert spans[name].parent_id == spans[root].id
    for name in BELOW_THE_TURN:
        assert spans[name].parent_id == turn.id


def test_a_turn_over_sse_is_one_trace(wordy_server: ServerProcess, otlp: Collector) -> None:
    trace_id, headers = traceparent()
    asked = {"model": MODEL, "input": WORD, "stream": True, "max_output_tokens": 16}
    with client(wordy_server).responses.create(**asked, extra_headers=headers) as stream:
        *_, last = stream
    spans = read_trace(otlp, trace_id, "POST /v1/responses")
    check_tree(spans, "POST /v1/responses")
    turn = spans["chat kosmos-x"]
    usage = last.response.usage
    assert turn.attributes["gen_ai.response.id"] == last.response.id
    assert turn.attributes["gen_ai.usage.input_tokens"] == usage.input_tokens
    assert turn.attributes["gen_ai.usage.output_tokens"] == usage.output_tokens
    assert turn.resource["service.name"] == "kosmosx"
    assert spans["POST /v1/responses"].attributes["http.response.status_code"] == 200
    text = last.response.output_text.encode()
    for body in otlp.bodies:
        for said in (WORD.encode(), text, wordy_server.key.encode()):
            assert said not in body


def test_a_turn_on_a_websocket_is_one_trace(wordy_server: ServerProcess, otlp: Collector) -> None:
    trace_id, headers = traceparent()
    url = f"ws://127.0.0.1:{wordy_server.port}/v1/responses"
    headers |= {"Authorization": f"Bearer {wordy_server.key}"}
    create = {"type": "response.create", "model": MODEL, "input": WORD, "max_output_tokens": 16}
    with connect(url, additional_headers=headers) as ws:
        ws.send(json.dumps(create))
        while json.loads(ws.recv())["type"] not in {"response.completed", "response.incomplete"}:
            pass
        check_tree(read_trace(otlp, trace_id, "response.create"), "response.create")


def test_a_refusal_is_a_failed_span(wordy_server: ServerProcess, otlp: Collector) -> None:
    trace_id, headers = traceparent()
    key = {"Authorization": f"Bearer {wordy_server.key}"}
    url = f"{wordy_server.base_url}/v1/responses"
    answer = httpx.post(url, json={"model": "x", "input": WORD}, headers=headers | key)
    spans = read_trace(otlp, trace_id, "POST /v1/responses")
    assert spans["POST /v1/responses"].attributes["http.response.status_code"] == answer.status_code
    assert spans["admission"].attributes["error.type"] == "model_not_found"
    assert spans["admission"].failed


def test_metrics_are_sent_under_opentelemetrys_names(
    wordy_server: ServerProcess, otlp: Collector
) -> None:
    _, headers = traceparent()
    client(wordy_server).responses.create(
        model=MODEL, input=WORD, max_output_tokens=16, extra_headers=headers
    )
    otlp.wait_for(lambda _: _exemplars(otlp) > 0)
    first = otlp.metrics["gen_ai.server.time_to_first_token"]
    (point,) = first.histogram.data_points
    assert first.unit == "s"
    assert {pair.key for pair in point.attributes} == {
        "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"
    }  # fmt: skip
    assert sum(point.bucket_counts) == point.count > 0
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    (exemplar, *_) = point.exemplars
    assert len(exemplar.trace_id) == 16
    turns = otlp.metrics["kosmosx.turns"].sum
    assert turns.is_monotonic
    (outcome,) = {pair.key for each in turns.data_points for pair in each.attributes}
    assert outcome == "outcome"


def _exemplars(otlp: Collector) -> int:
    found = otlp.metrics.get("gen_ai.server.time_to_first_token")
    return sum(len(each.exemplars) for each in found.histogram.data_points) if found else 0


async def test_metrics_can_be_served_elsewhere() -> None:
    address = f"127.0.0.1:{free_port()}"
    settings = Settings(metrics_address=address)
    async with sending(make_telemetry(settings), settings), httpx.AsyncClient() as http:
        shown = await http.get(f"http://{address}/metrics")
    assert "kosmosx_build_info" in shown.text


def test_opentelemetrys_switch_turns_traces_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    settings = Settings(otlp_endpoint="http://127.0.0.1:1", trace_ratio=1.0)
    telemetry = make_telemetry(settings)
    with telemetry.traces.span("request") as span:
        assert not span.is_recording()


@pytest.fixture
def private_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Its metrics are on a port of their own; its log is JSON."""
    yield from started(
        tmp_path,
        KOSMOSX_ENGINE="deterministic",
        KOSMOSX_METRICS_ADDRESS=f"127.0.0.1:{free_port()}",
        KOSMOSX_LOG_FORMAT="json",
    )


@pytest.mark.slow
def test_metrics_can_have_a_port_of_their_own(private_server: ServerProcess) -> None:
    address = private_server._environment["KOSMOSX_METRICS_ADDRESS"]
    assert "kosmosx_ready" in httpx.get(f"http://{address}/metrics").text
    assert httpx.get(f"{private_server.base_url}/metrics").status_code == 404
    private_server.stop()
    log = (private_server.data_dir / "logs" / "server.log").read_text().splitlines()
    assert {"time", "level", "logger", "message"} <= json.loads(log[-1]).keys()
