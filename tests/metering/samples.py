"""Plain usage and prices to test with."""

from decimal import Decimal

import msgspec

from metering.prices import PriceBook
from metering.usage import TurnUsage

BOOK = PriceBook(
    version="2026-11-01",
    token_micro_usd=200,
    image_micro_usd=500_000,
    detection_micro_usd=0,
    minimum_tokens=100,
)

TURN = TurnUsage(
    response_id="resp_1",
    session_id="sess_1",
    account_id="acct_1",
    model="kosmos-x",
    input_tokens=90,
    cached_tokens=64,
    output_tokens=42,
    images=0,
    detections=0,
    at=1_000.5,
)


def turn(response_id: str = "resp_1", **changes: object) -> TurnUsage:
    return msgspec.structs.replace(TURN, response_id=response_id, **changes)


def micro(dollars: str) -> int:
    """The inverse of `usd`, by other means."""
    value = Decimal(dollars) * 1_000_000
    assert value == int(value)
    return int(value)
