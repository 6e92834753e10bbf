"""Chat Completions by the official client: the same turns as over Responses, and the same bill."""

import json
from typing import Any

import httpx
import openai
import pytest

from tests.kosmosx_stream.clients import MODEL, client, message, picture_url
from tests.kosmosx_stream.test_bad_input import picture, png
from tests.server_process import ServerProcess

SYSTEM = {"role": "system", "content": "Be brief."}


def user(text: str, *image_urls: str) -> dict[str, Any]:
    images = [{"type": "image_url", "image_url": {"url": url}} for url in image_urls]
    return {"role": "user", "content": [{"type": "text", "text": text}, *images]}


def said(server: ServerProcess, text: str = "Hello!", **request: Any) -> Any:
    asked = {"model": MODEL, "messages": [user(text)]} | request
    return client(server).chat.completions.create(**asked)


def streamed(server: ServerProcess, text: str = "Hello!", **request: Any) -> list[Any]:
    with said(server, text, stream=True, **request) as stream:
        return list(stream)


def content(chunks: list[Any]) -> str:
    return "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)


def session(server: ServerProcess, session_id: str) -> dict[str, Any]:
    answer = client(server).get(f"/sessions/{session_id}", cast_to=httpx.Response)
    return answer.json()


def billed(server: ServerProcess, answer: Any) -> tuple[Any, dict[str, Any]]:
    """What a raw answer says, and its closed session."""
    closed = session(server, answer.headers["x-kosmosx-session"])
    assert closed["status"] == "closed"
    return answer.parse(), closed


def test_the_same_turn_as_over_responses(wordy_server: ServerProcess) -> None:
    """In one piece, in chunks, or as a response: equal words, usage and bill."""
    official = client(wordy_server)
    whole, whole_bill = billed(
        wordy_server,
        official.chat.completions.with_raw_response.create(
            model=MODEL, messages=[SYSTEM, user("Hello!")]
        ),
    )
    response, response_bill = billed(
        wordy_server,
        official.responses.with_raw_response.create(
            model=MODEL, instructions="Be brief.", input="Hello!"
        ),
    )
    chunks = streamed(wordy_server, messages=[SYSTEM, user("Hello!")])
    (choice,) = whole.choices
    assert choice.message.content == response.output_text == content(chunks)
    assert choice.finish_reason == chunks[-1].choices[0].finish_reason == "stop"
    assert whole.usage.prompt_tokens == response.usage.input_tokens
    assert whole.usage.completion_tokens == response.usage.output_tokens
    assert whole_bill["receipt"]["lines"] == response_bill["receipt"]["lines"]
    assert whole_bill["usage"]["output_tokens"] == whole.usage.completion_tokens
    assert getattr(whole, "kosmosx:usage")["cost_usd"] == whole_bill["receipt"]["total_usd"]


def test_a_stream_tells_the_usage_that_is_billed(wordy_server: ServerProcess) -> None:
    options = {"include_usage": True}
    answer = client(wordy_server).chat.completions.with_raw_response.create(
        model=MODEL, messages=[user("Count!")], stream=True, stream_options=options
    )
    with answer.parse() as stream:
        *before, last = list(stream)
    assert {chunk.usage for chunk in before} == {None}
    assert last.choices == []
    closed = session(wordy_server, answer.headers["x-kosmosx-session"])
    assert closed["usage"]["input_tokens"] == last.usage.prompt_tokens
    assert closed["usage"]["output_tokens"] == last.usage.completion_tokens

    options = {"include_usage": True, "continuous_usage_stats": True}
    *before, whole = streamed(wordy_server, "Count!", stream_options=options)
    counts = [chunk.usage.completion_tokens for chunk in before]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, whole.usage.completion_tokens)
    assert whole.usage == last.usage


def test_length_and_limit(wordy_server: ServerProcess) -> None:
    for limit in ("max_tokens", "max_completion_tokens"):
        answer = said(wordy_server, "Go on and on.", **{limit: 3})
        assert answer.usage.completion_tokens == 3
        assert answer.choices[0].finish_reason == "length"


def test_a_seed_draws_the_same_words_again(wordy_server: ServerProcess) -> None:
    words = [
        said(wordy_server, temperature=1, seed=seed).choices[0].message.content
        for seed in (1, 1, -5)
    ]
    assert words[0] == words[1] != words[2]


