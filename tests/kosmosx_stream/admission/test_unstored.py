from conversation.items import Turn
from kosmosx_stream.admission.unstored import (
    LONGEST_CHAIN,
    REMEMBERED_RESPONSES,
    Chain,
    UnstoredTurns,
)


def turn(response_id: str, parent_id: str | None = None) -> Turn:
    return Turn(
        response_id=response_id,
        parent_id=parent_id,
        conversation_id=None,
        account_id="acct",
        created_at=0,
        input=(),
        output=(),
        prompt_ids=(1,),
        answer_ids=(2,),
        image_ids=(),
    )


def test_a_chain_reaches_back_to_what_was_stored() -> None:
    turns = UnstoredTurns()
    first, second, branch = turn("1", "stored"), turn("2", "1"), turn("3", "1")
    for each in (first, second, branch):
        turns.remember(each)
    assert turns.chain("2") == Chain((first, second), "stored")
    assert turns.chain("3") == Chain((first, branch), "stored")
    assert turns.chain("stored") is None


def test_what_was_evicted_is_gone_and_what_continued_it_is_not() -> None:
    turns = UnstoredTurns()
    turns.remember(turn("1"))
    turns.remember(turn("2", "1"))
    turns.evict("1")
    turns.evict("unknown")
    assert turns.chain("1") is None
    assert turns.chain("2") == Chain((turn("1"), turn("2", "1")), None)
    # It was continued while it was evicted: nothing is made up in its place.
    turns.remember(turn("3", "1"))
    assert turns.chain("3") == Chain((turn("3", "1"),), "1")
    turns.clear()
    assert turns.chain("2") is None


def test_the_least_recently_used_go_first() -> None:
    turns = UnstoredTurns()
    for number in range(REMEMBERED_RESPONSES):
        turns.remember(turn(str(number)))
    assert turns.chain("0") is not None
    turns.remember(turn("new"))
    assert turns.chain("0") is not None
    assert turns.chain("1") is None
    assert turns.chain("2") is not None


def test_a_conversation_may_be_longer_than_what_can_be_continued() -> None:
    turns = UnstoredTurns()
    parent = "stored"
    for number in range(LONGEST_CHAIN):
        turns.remember(turn(str(number), parent))
        parent = str(number)
    chain = turns.chain(parent)
    assert chain is not None
    assert (len(chain.turns), chain.stored_id) == (LONGEST_CHAIN, "stored")
    turns.remember(turn("last", parent))
    chain = turns.chain("last")
    assert chain is not None
    assert (len(chain.turns), chain.stored_id) == (LONGEST_CHAIN, None)
    assert chain.turns[0].response_id == "1"
