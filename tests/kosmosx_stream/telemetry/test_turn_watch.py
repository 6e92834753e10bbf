"""A turn's trace, on one instance and across two; the spans are kept in memory."""

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from conversation.entries import Started
from kosmosx_stream.telemetry.kept_traces import KeptTraces
from kosmosx_stream.telemetry.meters import Meters
from kosmosx_stream.telemetry.telemetry import Telemetry
from kosmosx_stream.telemetry.tracing import parent_of
from tests.kosmosx_stream.instances import (
    LENGTH,
    Cluster,
    Engine,
    answer,
    begin,
    finish,
    lose_owner,
)

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = PARENT.removesuffix("01") + "00"


class Observed:
    """Telemetry whose spans and series can be read."""

    def __init__(self, ratio: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        traces = KeptTraces(SimpleSpanProcessor(self._exporter), ratio=ratio)
        self.telemetry = Telemetry(Meters(models=("m",), version="v"), traces)

    def spans(self) -> dict[str, ReadableSpan]:
        finished = self._exporter.get_finished_spans()
        assert len({span.name for span in finished}) == len(finished)
        return {span.name: span for span in finished}

    def value(self, name: str, **labels: str) -> float | None:
        return self.telemetry.meters.registry.get_sample_value(name, labels)


async def test_a_turn_is_a_trace(cluster: Cluster) -> None:
    observed = Observed()
    async with cluster.instance(Engine(), observed.telemetry) as instance:
        with observed.telemetry.traces.span("request", parent=parent_of({"traceparent": PARENT})):
            await begin(instance)
        await finish(instance)
    spans = observed.spans()
    turn = spans["chat m"]
    assert {span.context.trace_id for span in spans.values()} == {int(PARENT[3:35], 16)}
    parents = {name: span.parent.span_id for name, span in spans.items() if span.parent}
    assert parents["chat m"] == parents["lease"] == spans["request"].context.span_id
    below = {"engine", "commit", "settlement"}
    assert {name for name in spans if parents[name] == turn.context.span_id} == below
    assert turn.attributes is not None
    assert turn.attributes["gen_ai.usage.output_tokens"] == LENGTH
    assert turn.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert [event.name for event in turn.events] == ["first_token"]
    assert spans["commit"].attributes is not None
    assert spans["commit"].attributes["kosmosx.commits"] == len(await cluster.entries())


async def test_a_turn_is_measured(cluster: Cluster) -> None:
    observed = Observed(ratio=0)
    async with cluster.instance(Engine(), observed.telemetry) as instance:
        await begin(instance)
        await finish(instance)
    assert observed.spans() == {}
    assert observed.value("kosmosx_turns_total", outcome="stop") == 1
    assert observed.value("kosmosx_tokens_total", gen_ai_token_type="output") == LENGTH
    assert observed.value("kosmosx_tokens_committed_total") == LENGTH
    assert observed.value("kosmosx_inter_token_gap_seconds_count") == LENGTH - 1
    assert observed.value("kosmosx_turns_lost_total") == 0


async def test_an_adopted_turn_goes_on_with_its_trace(cluster: Cluster) -> None:
    one, two = Observed(), Observed()
    async with (
        cluster.instance(Engine(stalls=(5,)), one.telemetry) as owner,
        cluster.instance(Engine(), two.telemetry) as other,
    ):
        await begin(owner)
        await lose_owner(owner)
        cluster.lapse()
        await other.hub.adoption.take_over_lost()
        await finish(other)
    lost, adopted = one.spans()["chat m"], two.spans()["chat m"]
    assert await cluster.token_ids() == answer()
    assert adopted.context.trace_id == lost.context.trace_id
    assert adopted.parent is not None
    assert adopted.parent.span_id == lost.context.span_id
    assert [link.context.span_id for link in adopted.links] == [lost.context.span_id]
    assert not lost.status.is_ok
    assert (adopted.attributes or {})["kosmosx.adopted_at_entry"] == 6
    assert one.value("kosmosx_turns_lost_total") == 1
    assert two.value("kosmosx_adoptions_total", outcome="continued") == 1
    counted = [each.value("kosmosx_turns_total", outcome="stop") for each in (one, two)]
    assert counted == [0, 1]


@pytest.mark.parametrize(("parent", "kept"), [(PARENT, 1), (UNSAMPLED, 0)])
async def test_the_caller_decides_what_is_kept(cluster: Cluster, parent: str, kept: int) -> None:
    observed = Observed(ratio=1 - kept)
    async with cluster.instance(Engine(), observed.telemetry) as instance:
        with observed.telemetry.traces.span("request", parent=parent_of({"traceparent": parent})):
            await begin(instance)
        await finish(instance)
    assert ("chat m" in observed.spans()) == bool(kept)
    (started, *_) = await cluster.entries()
    assert isinstance(started, Started)
    # An adopter abides by it, whatever its own ratio is.
    assert started.trace.endswith(parent[-2:])
    assert started.trace[:36] == parent[:36]


async def test_without_traces_none_is_kept_in_the_log(cluster: Cluster) -> None:
    async with cluster.instance(Engine()) as instance:
        await begin(instance)
        await finish(instance)
    (started, *_) = await cluster.entries()
    assert isinstance(started, Started)
    assert started.trace == ""


@pytest.mark.parametrize("said", [{}, {"traceparent": "nonsense"}, {"traceparent": "00-0-0-0"}])
def test_a_malformed_parent_is_none(said: dict[str, str]) -> None:
    assert not parent_of(said).get_span_context().is_valid
