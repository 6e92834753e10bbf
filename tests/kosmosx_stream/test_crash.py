"""A server that dies in mid-answer: what was read stays, and is billed once."""

import contextlib
from typing import Any

import httpx
import openai
import pytest
import websockets

from tests.kosmosx_stream.clients import MODEL, Socket, client, message, picture_url, text_of
from tests.server_process import ServerProcess


def read_and_kill(stream: Any, seen: list[Any], server: ServerProcess) -> None:
    """Kill the server as soon as an answer has begun; what is on its way is still read."""
    for event in stream:
        if event.type == "response.output_text.delta" and not text_of(seen):
            server.kill()
        seen.append(event)


def ask(server: ServerProcess) -> Any:
    return client(server).responses.create(
        model=MODEL,
        input=[message("Describe the picture in detail.", picture_url())],
        temperature=0,
        stream=True,
    )


def test_kill_9_in_mid_answer(slow_server: ServerProcess) -> None:
    """The answer goes on after the restart, as if nothing had happened, and is billed once."""
    with ask(slow_server) as stream:
        undisturbed = list(stream)[-1].response
    seen: list[Any] = []
    with pytest.raises((openai.APIError, httpx.TransportError)), ask(slow_server) as stream:
        read_and_kill(stream, seen, slow_server)
    assert text_of(seen) != undisturbed.output_text
    expect_the_rest(slow_server, seen, undisturbed)


@pytest.mark.slow
def test_kill_9_while_the_model_answers(mortal_server: ServerProcess) -> None:
    """The same with vLLM, which may have said everything before the kill on a fast machine."""
    with ask(mortal_server) as stream:
        undisturbed = list(stream)[-1].response
    seen: list[Any] = []
    with contextlib.suppress(openai.APIError, httpx.TransportError), ask(mortal_server) as stream:
        read_and_kill(stream, seen, mortal_server)
    expect_the_rest(mortal_server, seen, undisturbed)


def expect_the_rest(server: ServerProcess, seen: list[Any], undisturbed: Any) -> None:
    """Start the server again: what was not seen is there to be read, once, and is billed once."""
    server.start()
    official = client(server)
    response_id = seen[0].response.id
    with official.responses.retrieve(
        response_id, stream=True, starting_after=seen[-1].sequence_number
    ) as rest:
        events = [*seen, *rest]
    assert events[-1].type == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert text_of(events) == undisturbed.output_text
    ended = official.responses.retrieve(response_id)
    assert ended.output_text == undisturbed.output_text
    assert ended.usage.total_tokens == undisturbed.usage.total_tokens

    # An answer that was whole before the kill has left its session open, until it is idle.
    path = f"/sessions/{getattr(ended, 'kosmosx:session')['id']}"
    session: Any = official.delete(path, cast_to=object)
    assert session["status"] == "closed"
    assert session["usage"]["total_tokens"] == ended.usage.total_tokens
    units = {line["meter"]: line["units"] for line in session["receipt"]["lines"]}
    assert units["tokens"] == ended.usage.total_tokens
    assert units["images"] == 1


@pytest.mark.slow
def test_a_socket_goes_on_after_kill_9(mortal_server: ServerProcess) -> None:
    """A client comes back with its session, its response and the last number that it read."""
    official = client(mortal_server)
    seen: list[Any] = []
    with official.responses.connect(max_retries=0) as connection:
        connection.response.create(
            model=MODEL, input=[message("Describe the picture in detail.", picture_url())]
        )
        while not seen or seen[-1].type != "response.output_text.delta":
            seen.append(connection.recv())
        mortal_server.kill()
    mortal_server.start()
    cursor = {
        "session_id": seen[1].session["id"],
        "response_id": seen[0].response.id,
        "starting_after": str(seen[-1].sequence_number),
    }
    with official.responses.connect(extra_query=cursor) as connection:
        ws = Socket(connection)
        events = [*seen, *ws.read()]
        assert events[-1].type == "response.completed"
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert text_of(events) == events[-1].response.output_text
        closed = ws.close()
    assert closed["id"] == cursor["session_id"]
    assert closed["usage"]["total_tokens"] == events[-1].response.usage.total_tokens


@pytest.mark.slow
def test_sigterm_lets_a_turn_finish(mortal_server: ServerProcess) -> None:
    official = client(mortal_server)
    with official.responses.create(
        model=MODEL,
        input=[message("Describe the picture in detail.", picture_url())],
        stream=True,
    ) as stream:
        events = iter(stream)
        seen = [next(events) for _ in range(5)]
        assert mortal_server.stop_while(lambda: seen.extend(events)) == 0
    assert seen[-1].type == "response.completed"
    mortal_server.start()
    assert official.responses.retrieve(seen[0].response.id).status == "completed"


def test_a_server_that_is_stopped_finishes_and_takes_nothing_new(
    slow_server: ServerProcess,
) -> None:
    official = client(slow_server)
    asked = {"model": MODEL, "input": "What can you do?", "max_output_tokens": 80}
    with official.responses.create(**asked, stream=True) as stream:
        events = iter(stream)
        seen = [next(events) for _ in range(5)]

        def meanwhile() -> None:
            while httpx.get(f"{slow_server.base_url}/health/ready").status_code == 200:
                pass
            ready = httpx.get(f"{slow_server.base_url}/health/ready")
            assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
            with pytest.raises(openai.InternalServerError) as refused:
                official.responses.create(**asked)
            assert refused.value.code == "server_unavailable"
            with pytest.raises(websockets.InvalidStatus) as closed:
                official.responses.connect(max_retries=0).enter()
            assert closed.value.response.status_code == 503
            seen.extend(events)

        assert slow_server.stop_while(meanwhile) == 0
    assert seen[-1].type in {"response.completed", "response.incomplete"}


def test_a_data_folder_takes_one_server(slow_server: ServerProcess) -> None:
    second = ServerProcess(slow_server.data_dir, KOSMOSX_ENGINE="deterministic")
    with pytest.raises(RuntimeError, match="data"):
        second.start()