def test_an_answer_ends_before_a_stop_string(wordy_server: ServerProcess) -> None:
    whole = said(wordy_server, "Say some words.")
    words = whole.choices[0].message.content.split(" ")
    assert len(words) > 4, "a question with a longer answer is needed"
    stop = f" {words[3]} {words[4]}"
    before = whole.choices[0].message.content.partition(stop)[0]
    cut = said(wordy_server, "Say some words.", stop=["nobody says this", stop])
    assert cut.choices[0].message.content == before
    assert cut.choices[0].finish_reason == "stop"
    assert 0 < cut.usage.completion_tokens < whole.usage.completion_tokens
    chunks = streamed(wordy_server, "Say some words.", stop=stop)
    assert content(chunks) == before
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_stored_completion_is_a_response(wordy_server: ServerProcess) -> None:
    official = client(wordy_server)
    kept = said(wordy_server, "Keep this.", store=True, metadata={"topic": "keeping"})
    assert official.chat.completions.retrieve(kept.id) == kept
    assert kept.metadata == {"topic": "keeping"}
    response_id = kept.id.replace("chatcmpl-", "resp_")
    response = official.responses.retrieve(response_id)
    assert response.output_text == kept.choices[0].message.content
    again = official.responses.create(model=MODEL, input="Go on.", previous_response_id=response_id)
    assert again.usage.input_tokens > kept.usage.total_tokens
    deleted = official.chat.completions.delete(kept.id)
    assert (deleted.id, deleted.deleted) == (kept.id, True)
    for unknown in (kept.id, said(wordy_server).id, "chatcmpl-0"):
        with pytest.raises(openai.NotFoundError) as missing:
            official.chat.completions.retrieve(unknown)
        assert unknown in missing.value.message


def test_a_session_joined_by_header(wordy_server: ServerProcess) -> None:
    official = client(wordy_server)
    opened = official.post("/sessions", cast_to=httpx.Response).json()
    header = {"X-Kosmosx-Session": opened["id"]}
    answers = [said(wordy_server, extra_headers=header) for _ in range(2)]
    usage = session(wordy_server, opened["id"])["usage"]
    assert usage["turns"] == 2
    assert usage["total_tokens"] == sum(answer.usage.total_tokens for answer in answers)


def test_a_conversation_that_its_client_keeps(wordy_server: ServerProcess) -> None:
    messages = [SYSTEM, user("My name is Ada.")]
    first = said(wordy_server, messages=messages)
    messages += [first.choices[0].message.to_dict(), user("What is my name?")]
    second = said(wordy_server, messages=messages)
    assert second.usage.prompt_tokens > first.usage.total_tokens


async def test_the_async_client(wordy_server: ServerProcess) -> None:
    official = openai.AsyncOpenAI(base_url=f"{wordy_server.base_url}/v1", api_key=wordy_server.key)
    asked: dict[str, Any] = {"model": MODEL, "messages": [user("Hello!")]}
    async with official:
        whole = await official.chat.completions.create(**asked)
        async with official.chat.completions.stream(**asked) as stream:
            deltas = [event.delta async for event in stream if event.type == "content.delta"]
            final = await stream.get_final_completion()
    text = whole.choices[0].message.content
    assert "".join(deltas) == final.choices[0].message.content == text


def test_a_cancelled_answer_says_so(slow_server: ServerProcess) -> None:
    """By its response's id, while it streams; it is not stored, and so not seen again."""
    official = client(slow_server)
    chunks = []
    with official.chat.completions.create(
        model=MODEL, messages=[user("Go on and on.")], stream=True
    ) as stream:
        for chunk in stream:
            chunks.append(chunk)
            if len(chunks) == 3:
                response_id = chunk.id.replace("chatcmpl-", "resp_")
                cancelled = official.responses.cancel(response_id)
    (choice,) = chunks[-1].choices
    assert choice.finish_reason == "length"
    assert getattr(choice, "kosmosx:reason") == "cancelled"
    assert content(chunks) == cancelled.output_text
    with pytest.raises(openai.NotFoundError):
        official.responses.cancel(response_id)


