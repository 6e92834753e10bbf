"""Which server reads a prompt."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kosmosx_stream.engines.placement import BEGINNING, FREE, SLACK, beginning, place
from tests.kosmosx_stream.engines.conformance import ask, picture

names = st.sets(st.integers(0, 99), min_size=2, max_size=8).map(
    lambda numbers: [f"http://engine-{number}:8000" for number in numbers]
)
beginnings = st.binary(min_size=1, max_size=40)


def idle(servers: list[str]) -> dict[str, int]:
    return dict.fromkeys(servers, 0)


@given(names, beginnings)
def test_a_server_that_goes_moves_only_its_own(servers: list[str], said: bytes) -> None:
    chosen = place(said, idle(servers))
    for lost in servers:
        left = [server for server in servers if server != lost]
        assert (place(said, idle(left)) == chosen) == (lost != chosen)


@given(names, beginnings)
def test_one_beginning_for_all_does_not_bring_all_to_one_server(
    servers: list[str], said: bytes
) -> None:
    live = idle(servers)
    for _ in range(40 * len(servers)):
        live[place(said, live)] += 1
    assert max(live.values()) <= SLACK * 40 + 1


@given(names, beginnings, st.integers(0, FREE - 1))
def test_a_few_live_turns_move_nobody(servers: list[str], said: bytes, turns: int) -> None:
    chosen = place(said, idle(servers))
    assert place(said, idle(servers) | {chosen: turns}) == chosen


def test_conversations_spread() -> None:
    servers = idle(["http://a:8000", "http://b:8000"])
    counts = Counter(place(str(number).encode(), servers) for number in range(1000))
    assert min(counts.values()) > 400


def test_the_turns_of_a_conversation_have_one_beginning() -> None:
    seen = picture(1)
    assert beginning(ask(5, seen, 9)) == beginning(ask(5, seen, 9, picture(2), 50))
    assert beginning(ask(BEGINNING)) == beginning(ask(BEGINNING + 50))


def test_other_conversations_have_others() -> None:
    several = [ask(5), ask(6), ask(5, salt="other"), ask(5, picture(1)), ask(5, picture(2))]
    assert len({beginning(request) for request in several}) == len(several)
