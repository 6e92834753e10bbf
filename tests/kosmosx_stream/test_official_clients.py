"""The official Python client, synchronous and asynchronous; chat completions are in `test_chat`."""

from collections.abc import AsyncIterator

import openai
import pytest
from openai.lib.responses_websocket import AsyncResponsesWebSocketSession, ResponsesWebSocketLimits

from tests.kosmosx_stream.clients import MODEL, TERMINAL, client, text_of
from tests.server_process import ServerProcess

LIMITS = ResponsesWebSocketLimits(
    max_lanes=8,
    max_events_per_lane=1024,
    max_events=4096,
    max_bytes_per_lane=2**24,
    max_bytes=2**25,
    max_response_bytes=None,
)
ASKED = {"model": MODEL, "input": "What can you do?"}


@pytest.fixture
async def official(wordy_server: ServerProcess) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{wordy_server.base_url}/v1", api_key=wordy_server.key, max_retries=0
    ) as official:
        yield official


def test_responses(wordy_server: ServerProcess) -> None:
    responses = client(wordy_server).responses
    whole = responses.create(**ASKED)
    with responses.create(**ASKED, stream=True) as stream:
        events = list(stream)
    assert text_of(events) == whole.output_text == events[-1].response.output_text
    with responses.retrieve(events[-1].response.id, stream=True, starting_after=3) as rest:
        assert [event.to_dict() for event in rest] == [event.to_dict() for event in events[4:]]
    with responses.stream(**ASKED) as stream:
        assert stream.until_done().get_final_response().output_text == whole.output_text
    with responses.stream(response_id=whole.id) as stream:
        assert stream.until_done().get_final_response().output_text == whole.output_text


async def test_async_responses(official: openai.AsyncOpenAI) -> None:
    responses = official.responses
    whole = await responses.create(**ASKED)
    async with await responses.create(**ASKED, stream=True) as stream:
        events = [event async for event in stream]
    assert text_of(events) == whole.output_text == events[-1].response.output_text
    response_id = events[-1].response.id
    async with await responses.retrieve(response_id, stream=True, starting_after=3) as rest:
        later = [event.to_dict() async for event in rest]
    assert later == [event.to_dict() for event in events[4:]]
    items = [item async for item in await responses.input_items.list(response_id)]
    assert items[0].content[0].text == ASKED["input"]
    await responses.delete(response_id)
    with pytest.raises(openai.NotFoundError):
        await responses.retrieve(response_id)


async def test_async_websocket(official: openai.AsyncOpenAI) -> None:
    async with official.responses.connect() as connection:
        previous = None
        for _ in range(2):
            await connection.response.create(**ASKED, previous_response_id=previous)
            events = []
            async for event in connection:
                events.append(event)
                if event.type in TERMINAL:
                    break
            assert event.type == "response.completed"
            assert text_of(events) == event.response.output_text
            previous = event.response.id
        await connection.send({"type": "kosmosx:session.close"})
        while (event := await connection.recv()).type != "kosmosx:session.closed":
            pass
    assert event.session["usage"]["turns"] == 2


async def test_lanes_of_the_client_s_own_session(official: openai.AsyncOpenAI) -> None:
    async with (
        official.responses.connect() as connection,
        AsyncResponsesWebSocketSession(connection, limits=LIMITS) as session,
    ):
        lanes = [session.lane("one"), session.lane("two"), session.default]
        for lane in lanes:
            await lane.send({"type": "response.create", **ASKED})
        answers = [await lane.get_final_response() for lane in lanes]
        assert len({answer.id for answer in answers}) == 3
        assert len({answer.output_text for answer in answers}) == 1
        await lanes[0].send(
            {"type": "response.create", **ASKED, "previous_response_id": answers[0].id}
        )
        again = await lanes[0].get_final_response()
        assert again.usage.input_tokens > answers[0].usage.total_tokens


async def test_async_conversations_and_models(official: openai.AsyncOpenAI) -> None:
    conversation = await official.conversations.create(metadata={"topic": "names"})
    response = await official.responses.create(**ASKED, conversation=conversation.id)
    listed = await official.conversations.items.list(conversation.id, order="asc", limit=1)
    items = [item async for item in listed]
    assert [item.role for item in items] == ["user", "assistant"]
    assert items[1].content[0].text == response.output_text
    await official.conversations.delete(conversation.id)
    with pytest.raises(openai.NotFoundError):
        await official.conversations.retrieve(conversation.id)
    models = [model async for model in await official.models.list()]
    assert await official.models.retrieve(MODEL) == models[0]
