"""Lanes, and what one connection remembers, on a server with small limits and no model."""

from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.websocket_reconnection import ReconnectingEvent, ReconnectingOverrides
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.kosmosx_stream.clients import MODEL, TERMINAL, client, text_of
from tests.kosmosx_stream.transports.conftest import LANES, WAITING
from tests.kosmosx_stream.transports.sockets import SHORT, Socket, socket, stream, text
from tests.server_process import ServerProcess, started


def began(ws: Socket) -> dict[str, int]:
    """Where each response's first event stands among all that were read."""
    return {text(each): at for at, each in enumerate(ws.seen) if each.type == "response.created"}


def ended(ws: Socket) -> dict[str, int]:
    return {text(each): at for at, each in enumerate(ws.seen) if each.type in TERMINAL}


def test_a_lane_is_fifo_and_lanes_run_side_by_side(narrow: ServerProcess) -> None:
    with socket(narrow) as ws:
        ws.say("long", "a", max_output_tokens=100)
        ws.say("one", **SHORT)
        ws.say("two", **SHORT)
        ws.ends(3)
    assert {stream(each) for each in ws.seen} == {"a", None}
    assert began(ws)["one"] < ended(ws)["one"] < began(ws)["two"] < ended(ws)["two"]
    assert began(ws)["long"] < ended(ws)["one"] < ended(ws)["long"]
    for lane in ("a", None):
        numbers = [each.sequence_number for each in ws.seen if stream(each) == lane]
        again = numbers.index(0, 1) if lane is None else len(numbers)
        for response in (numbers[:again], numbers[again:]):
            assert response == sorted(set(response))


def test_what_exceeds_the_responses_in_flight_waits_for_its_turn(narrow: ServerProcess) -> None:
    with socket(narrow) as ws:
        ws.say("first", "a", max_output_tokens=100)
        ws.say("second", "b", **SHORT)
        ws.say("third", "c", **SHORT)
        ws.ends(3)
    assert began(ws)["first"] < ended(ws)["second"] < ended(ws)["first"]
    assert began(ws)["third"] > ended(ws)["second"]


def test_names_of_lanes_are_limited(narrow: ServerProcess) -> None:
    with socket(narrow) as ws:
        for lane in [*"abcdefgh"[:LANES], None]:
            assert ws.ask("Hi", lane).type == "response.incomplete"
        refused = ws.ask("Hi", "new").to_dict()
        assert refused["stream_id"] == "new"
        assert refused["status"] == 400
        assert refused["error"].pop("message")
        assert refused["error"] == {
            "type": "invalid_request_error",
            "code": "websocket_stream_limit_reached",
            "param": "stream_id",
        }
        assert ws.ask("Hi", "a").type == "response.incomplete"
        assert ws.ask("Hi", "a/b").error.code == "invalid_stream_id"


def test_a_queue_is_bounded_and_a_closed_session_refuses_what_waits(
    narrow: ServerProcess,
) -> None:
    with socket(narrow) as ws:
        ws.say("runs", "a")
        ws.until("response.in_progress", "a")
        for number in range(WAITING + 1):
            ws.say(f"waits {number}", "a")
        (full,) = ws.ends(1)
        assert (full.status, full.error.code, stream(full)) == (429, "rate_limit_exceeded", "a")
        assert f"{WAITING} requests" in full.error.message
        ws.connection.send({"type": "kosmosx:session.close"})
        cut, *refused = ws.ends(1 + WAITING)
        assert (cut.type, text(cut)) == ("response.incomplete", "runs")
        assert {each.error.code for each in refused} == {"session_closed"}
        assert ws.read().session["usage"]["turns"] == 1


def test_a_failed_continuation_forgets_what_it_continued(narrow: ServerProcess) -> None:
    with socket(narrow) as ws:
        first = ws.ask("Hi", store=False).response.id
        second = ws.ask("Go on", store=False, previous_response_id=first).response.id
        too_long = "word " * 30_000
        failed = ws.ask(too_long, previous_response_id=first)
        assert failed.error.code == "context_length_exceeded"
        gone = ws.ask("Again", previous_response_id=first)
        assert (gone.status, gone.error.code) == (400, "previous_response_not_found")
        # What had continued it already goes on.
        assert ws.ask("And?", previous_response_id=second).type == "response.incomplete"