def test_boxes_come_with_the_answer(server: ServerProcess) -> None:
    asked: dict[str, Any] = {"messages": [user("Describe the picture.", picture_url())]}
    (choice,) = said(server, **asked).choices
    whole = getattr(choice.message, "kosmosx:grounding")
    assert "circle" in choice.message.content
    response = client(server).responses.create(
        model=MODEL, input=[message("Describe the picture.", picture_url())]
    )
    assert response.output_text == choice.message.content
    assert whole == getattr(response.output[0].content[0], "kosmosx:grounding")
    with client(server).chat.completions.stream(model=MODEL, **asked) as stream:
        final = stream.get_final_completion().choices[0].message
    assert final.content == choice.message.content
    streamed_boxes = [dict(each) for each in getattr(final, "kosmosx:grounding")]
    assert [each.pop("index") for each in streamed_boxes] == list(range(len(whole)))
    assert streamed_boxes == whole
    declined = said(server, **asked, extra_body={"kosmosx:grounding": False}).choices[0].message
    assert not hasattr(declined, "kosmosx:grounding")


def test_a_second_turn_is_read_from_the_cache(server: ServerProcess) -> None:
    """What the client keeps is put into the same tokens again."""
    messages = [user("My name is Ada. " * 20)]
    first = said(server, messages=messages)
    messages += [first.choices[0].message.to_dict(), user("What is my name?")]
    second = said(server, messages=messages)
    assert second.usage.prompt_tokens_details.cached_tokens > first.usage.prompt_tokens / 2


def pictured(data: bytes, kind: str = "png") -> list[dict[str, Any]]:
    (part,) = [part for part in picture(data, kind)[0]["content"] if "image_url" in part]
    return [user("?", part["image_url"])]


URL = "messages[0].content[1].image_url.url"
REFUSED: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "unknown model": ({"model": "gpt-x"}, 404, "model_not_found", "model"),
    "two answers": ({"n": 2}, 400, "unsupported_parameter", "n"),
    "broken picture": ({"messages": pictured(png(64, 64))}, 400, "invalid_image", URL),
    "no picture": ({"messages": pictured(b"<svg/>", "svg+xml")}, 400, "unsupported_image", URL),
    "huge picture": ({"messages": pictured(png(30_000, 30_000))}, 400, "image_too_large", URL),
    "picture by URL": (
        {"messages": [user("?", "https://example.com/a.png")]}, 400, "invalid_image_url", URL,
    ),
    "too many words": (
        {"messages": [user("word " * 30_000)]}, 400, "context_length_exceeded", "messages",
    ),
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_the_field(wordy_server: ServerProcess, name: str, *, stream: bool) -> None:
    request, status, code, param = REFUSED[name]
    with pytest.raises(openai.APIStatusError) as refused:
        said(wordy_server, stream=stream, **request)
    error = refused.value
    assert (error.status_code, error.code, error.param) == (status, code, param)
    assert error.type == "invalid_request_error"


def test_the_stream_as_the_wire_has_it(wordy_server: ServerProcess) -> None:
    asked = {"model": MODEL, "messages": [user("Hello!")], "stream": True}
    answer = httpx.post(
        f"{wordy_server.base_url}/v1/chat/completions",
        json=asked,
        headers={"Authorization": f"Bearer {wordy_server.key}"},
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    *chunks, done, end = answer.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    for chunk in chunks:
        assert json.loads(chunk.removeprefix("data: "))["object"] == "chat.completion.chunk"


def test_the_models(wordy_server: ServerProcess) -> None:
    official = client(wordy_server)
    (listed,) = official.models.list().data
    assert official.models.retrieve(MODEL) == listed
    assert listed.id == MODEL
    assert getattr(listed, "kosmosx:context_window") >= 2048
    assert getattr(listed, "kosmosx:capabilities") == {
        "input_modalities": ["text", "image"],
        "output_modalities": ["text"],
        "image_sources": ["data"],
        "grounding": True,
        "tools": ["function"],
        "parallel_tool_calls": True,
        "text_formats": ["text", "json_object", "json_schema"],
        "reasoning": False,
        "streaming": True,
        "endpoints": ["/v1/responses", "/v1/chat/completions"],
        "transports": ["http", "sse", "websocket"],
    }
    prices = getattr(listed, "kosmosx:prices")
    assert (prices["token_usd"], prices["image_usd"], prices["minimum_tokens"]) == (
        "0.0002", "0.50", 100,
    )  # fmt: skip
    with pytest.raises(openai.NotFoundError) as missing:
        official.models.retrieve("gpt-x")
    assert missing.value.code == "model_not_found"
