"""Entries as they lie in the log: read back whole, and by older and newer servers."""

import msgspec
import pytest

from conversation.entries import (
    VERSION,
    Delta,
    Dropped,
    Ended,
    Entry,
    Price,
    Sampling,
    Started,
    UnknownEntryVersion,
    pack,
    unpack,
)
from conversation.items import FunctionCall, FunctionCallOutput, Grounding, Image, Message, Text

STARTED = Started(
    response_id="resp_1",
    account_id="acct_1",
    session_id="sess_1",
    created_at=1.5,
    model="kosmos-x",
    request=b"{}",
    price=Price(
        version="2026-11",
        token_micro_usd=200,
        image_micro_usd=10_000,
        detection_micro_usd=5,
        minimum_tokens=100,
    ),
    sampling=Sampling(temperature=0.7, seed=3),
    max_tokens=64,
    input_tokens=70,
    prompt_ids=(0, 7, 8),
    turn_ids=(7, 8),
    image_ids=("i1",),
    new_images=("i1",),
    input=(
        FunctionCall(id="fc_1", call_id="call_1", name="look", arguments="{}"),
        FunctionCallOutput(id="fco_1", call_id="call_1", output="A dog."),
        FunctionCallOutput(id="fco_2", call_id="call_1", output=(Text("A dog."), Image("i2"))),
        Message(id="msg_1", role="user", content=(Text("What?"), Image("i1"))),
    ),
    output_item_id="msg_2",
    dropped=Dropped(turns=3, tokens=900, window=2048),
)
DOG = Grounding("dog", 2, 5, ((0.0, 0.25, 0.5, 1.0),))


@pytest.mark.parametrize(
    "entry",
    [STARTED, Delta((5, 6), "A dog", (DOG,)), Ended(reason="stop", at=2.5, token_ids=(2,))],
)
def test_an_entry_is_read_back(entry: Entry) -> None:
    assert unpack(pack(entry)) == entry


def test_what_an_older_server_wrote_is_read() -> None:
    fields = msgspec.msgpack.decode(pack(STARTED)[1:])
    del fields["dropped"]
    old = bytes((VERSION,)) + msgspec.msgpack.encode(fields)
    assert unpack(old) == msgspec.structs.replace(STARTED, dropped=None)


def test_a_field_that_a_newer_server_added_is_passed_over() -> None:
    fields = msgspec.msgpack.decode(pack(STARTED)[1:])
    new = bytes((VERSION,)) + msgspec.msgpack.encode(fields | {"mood": "good"})
    assert unpack(new) == STARTED


def test_a_newer_version_is_refused() -> None:
    with pytest.raises(UnknownEntryVersion, match=f"version {VERSION + 1}"):
        unpack(bytes((VERSION + 1,)) + pack(STARTED)[1:])
