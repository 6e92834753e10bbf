"""The projection of any log whatever is in order, and the same for whoever joins later."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from conversation.entries import Delta, Ended, Entry, Started
from conversation.items import Grounding
from tests.kosmosx_stream.protocol.logs import (
    CALLED,
    DELTA,
    OVER_SSE,
    SCHEMAS,
    TEXT,
    TOKENS,
    decoded,
    ends,
    project,
)

UNIT = st.floats(0, 1)
GROUNDINGS = st.lists(
    st.builds(
        Grounding,
        phrase=TEXT,
        start=st.integers(0, 100),
        end=st.integers(0, 100),
        boxes=st.lists(st.tuples(UNIT, UNIT, UNIT, UNIT), max_size=2).map(tuple),
    ),
    max_size=2,
).map(tuple)
SAYINGS = TEXT | st.sampled_from([CALLED, CALLED[:9], CALLED[9:30], CALLED[30:]])
RANDOM_DELTAS = st.lists(st.builds(Delta, TOKENS, SAYINGS, GROUNDINGS), max_size=8)
RANDOM_ENDS = ends(GROUNDINGS)
RANDOM_LOGS = st.tuples(RANDOM_DELTAS, st.none() | RANDOM_ENDS).map(
    lambda log: [*log[0], *([log[1]] if log[1] else [])]
)


@given(
    entries=RANDOM_LOGS,
    started=st.fixed_dictionaries({"opens_session": st.booleans(), "calls": st.booleans()}),
    data=st.data(),
)
def test_any_log(validate, make_started, entries, started, data) -> None:
    log: list[Entry] = [make_started(**started), *entries]
    events = project(log)
    wire = decoded(events)

    assert [event.sequence for event in events] == list(range(len(events)))
    for event, fields in zip(events, wire, strict=True):
        assert (fields["type"], fields["sequence_number"]) == (event.type, event.sequence)
        assert event.extension == event.type.startswith("kosmosx:")
        if not event.extension:
            validate(SCHEMAS[event.type], fields)
            OVER_SSE.validate_json(event.data)
    if not started["calls"]:
        _check_text(log, wire)
    _check_items(wire)

    # Whoever joins later, and projects anew, continues with the same bytes.
    cut = data.draw(st.integers(0, len(log)))
    seen = project(log[:cut])
    assert seen == events[: len(seen)]
    assert project(log)[len(seen) :] == events[len(seen) :]


def _check_text(log: Sequence[Entry], wire: list[dict[str, Any]]) -> None:
    parts = [entry for entry in log if not isinstance(entry, Started)]
    text = "".join(entry.text for entry in parts)
    boxes = sum(len(grounding.boxes) for entry in parts for grounding in entry.grounding)
    deltas = [event for event in wire if event["type"] == DELTA]
    assert "".join(event["delta"] for event in deltas) == text
    assert len(deltas) == sum(bool(entry.text or entry.grounding) for entry in parts)
    done = [event for event in wire if event["type"] == "response.output_text.done"]
    assert [event["text"] for event in done] in ([], [text])
    if isinstance(log[-1], Ended):
        response = wire[-1]["response"]
        tokens = sum(len(entry.token_ids) for entry in parts)
        assert response["usage"]["output_tokens"] == tokens
        assert response["kosmosx:usage"]["detections"] == boxes
        assert bool(done) == bool(response["output"])


def _check_items(wire: list[dict[str, Any]]) -> None:
    """Each item is added, goes on and is done in its place, one after the other."""
    items: list[dict[str, Any]] = []
    for event in wire:
        match event:
            case {"type": "response.output_item.added", "item": item}:
                assert event["output_index"] == len(items)
                items.append(item)
            case {"type": "response.output_item.done", "item": item}:
                assert event["output_index"] == len(items) - 1
                assert item["id"] == items[-1]["id"]
                items[-1] = item
            case {"output_index": index}:
                assert (index, event["item_id"]) == (len(items) - 1, items[-1]["id"])
            case {"type": "response.completed" | "response.incomplete" | "response.failed"}:
                assert event["response"]["output"] == items
