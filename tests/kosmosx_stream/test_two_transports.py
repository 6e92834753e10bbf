"""The official client, unmodified, over SSE, JSON and WebSocket: the same events and answer."""

import re

import openai
import pytest

from tests.kosmosx_stream.clients import MODEL, client, message, picture_url, socket, text_of
from tests.server_process import ServerProcess

QUESTION = "Describe the picture."

ORDER = re.compile(
    "response.created response.in_progress response.output_item.added "
    "response.content_part.added (response.output_text.delta )+response.output_text.done "
    "response.content_part.done response.output_item.done response.completed"
)


def streamed(server: ServerProcess, **request: object) -> list:
    with client(server).responses.create(model=MODEL, stream=True, **request) as stream:
        return list(stream)


@pytest.fixture(scope="module")
def asked() -> dict[str, object]:
    return {"input": [message(QUESTION, picture_url())], "temperature": 0}


def test_events_come_in_order_over_sse(server: ServerProcess, asked: dict) -> None:
    events = streamed(server, **asked)
    assert ORDER.fullmatch(" ".join(event.type for event in events))
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 0


def test_the_same_answer_over_all_three(server: ServerProcess, asked: dict) -> None:
    over_sse = streamed(server, **asked)
    as_json = client(server).responses.create(model=MODEL, **asked)
    with socket(client(server)) as ws:
        over_ws = ws.say(**asked)
    types = [event.type for event in over_ws if not event.type.startswith("kosmosx:")]
    assert ORDER.fullmatch(" ".join(types))
    assert over_ws[1].type == "kosmosx:session.opened"
    final = over_sse[-1].response
    assert text_of(over_sse) == text_of(over_ws) == as_json.output_text == final.output_text
    assert "circle" in as_json.output_text
    assert "<" not in as_json.output_text
    usages = [response.usage for response in (final, as_json, over_ws[-1].response)]
    assert len({(usage.input_tokens, usage.output_tokens) for usage in usages}) == 1


def test_boxes_come_with_the_answer(server: ServerProcess, asked: dict) -> None:
    events = streamed(server, **asked)
    live = [
        grounding
        for event in events
        if event.type == "response.output_text.delta"
        for grounding in getattr(event, "kosmosx:grounding", None) or []
    ]
    part = events[-1].response.output[0].content[0]
    final = getattr(part, "kosmosx:grounding")
    assert live == final
    for grounding in final:
        phrase = part.text[grounding["start"] : grounding["end"]]
        assert phrase == grounding["phrase"]
    (circle,) = [g for g in final if "circle" in g["phrase"]]
    (x0, y0, x1, y1) = circle["boxes"][0]
    assert x0 < 55 / 224 < x1
    assert y0 < 105 / 224 < y1


def test_boxes_can_be_declined(server: ServerProcess, asked: dict) -> None:
    response = client(server).responses.create(
        model=MODEL, **asked, extra_body={"kosmosx:grounding": False}
    )
    part = response.output[0].content[0]
    assert not getattr(part, "kosmosx:grounding", None)
    assert "circle" in part.text


def test_usage_and_cost_rise_while_it_streams(server: ServerProcess) -> None:
    events = streamed(server, input="What can you do?", temperature=0)
    live = [
        getattr(event, "kosmosx:usage")
        for event in events
        if event.type == "response.output_text.delta"
    ]
    counts = [usage["output_tokens"] for usage in live]
    assert counts == sorted(counts)
    usage = events[-1].response.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert counts[-1] <= usage.output_tokens
    billed = max(100, usage.total_tokens) * 200
    final = getattr(events[-1].response, "kosmosx:usage")
    assert round(float(final["cost_usd"]) * 1_000_000) == billed


def test_max_output_tokens_cuts_the_answer(server: ServerProcess, asked: dict) -> None:
    response = client(server).responses.create(model=MODEL, **asked, max_output_tokens=16)
    assert response.usage.output_tokens <= 16
    if response.status == "incomplete":
        assert response.incomplete_details.reason == "max_output_tokens"
        assert response.usage.output_tokens == 16


async def test_the_async_client_streams_too(server: ServerProcess) -> None:
    official = openai.AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key=server.key)
    async with official, official.responses.stream(model=MODEL, input="Hello!") as stream:
        async for _ in stream:
            pass
        response = await stream.get_final_response()
    assert response.status == "completed"
    assert response.output_text
