"""What was said before: by response chain, by conversation, over a restart, for its owner only."""

import openai
import pytest

from tests.kosmosx_stream.clients import MODEL, client, message, picture_url, socket
from tests.server_process import ServerProcess

FILLERS = (
    "Hello!",
    "What can you do?",
    "Thanks!",
    "Tell me a joke.",
    "Who are you?",
    "Which colours do you know?",
    "Hi again.",
    "What is the capital of France?",
    "Thank you.",
    "What shapes do you know?",
)


def test_a_name_is_recalled_over_a_restart_and_ten_turns(server: ServerProcess) -> None:
    """Also: the picture of a conversation is still seen after the restart."""
    official = client(server)
    conversation = official.conversations.create()
    told = official.responses.create(model=MODEL, input="My name is Ada.")
    seen = official.responses.create(
        model=MODEL,
        input=[message("Describe the picture.", picture_url())],
        conversation=conversation.id,
    )
    last = told
    for filler in FILLERS[:5]:
        last = official.responses.create(
            model=MODEL, input=filler, previous_response_id=last.id, temperature=0
        )
    assert server.stop() == 0
    server.start()  # Everyone's: another with a model would cost another start of vLLM.
    for filler in FILLERS[5:]:
        last = official.responses.create(
            model=MODEL, input=filler, previous_response_id=last.id, temperature=0
        )
    asked = official.responses.create(
        model=MODEL, input="What is my name?", previous_response_id=last.id, temperature=0
    )
    assert "Ada" in asked.output_text
    again = official.responses.create(
        model=MODEL, input="What color is the circle?", conversation=conversation.id, temperature=0
    )
    assert "red" in again.output_text.lower()
    assert official.responses.retrieve(seen.id).output_text == seen.output_text


def test_a_turn_reuses_the_prefix_of_the_one_before(server: ServerProcess) -> None:
    official = client(server)
    first = official.responses.create(
        model=MODEL, input=[message("Describe the picture.", picture_url())], temperature=0
    )
    second = official.responses.create(
        model=MODEL, input="How many shapes are there?", previous_response_id=first.id
    )
    assert second.usage.input_tokens > first.usage.total_tokens
    assert second.usage.input_tokens_details.cached_tokens >= 32


def test_another_account_s_things_do_not_exist(server: ServerProcess, other_key: str) -> None:
    mine, other = client(server), client(server, other_key)
    response = mine.responses.create(model=MODEL, input="Hello!")
    conversation = mine.conversations.create()
    session_id = mine.responses.with_raw_response.create(model=MODEL, input="Hi").headers[
        "x-kosmosx-session"
    ]
    with pytest.raises(openai.NotFoundError):
        other.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError):
        other.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        other.responses.cancel(response.id)
    with pytest.raises(openai.NotFoundError):
        other.responses.input_items.list(response.id)
    with pytest.raises(openai.NotFoundError):
        other.conversations.retrieve(conversation.id)
    with pytest.raises(openai.NotFoundError):
        other.responses.create(model=MODEL, input="Hi", conversation=conversation.id)
    with pytest.raises(openai.BadRequestError) as refused:
        other.responses.create(model=MODEL, input="Hi", previous_response_id=response.id)
    assert refused.value.code == "previous_response_not_found"
    with pytest.raises(openai.NotFoundError):
        other.get(f"/sessions/{session_id}", cast_to=object)
    assert mine.responses.retrieve(response.id).id == response.id


def test_a_deleted_response_is_gone(server: ServerProcess) -> None:
    official = client(server)
    response = official.responses.create(model=MODEL, input="Hello!")
    official.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        official.responses.retrieve(response.id)
    with pytest.raises(openai.BadRequestError):
        official.responses.create(model=MODEL, input="Hi", previous_response_id=response.id)


def test_unstored_turns_live_on_their_connection_only(server: ServerProcess) -> None:
    official = client(server)
    with socket(official) as ws:
        first = ws.say(input="My name is Ada.", store=False)[-1].response
        second = ws.say(
            input="What is my name?", store=False, previous_response_id=first.id, temperature=0
        )[-1]
    assert "Ada" in second.response.output_text
    with pytest.raises(openai.NotFoundError):
        official.responses.retrieve(first.id)
    with socket(official) as ws:
        refused = ws.say(input="Hi", previous_response_id=first.id)[-1]
    assert (refused.type, refused.error.code) == ("error", "previous_response_not_found")
