"""From a response's log to what it costs. Usage is a sum over the log; so is the bill."""

from collections.abc import Iterable
from functools import lru_cache

import msgspec

from conversation.entries import Delta, Ended, Entry, Price, Started
from conversation.items import box_count
from metering.prices import PriceBook
from metering.usage import TurnUsage


def turn_usage(entries: Iterable[Entry]) -> TurnUsage:
    """Sum a response's log, from its `Started` to its `Ended` or to wherever it broke off."""
    started: Started | None = None
    output_tokens = detections = cached_tokens = 0
    at = 0.0
    for entry in entries:
        match entry:
            case Started():
                started, at = entry, entry.created_at
            case Delta() | Ended():
                output_tokens += len(entry.token_ids)
                detections += box_count(entry.grounding)
                if isinstance(entry, Ended):
                    cached_tokens, at = entry.cached_tokens, entry.at
    if started is None:
        raise ValueError("a log without its first entry cannot be billed")
    return TurnUsage(
        response_id=started.response_id,
        session_id=started.session_id,
        account_id=started.account_id,
        model=started.model,
        input_tokens=started.input_tokens,
        cached_tokens=min(cached_tokens, started.input_tokens),
        output_tokens=output_tokens,
        images=len(started.new_images),
        detections=detections,
        at=at,
    )


def freeze(book: PriceBook) -> Price:
    """The prices as a turn's log keeps them from its admission on."""
    return msgspec.convert(book, Price, from_attributes=True)


@lru_cache(maxsize=64)  # Every token is priced.
def thaw(price: Price) -> PriceBook:
    """The price book that a turn was admitted under."""
    return msgspec.convert(price, PriceBook, from_attributes=True)
