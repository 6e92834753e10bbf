"""A chat model that is not Kosmos-2, on vLLM, through the real server: it is one like any other."""

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.kosmosx_stream.clients import MODEL, client, message, picture_url, socket, text_of
from tests.kosmosx_stream.formats.chat_template import tiny_chat_model as tiny
from tests.server_process import ServerProcess, started

WINDOW = 640
LONG = {"model": MODEL, "input": "Hello! What can you do?", "temperature": 0}


pytestmark = pytest.mark.slow  # It starts vLLM twice.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    return tiny.write("llama3", tmp_path_factory.mktemp("llama3"))


@pytest.fixture(scope="module")
def other(folder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    yield from started(
        tmp_path_factory.mktemp("other"),
        KOSMOSX_MODEL=str(folder),
        KOSMOSX_LEASE_TTL_S="2",
        KOSMOSX_SWEEP_INTERVAL_S="0.2",
    )


@pytest.fixture(scope="module")
def tokenizer(folder):
    from transformers import AutoTokenizer  # noqa: PLC0415

    return AutoTokenizer.from_pretrained(folder)


def prompt_length(tokenizer: Any, *said: tuple[str, str]) -> int:
    messages = [{"role": role, "content": text} for role, text in said]
    return len(
        tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    )


def test_the_window_is_the_model_s_own(other):
    (model,) = client(other).models.list().data
    assert getattr(model, "kosmosx:context_window") == WINDOW


def test_usage_counts_the_template_s_prompt(other, tokenizer):
    official = client(other)
    spelled = "What is <|eot_id|>?"
    first = official.responses.create(
        model=MODEL, instructions="Be brief.", input="Hello!", max_output_tokens=40
    )
    said = [("system", "Be brief."), ("user", "Hello!")]
    assert first.usage.input_tokens == prompt_length(tokenizer, *said)
    second = official.responses.create(
        model=MODEL,
        instructions="Be brief.",
        input="And what is it?",
        previous_response_id=first.id,
        max_output_tokens=40,
    )
    turn = prompt_length(tokenizer, ("user", "And what is it?")) - 1  # `<|begin_of_text|>`
    cut = first.status == "incomplete"  # its end is missing then
    assert second.usage.input_tokens == first.usage.total_tokens + cut + turn
    assert second.usage.input_tokens_details.cached_tokens >= 32
    assert second.usage.output_tokens <= 40
    lookalike = official.responses.create(model=MODEL, input=spelled, max_output_tokens=16)
    assert lookalike.usage.input_tokens > prompt_length(tokenizer, ("user", spelled))


def test_the_client_s_own_history_is_the_same_prompt(other, tokenizer):
    said = [("user", "My name is Ada."), ("assistant", "Hello Ada"), ("user", "Who am I?")]
    response = client(other).responses.create(
        model=MODEL,
        input=[{"role": role, "content": text} for role, text in said],
        max_output_tokens=16,
    )
    assert response.usage.input_tokens == prompt_length(tokenizer, *said)


def test_both_transports_say_the_same(other):
    official = client(other)
    alone = official.responses.create(**LONG)
    with official.responses.create(**LONG, stream=True) as stream:
        streamed = text_of(list(stream))
    with socket(official) as ws:
        events = ws.say(input=LONG["input"], temperature=0)
        again = ws.say(input="Again", previous_response_id=events[-1].response.id)[-1].response
    assert alone.output_text == streamed == text_of(events)
    assert again.usage.input_tokens > events[-1].response.usage.total_tokens


@pytest.mark.parametrize(
    ("request_of", "param"),
    [
        ({"input": [message("What is it?", picture_url())]}, "input[0].content[1].image_url"),
        ({"input": "Hi", "extra_body": {"kosmosx:grounding": True}}, "kosmosx:grounding"),
    ],
)
def test_what_the_model_lacks_is_refused_by_name(other, request_of, param):
    with pytest.raises(openai.BadRequestError) as refused:
        client(other).responses.create(model=MODEL, **request_of)
    assert (refused.value.param, refused.value.code) == (param, "unsupported_parameter")


def test_what_the_model_lacks_is_not_listed(other):
    capabilities = getattr(client(other).models.retrieve(MODEL), "kosmosx:capabilities")
    assert capabilities["input_modalities"] == ["text"]
    assert capabilities["image_sources"] == []
    assert capabilities["grounding"] is False


def test_no_boxes_may_be_asked_for(other):
    response = client(other).responses.create(
        model=MODEL,
        input="Hi",
        max_output_tokens=16,
        extra_body={"kosmosx:grounding": False},
    )
    assert response.output[0].content[0].type == "output_text"


def test_an_answer_goes_on_after_kill_9_and_is_remembered(other):
    official = client(other)
    undisturbed = official.responses.create(**LONG)
    seen: list[Any] = []
    stream = official.responses.create(**LONG, stream=True)
    with contextlib.suppress(openai.APIError, httpx.TransportError), stream:
        for event in stream:
            if event.type == "response.output_text.delta" and not text_of(seen):
                other.kill()
            seen.append(event)
    other.start()
    response_id = seen[0].response.id
    with official.responses.retrieve(
        response_id, stream=True, starting_after=seen[-1].sequence_number
    ) as rest:
        events = [*seen, *rest]
    assert text_of(events) == undisturbed.output_text
    ended = official.responses.retrieve(response_id)
    assert ended.usage.total_tokens == undisturbed.usage.total_tokens
    follow_up = official.responses.create(
        model=MODEL, input="And then?", previous_response_id=response_id, max_output_tokens=16
    )
    assert follow_up.usage.input_tokens > ended.usage.total_tokens


def test_a_conversation_goes_on_with_another_model(folder, tokenizer, tmp_path):
    """What was said is kept as words too, and told anew in the new model's tokens."""
    (tmp_path / "data").mkdir()
    kosmos = ServerProcess(tmp_path / "data", KOSMOSX_ENGINE="deterministic")
    kosmos.start()
    first = client(kosmos).responses.create(
        model=MODEL, input=[message("What is it?", picture_url())], max_output_tokens=20
    )
    assert kosmos.stop() == 0
    other = ServerProcess(
        tmp_path / "data", KOSMOSX_ENGINE="deterministic", KOSMOSX_MODEL=str(folder)
    )
    other.start()
    second = client(other).responses.create(
        model=MODEL, input="And then?", previous_response_id=first.id, max_output_tokens=20
    )
    said = [("user", "What is it?"), ("assistant", first.output_text), ("user", "And then?")]
    assert second.usage.input_tokens == prompt_length(tokenizer, *said)
    assert second.output_text
    assert other.stop() == 0
