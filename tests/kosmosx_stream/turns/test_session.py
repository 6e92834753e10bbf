"""The session machine, with random inputs and no socket, clock or engine."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from conversation.entries import Delta, Ended, Entry, Price, Sampling, Started
from conversation.items import Turn
from kosmosx_stream.formats.chat_format import Released
from kosmosx_stream.turns.session import (
    Abort,
    Close,
    Effect,
    Generate,
    Publish,
    Remember,
    Session,
    SessionClosed,
    Settle,
)

PRICE = Price(
    version="test",
    token_micro_usd=1,
    image_micro_usd=1,
    detection_micro_usd=0,
    minimum_tokens=1,
)


class Pairs:
    """A decoder that can show something for every second id only."""

    def __init__(self) -> None:
        self._held: list[int] = []

    def feed(self, token_ids: Sequence[int]) -> Released:
        self._held += token_ids
        even = len(self._held) // 2 * 2
        shown, self._held = self._held[:even], self._held[even:]
        return Released("".join(chr(97 + token % 26) for token in shown))

    def finish(self) -> Released:
        shown, self._held = self._held, []
        return Released("".join(chr(97 + token % 26) for token in shown))


class Letters:
    """A decoder that shows a letter for every id."""

    def feed(self, token_ids: Sequence[int]) -> Released:
        return Released(said(token_ids))

    def finish(self) -> Released:
        return Released()


def started(response_id: str, *, store: bool = True, stop: tuple[str, ...] = ()) -> Started:
    return Started(
        response_id=response_id,
        account_id="acct",
        session_id="sess",
        created_at=1.0,
        model="m",
        request=b"{}",
        price=PRICE,
        sampling=Sampling(),
        max_tokens=10,
        input_tokens=3,
        prompt_ids=(1, 2, 3),
        turn_ids=(2, 3),
        image_ids=(),
        new_images=(),
        input=(),
        output_item_id="msg",
        store=store,
        stop=stop,
    )


def entries(effects: Sequence[Effect]) -> list[Entry]:
    return [effect.entry for effect in effects if isinstance(effect, Publish)]


def turns(effects: Sequence[Effect]) -> list[Turn]:
    return [e.turn for e in effects if isinstance(e, Publish) and e.turn is not None]


steps = st.lists(st.lists(st.integers(0, 99), max_size=5), max_size=20)


@given(steps, st.sampled_from(["stop", "length"]))
def test_every_token_is_logged_once_in_order(deltas: list[list[int]], reason: str) -> None:
    session = Session()
    effects = session.say(started("r"), Pairs())
    assert effects[1] == Generate(effects[0].entry)
    for ids in deltas:
        effects += session.delta("r", ids, 2.0)
    effects += session.delta("r", [7], 3.0, finish_reason=reason, cached_tokens=2)
    log = entries(effects)
    logged = [token for entry in log[1:] for token in entry.token_ids]
    assert logged == [token for ids in deltas for token in ids] + [7]
    assert all(isinstance(entry, Delta) and entry.text for entry in log[1:-1])
    assert isinstance(log[-1], Ended)
    assert (log[-1].reason, log[-1].at, log[-1].cached_tokens) == (reason, 3.0, 2)
    (turn,) = turns(effects)
    assert turn.answer_ids == tuple(logged)
    assert turn.output[0].content[0].text == "".join(entry.text for entry in log[1:])
    assert turn.output[0].status == ("completed" if reason == "stop" else "incomplete")


@given(steps, st.integers(0, 20))
def test_a_turn_goes_on_from_its_log(deltas: list[list[int]], lost_after: int) -> None:
    """Whatever was in the log when the owner was lost, another one ends up with the same text."""
    first = Session()
    effects = first.say(started("r"), Pairs())
    for ids in deltas:
        effects += first.delta("r", ids, 2.0)
    kept = entries(effects)[1 : 1 + lost_after]
    logged = [token for entry in kept for token in entry.token_ids]
    whole = [token for ids in deltas for token in ids] + [7]

    second = Session()
    effects = second.resume(started("r"), kept, Pairs(), 3.0)
    assert effects == [Generate(started("r"))]
    assert second.answer_ids("r") == tuple(logged)
    for token in whole[len(logged) : -1]:
        effects += second.delta("r", [token], 4.0)
    effects += second.delta("r", whole[-1:], 5.0, finish_reason="stop")
    added = [token for entry in entries(effects) for token in entry.token_ids]
    assert logged + added == whole
    text = "".join(entry.text for entry in [*kept, *entries(effects)])
    assert text == "".join(chr(97 + token % 26) for token in whole)
    (turn,) = turns(effects)
    assert turn.output[0].content[0].text == text


def said(tokens: Sequence[int]) -> str:
    return "".join(chr(97 + token % 26) for token in tokens)


@given(steps, st.integers(0, 20))
def test_a_stop_string_ends_a_turn_wherever_its_owner_was_lost(
    deltas: list[list[int]], lost_after: int
) -> None:
    """`de` is said as tokens 3 and 4 in the end; what comes after it is not shown."""
    portions = [[5 + token % 20 for token in ids] for ids in deltas] + [[6, 3], [4], [9, 9]]
    whole = [token for ids in portions for token in ids]
    begun = started("r", stop=("zzz", "de"))
    first = Session()
    effects = first.say(begun, Letters())
    for ids in portions:
        effects += first.delta("r", ids, 2.0)
    assert effects[-2:] == [Publish("r", entries(effects)[-1], turns(effects)[0]), Settle("r")]
    assert effects[-3] == Abort("r")
    log = entries(effects)
    assert log[-1].reason == "stop"
    assert "".join(entry.text for entry in log[1:]) == said(whole[:-4])
    assert turns(effects)[0].answer_ids == tuple(whole[:-2])

    kept = log[1:-1][:lost_after]
    logged = [token for entry in kept for token in entry.token_ids]
    second = Session()
    effects = second.resume(begun, kept, Letters(), 3.0)
    for token in whole[len(logged) :]:
        effects += second.delta("r", [token], 4.0)
    rest = entries(effects)
    assert rest[-1].reason == "stop"
    assert "".join(entry.text for entry in [*kept, *rest]) == said(whole[:-4])


def test_only_the_end_after_a_stop_string_was_missing() -> None:
    session = Session()
    log = [Delta((0, 1, 2), "a")]
    (publish, settle) = session.resume(started("r", stop=("b",)), log, Letters(), 3.0)
    assert publish.entry.reason == "stop"
    assert settle == Settle("r")


def test_a_stop_string_may_be_whole_with_the_last_token_only() -> None:
    """The decoder holds the last id back, and the answer is as long as it may get."""
    session = Session()
    effects = session.say(started("r", stop=("de",)), Pairs())
    effects += session.delta("r", [0, 3, 4], 2.0, finish_reason="length")
    *_, last = log = entries(effects)
    assert "".join(entry.text for entry in log[1:]) == "a"
    assert last.reason == "stop"


commands = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(0, 3)),
        st.tuples(st.just("delta"), st.integers(0, 3)),
        st.tuples(st.just("finish"), st.integers(0, 3)),
        st.tuples(st.just("cancel"), st.integers(0, 3)),
        st.tuples(st.just("settled"), st.integers(0, 3)),
        st.tuples(st.just("abandon"), st.integers(0, 3)),
        st.tuples(st.just("close"), st.just(0)),
    ),
    max_size=40,
)


@given(commands)
def test_any_order_of_inputs_ends_each_turn_once_and_closes_once(
    script: list[tuple[str, int]],
) -> None:
    session = Session()
    effects: list[Effect] = []
    said: set[str] = set()
    for index, (command, number) in enumerate(script):
        match command:
            case "say":
                response_id = f"r{number}-{index}"
                try:
                    effects += session.say(started(response_id), Pairs())
                except SessionClosed:
                    assert not session.open
                else:
                    said.add(response_id)
            case "close":
                effects += session.close("client", 9.0)
            case _:
                for response_id in [r for r in sorted(said) if r.startswith(f"r{number}")]:
                    effects += obey(session, command, response_id, effects)
    effects += session.close("client", 9.0)
    for response_id in said:
        effects += session.settled(response_id)
    assert session.idle
    assert [effect for effect in effects if isinstance(effect, Close)] == [Close("client")]
    for response_id in said:
        mine = [e for e in effects if getattr(e, "response_id", None) == response_id]
        published = entries(mine)
        ends = [entry for entry in published if isinstance(entry, Ended)]
        assert len(ends) <= 1
        assert len([e for e in mine if isinstance(e, Settle)]) == len(ends)
        if ends:
            assert published[-1] is ends[0]
        else:
            assert Abort(response_id) in mine  # It was abandoned.


def obey(session: Session, command: str, response_id: str, before: list[Effect]) -> list[Effect]:
    match command:
        case "delta":
            return session.delta(response_id, [1, 2], 5.0)
        case "finish":
            return session.delta(response_id, [3], 5.0, finish_reason="stop")
        case "cancel":
            return session.stop(response_id, "cancelled", 5.0)
        case "abandon":
            return session.abandon(response_id)
    # The driver says `settled` only of what the machine asked to settle.
    return session.settled(response_id) if Settle(response_id) in before else []


def letters(text: str) -> list[int]:
    """The ids that say a text by `Bytes`."""
    return list(text.encode())


class Bytes:
    """A decoder that shows the character that an id is the code of."""

    def feed(self, token_ids: Sequence[int]) -> Released:
        return Released(bytes(token_ids).decode())

    def finish(self) -> Released:
        return Released()


CALL = '<tool_call>{"name":"look","arguments":{}}</tool_call>'


@pytest.mark.parametrize("calls", [True, False])
def test_a_steered_answer_ends_among_its_words(*, calls: bool) -> None:
    session = Session()
    session.say(replace(started("r"), calls=calls), Bytes())
    session.delta("r", letters("Some words "), 2.0)
    abort, publish, _ = session.steer("r", 3.0)
    assert abort == Abort("r")
    assert (publish.entry.reason, publish.entry.at) == ("steered", 3.0)
    assert session.steer("r", 4.0) == session.delta("r", letters("more"), 4.0) == []


def test_a_steered_answer_ends_once_it_is_sure_that_it_calls_nothing() -> None:
    session = Session()
    session.say(replace(started("r"), calls=True), Bytes())
    session.delta("r", letters("Less: <tool"), 2.0)
    assert session.steer("r", 3.0) == []
    (doubtful,) = session.delta("r", letters("_"), 3.0)
    assert isinstance(doubtful.entry, Delta)
    _, abort, ended, _ = session.delta("r", letters("box"), 4.0)
    assert abort == Abort("r")
    assert ended.entry.reason == "steered"
    assert ended.turn.output[0].content[0].text == "Less: <tool_box"


def test_a_steered_answer_that_calls_ends_by_itself() -> None:
    session = Session()
    session.say(replace(started("r"), calls=True), Bytes())
    effects = session.steer("r", 2.0)  # Nothing is said yet: this ends it.
    assert entries(effects)[-1].reason == "steered"
    session.say(replace(started("s"), calls=True), Bytes())
    effects = session.delta("s", letters("<"), 2.0)
    effects += session.steer("s", 2.0)
    for token in letters(CALL[1:]):
        effects += session.delta("s", [token], 3.0)
    assert all(isinstance(entry, Delta) for entry in entries(effects))
    effects = session.delta("s", [], 3.0, finish_reason="stop")
    assert entries(effects)[-1].reason == "stop"


def test_an_aborted_engine_s_last_step_is_not_logged() -> None:
    session = Session()
    session.say(started("r"), Pairs())
    assert session.stop("r", "cancelled", 2.0)[0] == Abort("r")
    assert session.delta("r", [1, 2], 2.5) == []
    assert session.stop("r", "cancelled", 3.0) == []


def test_a_failed_turn_is_billed_but_not_remembered() -> None:
    session = Session()
    session.say(started("r"), Pairs())
    session.delta("r", [1, 2], 1.5)
    effects = session.stop("r", "error", 2.0, error_code="server_error", error_message="sorry")
    assert turns(effects) == []
    assert Settle("r") in effects


def test_a_warm_up_throws_away_what_the_engine_says() -> None:
    session = Session()
    session.say(replace(started("r"), generate=False), Pairs())
    assert session.delta("r", [1, 2], 2.0) == []
    publish, settle = session.delta("r", [3], 3.0, finish_reason="length", cached_tokens=4)
    assert isinstance(publish, Publish)
    assert publish.entry == Ended(reason="warmed", at=3.0, cached_tokens=4)
    assert publish.turn is not None
    assert (publish.turn.output, publish.turn.answer_ids) == ((), ())
    assert settle == Settle("r")


def test_an_unstored_turn_is_remembered_by_its_connection_only() -> None:
    session = Session()
    session.say(started("r", store=False), Pairs())
    effects = session.delta("r", [1], 2.0, finish_reason="stop")
    assert turns(effects) == []
    (remember,) = [effect for effect in effects if isinstance(effect, Remember)]
    assert remember.turn.answer_ids == (1,)


def test_a_closed_session_takes_no_turn() -> None:
    session = Session()
    assert session.close("idle", 1.0) == [Close("idle")]
    with pytest.raises(SessionClosed):
        session.say(started("r"), Pairs())


def test_a_session_finishes_with_its_only_turn() -> None:
    session = Session()
    session.say(started("a"), Letters())
    session.stop("a", "stop", 1.0)
    assert session.finish("a")
    assert not session.finish("a")
    with pytest.raises(SessionClosed):
        session.say(started("b"), Letters())
    # Whatever becomes of the turn, the books are closed with it and not before.
    assert session.close("client", 2.0) == []
    assert session.settled("a") == session.abandon("a") == []


def test_a_session_does_not_finish_under_another_turn_or_twice() -> None:
    session = Session()
    for response_id in ("a", "b"):
        session.say(started(response_id), Letters())
        session.stop(response_id, "stop", 1.0)
    assert not session.finish("a")
    assert session.settled("b") == []
    session.close("client", 2.0)
    assert not session.finish("a")
    assert session.settled("a") == [Close("client")]
