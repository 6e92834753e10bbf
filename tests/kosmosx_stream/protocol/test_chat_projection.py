"""The chat projection, judged by the official client and by the Responses projection."""

import json
from collections.abc import Sequence
from typing import Any

import httpx2
import msgspec
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from conversation.entries import Delta, Entry, Started
from conversation.items import Grounding
from kosmosx_stream.protocol import frames
from kosmosx_stream.protocol.chat import StreamOptions, completion_id, response_id
from kosmosx_stream.protocol.chat_completion import completion
from kosmosx_stream.protocol.chat_projection import ChatProjector
from kosmosx_stream.protocol.errors import InvalidRequest, RateLimited, ServerError
from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.protocol.projection import OutOfOrder, Projector
from tests.kosmosx_stream.protocol.logs import DELTAS, DOG, TEXT, TOKENS, cost, ended, ends

PLAIN = StreamOptions()
USAGE = StreamOptions(include_usage=True)
CONTINUOUS = StreamOptions(include_usage=True, continuous_usage_stats=True)

CAT = Grounding("cat", 10, 13, ((0.25, 0.25, 0.5, 0.5),))
WHOLE = (*DELTAS, Delta((9,), " and cat", (CAT,)))


def project(entries: Sequence[Entry], options: StreamOptions = PLAIN) -> list[Event]:
    projector = ChatProjector(cost, options)
    return [event for entry in entries for event in projector.feed(entry)]


def chunks(events: Sequence[Event]) -> list[dict[str, Any]]:
    """What is neither the mark of the end nor an error."""
    return [json.loads(event.data) for event in events if event.type == "chat.completion.chunk"]


def as_json(entries: Sequence[Entry]) -> dict[str, Any]:
    return json.loads(msgspec.json.encode(completion(entries, cost)))


@pytest.fixture(scope="module")
def started(make_started) -> Started:
    return make_started(response_id="resp_1")


def test_an_answer_in_chunks(started) -> None:
    events = project([started, *DELTAS, ended(text="!")])
    assert events[-1].data == b"[DONE]"
    first, *contents, last = chunks(events)
    assert first["id"] == "chatcmpl-1"
    assert (first["object"], first["created"]) == ("chat.completion.chunk", 1_700_000_000)
    assert first["model"] == "kosmos-x"
    assert first["choices"] == [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": ""},
            "logprobs": None,
            "finish_reason": None,
        }
    ]
    deltas = [chunk["choices"][0]["delta"] for chunk in contents]
    assert [delta["content"] for delta in deltas] == ["A ", "dog", "!"]
    boxes = [[0, 0.25, 0.5, 1], [0.5, 0.25, 0.75, 1]]
    grounding = [{"phrase": "dog", "start": 2, "end": 5, "boxes": boxes, "index": 0}]
    assert [delta.get("kosmosx:grounding") for delta in deltas] == [None, grounding, None]
    assert last["choices"][0]["delta"] == {}
    assert last["choices"][0]["finish_reason"] == "stop"
    assert not any("usage" in chunk for chunk in (first, *contents, last))
    assert [chunk["kosmosx:usage"]["output_tokens"] for chunk in contents] == [1, 4, 5]