def test_a_failed_fork_leaves_the_lane_that_it_came_from_alone(narrow: ServerProcess) -> None:
    with socket(narrow) as ws:
        parent = ws.ask("Hi", "a", store=False).response.id
        failed = ws.ask("word " * 30_000, "b", previous_response_id=parent)
        assert failed.error.code == "context_length_exceeded"
        assert ws.ask("Go on", "a", previous_response_id=parent).type == "response.incomplete"


@pytest.mark.parametrize("store", [True, False])
def test_a_warm_up_says_nothing_costs_nothing_and_can_be_continued(
    narrow: ServerProcess, *, store: bool
) -> None:
    with socket(narrow) as ws:
        ws.say("Remember the red circle.", generate=False, store=store)
        (warm,) = ws.ends(1)
        assert warm.type == "response.completed"
        assert [event.type for event in ws.seen if not event.type.startswith("kosmosx:")] == [
            "response.created", "response.in_progress", "response.completed",
        ]  # fmt: skip
        assert warm.response.output == []
        assert warm.response.usage.output_tokens == 0
        assert getattr(warm.response, "kosmosx:usage")["cost_usd"] == "0.00"
        answer = ws.ask("Where is it?", previous_response_id=warm.response.id, store=store)
        alone = ws.ask("Where is it?")
        asked, unasked = (each.response.usage.input_tokens for each in (answer, alone))
        assert asked > unasked + warm.response.usage.input_tokens / 2


def test_cancelling_what_is_unknown_is_an_error(narrow: ServerProcess) -> None:
    with socket(narrow) as ws:
        ws.connection.send({"type": "kosmosx:response.cancel", "response_id": "resp_0"})
        (error,) = ws.ends(1)
        assert (error.status, error.error.code) == (404, "response_not_found")
        ws.say("Hi", "a")
        created = ws.until("response.created", "a")
        ws.connection.send({"type": "kosmosx:response.cancel", "response_id": created.response.id})
        (end,) = ws.ends(1)
        assert getattr(end.response, "kosmosx:reason") == "cancelled"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Its connections get no older than a second and a half; it says 20 tokens a second."""
    yield from started(
        tmp_path_factory.mktemp("impatient"),
        KOSMOSX_ENGINE="deterministic",
        KOSMOSX_DETERMINISTIC_RATE="20",
        KOSMOSX_DETERMINISTIC_LENGTH="1000000",
        KOSMOSX_MAX_CONNECTION_S="1.5",
    )


def test_a_connection_has_an_age_limit(impatient: ServerProcess) -> None:
    url = f"ws://127.0.0.1:{impatient.port}/v1/responses"
    headers = {"Authorization": f"Bearer {impatient.key}"}
    with connect(url, additional_headers=headers) as raw:
        last = raw.recv()
        with pytest.raises(ConnectionClosed):
            raw.recv()
    assert '"code":"websocket_connection_limit_reached"' in last
    assert '"status":400' in last
    assert "0.025 minutes" in last
    assert raw.close_code == 1001


def test_the_official_client_comes_back_for_the_rest(impatient: ServerProcess) -> None:
    """By its own hook, to the same session; each event comes once."""
    seen: list[Any] = []

    def where_it_was(dropped: ReconnectingEvent) -> ReconnectingOverrides:
        assert dropped.close_code == 1001
        return {
            "extra_query": {
                "session_id": getattr(seen[0].response, "kosmosx:session")["id"],
                "response_id": seen[0].response.id,
                "starting_after": str(seen[-1].sequence_number),
            }
        }

    with client(impatient).responses.connect(on_reconnecting=where_it_was) as connection:
        connection.response.create(model=MODEL, input="Go on.", max_output_tokens=60)
        limits = 0
        for event in connection:
            if event.type == "error":
                limits += 1
            elif event.type != "kosmosx:session.opened":
                seen.append(event)
                if event.type in TERMINAL:
                    break
    assert limits >= 1
    assert [each.sequence_number for each in seen] == sorted({e.sequence_number for e in seen})
    assert text_of(seen) == seen[-1].response.output_text
