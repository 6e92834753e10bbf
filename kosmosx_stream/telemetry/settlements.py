"""What a settled turn moves: exactly what went into the ledger, and when it did."""

from collections.abc import Sequence

from opentelemetry import trace

from conversation.entries import Ended, Entry, Started
from kosmosx_stream.telemetry.meters import Meters
from kosmosx_stream.telemetry.tracing import exemplar
from metering.ledger import Recorded
from metering.usage import LedgerRow, TurnUsage

_OUTCOMES = {Recorded.NEW: "recorded", Recorded.AGAIN: "repeated", Recorded.LATE: "late"}


def note_settlement(
    meters: Meters,
    entries: Sequence[Entry],
    usage: TurnUsage,
    rows: Sequence[LedgerRow],
    recorded: Recorded,
) -> None:
    """Count a turn that the ledger was told of; one that it knew is not counted again."""
    meters.settlements[_OUTCOMES[recorded]].inc(1)
    if recorded is Recorded.AGAIN:
        return
    meters.tokens["input"].inc(usage.input_tokens)
    meters.tokens["output"].inc(usage.output_tokens)
    meters.tokens_cached.inc(usage.cached_tokens)
    meters.images.inc(usage.images)
    meters.detections.inc(usage.detections)
    meters.cost_micro_usd.inc(sum(row.cost_micro_usd for row in rows))
    match entries:
        case [Started(created_at=admitted_at, model=model), *_, Ended() as ended]:
            meters.turns[ended.reason].inc(1)
            failed = (ended.error_code or "error") if ended.reason == "error" else ""
            lasted_s = max(0.0, ended.at - admitted_at)
            duration = meters.of(model).request_duration(failed)
            duration.observe_traced(lasted_s, exemplar(trace.get_current_span()))