def test_an_answer_in_one_piece(started) -> None:
    answer = as_json([started, *WHOLE, ended()])
    assert answer["id"] == "chatcmpl-1"
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == "A dog and cat"
    phrases = [each["phrase"] for each in choice["message"]["kosmosx:grounding"]]
    assert phrases == ["dog", "cat"]
    assert answer["usage"] == {
        "prompt_tokens": 70,
        "completion_tokens": 6,
        "total_tokens": 76,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    assert answer["kosmosx:usage"]["detections"] == 3


@pytest.mark.parametrize(
    ("reason", "finish_reason", "own_reason"),
    [
        ("stop", "stop", None),
        ("length", "length", None),
        ("cancelled", "length", "cancelled"),
        ("budget", "length", "budget"),
        ("steered", "length", "steered"),
        ("warmed", "stop", None),
    ],
)
def test_reasons_to_finish(started, reason, finish_reason, own_reason) -> None:
    log = [started, *DELTAS, ended(reason)]
    for choice in (chunks(project(log))[-1]["choices"][0], as_json(log)["choices"][0]):
        assert choice["finish_reason"] == finish_reason
        assert choice.get("kosmosx:reason") == own_reason


@pytest.mark.parametrize(
    ("code", "error", "status"),
    [
        (None, ServerError, 500),
        ("server_error", ServerError, 500),
        ("engine_dead", ServerError, 500),
        ("invalid_prompt", InvalidRequest, 400),
        ("rate_limit_exceeded", RateLimited, 429),
    ],
)
def test_a_failure_ends_the_stream_and_refuses_the_whole(started, code, error, status) -> None:
    log = [started, *DELTAS, ended("error", error_code=code, error_message="Sorry.", text="!")]
    events = project(log, USAGE)
    assert [event.type for event in events][-2:] == ["chat.completion.chunk", "error"]
    assert chunks(events)[-1]["choices"][0]["delta"]["content"] == "!"
    body = json.loads(events[-1].data)["error"]
    assert (body["message"], body["code"]) == ("Sorry.", code or "server_error")
    assert body["type"] == error.type
    with pytest.raises(error) as refused:
        completion(log, cost)
    assert refused.value.status == status


def test_usage_comes_last_or_all_along(started) -> None:
    log = [started, *DELTAS, ended()]
    *before, last = chunks(project(log, USAGE))
    assert [chunk["usage"] for chunk in before] == [None] * len(before)
    assert last["choices"] == []
    assert last["usage"] == as_json(log)["usage"]

    *before, whole = chunks(project(log, CONTINUOUS))
    counts = [chunk["usage"] for chunk in before]
    assert [usage["completion_tokens"] for usage in counts] == [0, 1, 4, 5]
    assert all(usage["total_tokens"] == 70 + usage["completion_tokens"] for usage in counts)
    assert whole == last


@pytest.mark.parametrize("options", [PLAIN, USAGE, CONTINUOUS])
@pytest.mark.parametrize("reason", ["stop", "cancelled", "error"])
def test_the_official_client_reads_it(started, options, reason) -> None:
    """Its stream helper puts the chunks together to what comes in one piece."""
    log = [started, *WHOLE, ended(reason, error_message="Sorry.")]
    body = b"".join(frames.unnamed_sse(event.data) for event in project(log, options))

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(
            200, content=body, headers={"content-type": "text/event-stream"}, request=request
        )

    asked: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "?"}]}
    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    with openai.OpenAI(base_url="http://test/v1", api_key="k", http_client=transport) as client:
        if reason == "error":
            with (
                pytest.raises(openai.APIError, match="Sorry"),
                client.chat.completions.create(**asked, stream=True) as stream,
            ):
                list(stream)
            return
        with client.chat.completions.create(**asked, stream=True) as stream:
            read = list(stream)
            assert [chunk.id for chunk in read] == ["chatcmpl-1"] * len(
                chunks(project(log, options))
            )
        with client.chat.completions.stream(**asked) as helper:
            if reason == "cancelled":  # To the helper an answer that is not whole is an error.
                with pytest.raises(openai.LengthFinishReasonError) as cut:
                    helper.get_final_completion()
                message = cut.value.completion.choices[0].message
            else:
                message = helper.get_final_completion().choices[0].message
    whole = as_json(log)["choices"][0]["message"]
    assert message.content == whole["content"]
    assert message.role == "assistant"
    grounding = [dict(each) for each in getattr(message, "kosmosx:grounding")]
    assert [each.pop("index") for each in grounding] == [0, 1]
    assert grounding == whole["kosmosx:grounding"]


