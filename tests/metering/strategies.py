"""Any usage, at any prices, for Hypothesis."""

from hypothesis import strategies as st

from metering.prices import PriceBook
from metering.usage import TurnUsage
from tests.metering.samples import turn

prices = st.integers(0, 1_000_000_000)
books = st.builds(
    PriceBook,
    version=st.from_regex(r"[0-9A-Za-z._-]{1,12}", fullmatch=True),
    token_micro_usd=prices,
    image_micro_usd=prices,
    detection_micro_usd=prices,
    minimum_tokens=st.integers(0, 1000),
    tier=st.sampled_from(["main", "fallback"]),
)


@st.composite
def turns(draw: st.DrawFn, response_id: str = "resp_1") -> TurnUsage:
    input_tokens = draw(st.integers(0, 100_000))
    return turn(
        response_id,
        input_tokens=input_tokens,
        cached_tokens=draw(st.integers(0, input_tokens)),
        output_tokens=draw(st.one_of(st.just(0), st.integers(1, 10_000))),
        images=draw(st.integers(0, 4)),
        detections=draw(st.integers(0, 50)),
        at=draw(st.floats(1, 2e9)),
    )


@st.composite
def several_turns(draw: st.DrawFn, most: int = 8) -> list[TurnUsage]:
    count = draw(st.integers(0, most))
    return [draw(turns(f"resp_{number}")) for number in range(count)]
