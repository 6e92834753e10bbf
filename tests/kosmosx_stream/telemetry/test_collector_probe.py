from kosmosx_stream.telemetry.collector_probe import refusal_of
from tests.otlp_collector import Collector


async def test_a_collector_takes_an_empty_message(otlp: Collector) -> None:
    assert await refusal_of(otlp.url) is None


async def test_nobody_takes_nothing() -> None:
    assert await refusal_of("http://127.0.0.1:1") is not None