def test_calls_of_functions(make_started) -> None:
    calls = '<tool_call>{"name":"f","arguments":{"x": 1}}</tool_call><tool_call>{"name":"g","argu'
    parts = [Delta((1,), "Well. "), Delta((2,), calls), Delta((3,), 'ments":{}}</tool_call>')]
    log = [make_started(calls=True), *parts, ended()]
    (choice,) = as_json(log)["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Well."
    functions = [call["function"] for call in choice["message"]["tool_calls"]]
    assert functions == [
        {"name": "f", "arguments": '{"x": 1}'},
        {"name": "g", "arguments": "{}"},
    ]
    wire = chunks(project(log))
    assert wire[-1]["choices"][0]["finish_reason"] == "tool_calls"
    said = [delta for chunk in wire for delta in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert put_together(said) == choice["message"]["tool_calls"]
    for chunk in wire:
        ChatCompletionChunk.model_validate(chunk).model_dump()
    only_calls = as_json([make_started(calls=True), *parts[1:], ended()])
    assert only_calls["choices"][0]["message"]["content"] is None
    ChatCompletion.model_validate(only_calls).model_dump()


def put_together(deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As OpenAI's documentation puts calls together."""
    calls: list[dict[str, Any]] = []
    for delta in deltas:
        if delta["index"] == len(calls):
            calls.append({"id": delta["id"], "type": delta["type"], "function": delta["function"]})
        else:
            calls[delta["index"]]["function"]["arguments"] += delta["function"]["arguments"]
    return calls


def test_ids_go_both_ways() -> None:
    assert completion_id("resp_5f") == "chatcmpl-5f"
    assert response_id("chatcmpl-5f") == "resp_5f"
    assert response_id("resp_5f") == "resp_5f"


def test_what_is_not_a_log_is_refused(started) -> None:
    with pytest.raises(OutOfOrder):
        project([DELTAS[0]])
    for log in ([started], [started, *DELTAS], [ended()], [started, started, ended()]):
        with pytest.raises(OutOfOrder):
            completion(log, cost)


# -- random logs ---------------------------------------------------------------------------

GROUNDINGS = st.lists(st.sampled_from([DOG, CAT]), max_size=2).map(tuple)
ANSWERS = st.lists(st.builds(Delta, TOKENS, TEXT, GROUNDINGS), max_size=8)
ENDS = ends(GROUNDINGS)
OPTIONS = st.sampled_from([PLAIN, USAGE, CONTINUOUS])


@given(answer=ANSWERS, end=ENDS, options=OPTIONS)
def test_any_log(make_started, answer, end, options) -> None:
    """Chunks, the whole and the Responses projection say the same."""
    log = [make_started(), *answer, end]
    events = project(log, options)
    assert [event.sequence for event in events] == list(range(len(events)))
    wire = chunks(events)
    for chunk in wire:
        ChatCompletionChunk.model_validate(chunk).model_dump()
    responses = Projector(cost)
    for entry in log:
        responses.feed(entry)
    response = json.loads(msgspec.json.encode(responses.response()))

    text = "".join(entry.text for entry in [*answer, end])
    said = [choice["delta"] for chunk in wire for choice in chunk["choices"]]
    assert "".join(delta.get("content", "") for delta in said) == text
    placed = [each for delta in said for each in delta.get("kosmosx:grounding", [])]
    assert [each.pop("index") for each in placed] == list(range(len(placed)))
    if end.reason == "error":
        assert events[-1].type == "error"
        assert response["status"] == "failed"
        return
    assert events[-1].data == b"[DONE]"
    whole = as_json(log)
    ChatCompletion.model_validate(whole).model_dump()
    assert whole["choices"][0]["message"]["content"] == text
    assert whole["choices"][0]["message"].get("kosmosx:grounding", []) == placed
    assert whole["kosmosx:usage"] == response["kosmosx:usage"]
    if options.include_usage:
        assert wire[-1]["usage"] == whole["usage"]
    usage = response["usage"]
    assert whole["usage"]["prompt_tokens"] == usage["input_tokens"]
    assert whole["usage"]["completion_tokens"] == usage["output_tokens"]
    assert whole["usage"]["total_tokens"] == usage["total_tokens"]


@given(answer=ANSWERS, end=ENDS.filter(lambda end: end.reason != "error"), data=st.data())
def test_how_an_answer_was_cut_into_entries_does_not_show(make_started, answer, end, data) -> None:
    started = make_started()
    joined: list[Delta] = []
    for delta in answer:
        before = joined.pop() if joined and data.draw(st.booleans()) else Delta(())
        joined.append(
            Delta(
                before.token_ids + delta.token_ids,
                before.text + delta.text,
                before.grounding + delta.grounding,
            )
        )
    assert as_json([started, *joined, end]) == as_json([started, *answer, end])
    ends = [project([started, *each, end], USAGE)[-2:] for each in (answer, joined)]
    assert [event.data for event in ends[0]] == [event.data for event in ends[1]]
