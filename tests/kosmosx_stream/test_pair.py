"""Two servers over one Redis: an answer is one's, and every other's to read and to go on with."""

import asyncio

import openai
import pytest

from conversation.redis_connection import connect
from tests.conftest import Twins
from tests.kosmosx_stream.clients import MODEL, Socket, client, text_of
from tests.older_state import State, set_back, state_of
from tests.otlp_collector import Collector
from tests.pair import Pair

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def test_an_answer_is_followed_on_the_other_server(pair: Pair) -> None:
    here, there = client(pair.one), client(pair.two, pair.one.key)
    with here.responses.create(
        model=MODEL, input="Say something.", max_output_tokens=20, stream=True
    ) as stream:
        events = iter(stream)
        seen = [next(events) for _ in range(5)]
        response_id = seen[0].response.id
        with there.responses.retrieve(response_id, stream=True, starting_after=1) as other:
            followed = list(other)
        seen += events
    assert [event.to_dict() for event in followed] == [event.to_dict() for event in seen[2:]]


def test_the_other_server_takes_over(pair: Pair, otlp: Collector) -> None:
    """A server dies in mid-answer; its readers go on elsewhere, as if nothing had happened.

    So does the turn's trace.
    """
    here, there = client(pair.one), client(pair.two, pair.one.key)
    asked = {"model": MODEL, "input": "Say something else.", "max_output_tokens": 40}
    undisturbed = there.responses.create(**asked)
    seen = []
    traced = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}
    with here.responses.create(**asked, stream=True, extra_headers=traced) as stream:
        for event in stream:
            seen.append(event)
            if len(seen) == 8:
                break
        pair.one.kill()
    try:
        response_id, after = seen[0].response.id, seen[-1].sequence_number
        with there.responses.retrieve(response_id, stream=True, starting_after=after) as rest:
            seen += rest
    finally:
        pair.one.start()
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert text_of(seen) == undisturbed.output_text
    assert seen[-1].response.usage == undisturbed.usage
    spans = otlp.wait_for(
        lambda spans: "chat kosmos-x" in {span.name for span in spans if span.trace_id == TRACE_ID}
    )
    # What the dead one had not sent is lost; the trace is the same, and points to the lost span.
    (adopted,) = (
        span for span in spans if span.attributes.get("gen_ai.response.id") == response_id
    )
    assert adopted.trace_id == TRACE_ID
    assert adopted.links == [(TRACE_ID, adopted.parent_id)]
    assert adopted.attributes["kosmosx.adopted_at_entry"] > 1
    assert adopted.attributes["gen_ai.usage.output_tokens"] == undisturbed.usage.output_tokens


def test_the_other_server_cancels(pair: Pair) -> None:
    """The owner lives, and its reader gets the end that the other one wrote."""
    here, there = client(pair.one), client(pair.two, pair.one.key)
    with here.responses.create(
        model=MODEL, input="Say it all.", background=True, max_output_tokens=1000, stream=True
    ) as stream:
        events = iter(stream)
        response_id = next(events).response.id
        cancelled = there.responses.cancel(response_id)
        *_, last = events
    assert (last.type, last.response.status) == ("response.incomplete", "cancelled")
    assert last.response.usage == cancelled.usage
    session = there.get(f"/sessions/{getattr(cancelled, 'kosmosx:session')['id']}", cast_to=object)
    assert session["status"] == "closed"
    assert session["usage"]["total_tokens"] == cancelled.usage.total_tokens


def test_the_other_server_closes_the_session(twins: Twins) -> None:
    """Its turn is live here: it is ended and settled before the receipt is written."""
    here, there = client(twins.first), client(twins.second, twins.first.key)
    with here.responses.connect() as connection:
        ws = Socket(connection)
        connection.response.create(model=MODEL, input="Say it all.", max_output_tokens=1000)
        while (event := connection.recv()).type != "response.output_text.delta":
            if event.type == "kosmosx:session.opened":
                ws.session_id = event.session["id"]
        closed = there.delete(f"/sessions/{ws.session_id}", cast_to=object)
        last = ws.read()[-1].response
        refused = ws.say(input="And more.")[-1]
    assert last.status == "incomplete"
    assert (closed["status"], closed["close_reason"]) == ("closed", "client")
    assert closed["usage"]["total_tokens"] == last.usage.total_tokens
    (line,) = closed["receipt"]["lines"]
    assert line["units"] == last.usage.total_tokens
    assert refused.error.code == "session_closed"


def test_a_closed_session_is_still_read(pair: Pair) -> None:
    """A client that comes back late gets the rest of its answer, and a new session to go on in."""
    here, there = client(pair.one), client(pair.two, pair.one.key)
    with here.responses.connect() as connection:
        ws = Socket(connection)
        seen = ws.say(input="Say something.", max_output_tokens=20)
        receipt = ws.close()
    cursor = {
        "session_id": receipt["id"],
        "response_id": seen[0].response.id,
        "starting_after": "3",
    }
    with there.responses.connect(extra_query=cursor) as connection:
        ws = Socket(connection)
        assert [event.to_dict() for event in ws.read()] == [event.to_dict() for event in seen[4:]]
        ws.say(input="And more.", max_output_tokens=16)
        assert ws.session_id not in {None, receipt["id"]}


def test_who_comes_back_after_the_store_was_set_back_is_told(pair: Pair) -> None:
    """Whether the answer goes on by then or has ended again; from its beginning it can be read."""
    here, there = client(pair.one), client(pair.two, pair.one.key)

    async def state() -> State:
        async with connect(pair.valkey.url) as redis:
            return await state_of(redis)

    async def go_back(state: State, response_id: str) -> None:
        async with connect(pair.valkey.url) as redis:
            await set_back(redis, state, response_id)

    with here.responses.create(
        model=MODEL, input="Say it all.", max_output_tokens=16, stream=True
    ) as stream:
        events = iter(stream)
        response_id = next(events).response.id
        older = asyncio.run(state())
        last = list(events)[-1].sequence_number
    asyncio.run(go_back(older, response_id))

    def come_back(server: openai.OpenAI, after: int, **headers: str) -> None:
        with pytest.raises(openai.NotFoundError, match="read the response from its") as told:
            server.responses.retrieve(
                response_id, stream=True, starting_after=after, extra_headers=headers
            )
        assert told.value.code == "log_regressed"

    for server in (here, there):
        come_back(server, 1)
    anew = list(there.responses.retrieve(response_id, stream=True))
    assert anew[-1].type == "response.incomplete"
    for server in (here, there):
        come_back(server, last)
        come_back(server, last, **{"Last-Event-ID": str(anew[-1].sequence_number)})
