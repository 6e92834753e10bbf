"""Calls of functions in the projection."""

from conversation.entries import Delta
from tests.kosmosx_stream.protocol.logs import (
    CALLED,
    DELTA,
    DONE,
    ITEM,
    OPENED,
    decoded,
    ended,
    project,
)

ADDED, ITEM_DONE = "response.output_item.added", "response.output_item.done"
ARGUED = "response.function_call_arguments.delta"
CALL_DONE = ["response.function_call_arguments.done", ITEM_DONE]


def test_order_of_words_and_calls(make_started) -> None:
    text = f"Let me see. {CALLED}{CALLED}"
    log = [make_started(calls=True), *(Delta((1,), sign) for sign in text), ended()]
    events = [event.type for event in project(log)]
    short = [kind for kind, before in zip(events, ["", *events], strict=False) if kind != before]
    assert short == [
        *OPENED, *ITEM, DELTA, *DONE, ADDED, ARGUED, *CALL_DONE, ADDED, ARGUED, *CALL_DONE,
        "response.completed",
    ]  # fmt: skip


def test_the_arguments_arrive_as_they_were_generated(make_started) -> None:
    log = [make_started(calls=True), *(Delta((1,), sign) for sign in CALLED), ended()]
    wire = decoded(project(log))
    deltas = [event for event in wire if event["type"] == ARGUED]
    assert "".join(event["delta"] for event in deltas) == '{"at":"dog"}'
    assert {(event["item_id"], event["output_index"]) for event in deltas} == {("fc_1_0", 0)}
    # What came before the first arguments is on the bill, though nothing of it was shown.
    counted = [event["kosmosx:usage"]["output_tokens"] for event in deltas]
    assert counted == list(range(counted[0], counted[0] + 12))
    (item,) = wire[-1]["response"]["output"]
    assert item == wire[-2]["item"]
    assert item == {
        "type": "function_call",
        "id": "fc_1_0",
        "call_id": "call_1_0",
        "name": "look",
        "arguments": '{"at":"dog"}',
        "status": "completed",
    }


def test_a_call_that_was_cut_is_incomplete(make_started) -> None:
    log = [make_started(calls=True), Delta((1,), CALLED[:-16]), ended("length")]
    response = decoded(project(log))[-1]["response"]
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    (item,) = response["output"]
    assert (item["status"], item["arguments"]) == ("incomplete", '{"at":"do')
