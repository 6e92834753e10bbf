"""What was used, added up where it is written down: the log, the ledger, the outbox, Stripe."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis import Redis

from conversation.entries import Delta, Ended, Started
from metering.stripe.events import EVENT_NAMES
from tests.chaos.ledgers import Ledgers, Log, read_logs, unreleased
from tests.stripe_standin.app import StripeStandin
from tests.supabase.project import SupabaseProject

PAGE = 500
MICRO_PER_CENT = 10_000
COST = "micro_usd"

Row = dict[str, Any]
Sum = dict[str, int]
"""Billable units by meter, and what they cost."""


@dataclass(frozen=True)
class Books:
    """The logs in Valkey, and the tables of the Supabase project, read past the servers."""

    logs: dict[str, Log]
    unreleased: frozenset[str]
    sessions: list[Row]
    turns: list[Row]
    usage_records: list[Row]
    outbox: list[Row]

    @classmethod
    def read(cls, project: SupabaseProject, store_url: str) -> "Books":
        with Redis.from_url(store_url) as redis:
            return cls(
                logs=read_logs(redis),
                unreleased=unreleased(redis),
                sessions=_rows(project, "sessions", "id"),
                turns=_rows(project, "turns", "response_id"),
                usage_records=_rows(project, "usage_records", "response_id,meter"),
                outbox=_rows(project, "outbox", "id"),
            )

    @property
    def unsettled(self) -> int:
        """Leases that are held still, and sessions that are open."""
        return len(self.unreleased) + len([row for row in self.sessions if row["state"] == "open"])

    @property
    def undelivered(self) -> list[Row]:
        return [row for row in self.outbox if row["state"] != "accepted"]

    def sums(self, stripe: StripeStandin) -> dict[str, Sum]:
        """All four; they are to be equal."""
        return {
            "log": _sum(map(_log_row, self.logs.values())),
            "ledger": _sum(_unit_row(row, row["billable_units"]) for row in self.usage_records),
            "outbox": _sum(_unit_row(row, row["units"]) for row in self.outbox),
            "Stripe": _sum([_invoice(stripe)]),
        }

    def ledgers(self) -> Ledgers:
        """As the oracle wants them."""
        tokens = [row for row in self.usage_records if row["meter"] == "tokens"]
        return Ledgers(
            logs=self.logs,
            unreleased=self.unreleased,
            turns={
                row["response_id"]: (row["session_id"], row["input_tokens"] + row["output_tokens"])
                for row in self.turns
            },
            billed={row["response_id"]: row["raw_units"] for row in tokens},
            sessions={row["id"]: _on_receipt(row, tokens) for row in self.sessions},
            owed=self._owed(),
        )

    def _owed(self) -> dict[str, tuple[int, int]]:
        owed: dict[str, int] = defaultdict(int)
        costs: dict[str, int] = defaultdict(int)
        segments = {row["id"]: row["segment"] for row in self.sessions}
        for row in self.outbox:
            owed[row["session_id"]] += row["cost_micro_usd"]
        for row in self.usage_records:
            if row["segment"] < segments[row["session_id"]]:
                costs[row["session_id"]] += row["cost_micro_usd"]
        return {session_id: (owed[session_id], costs[session_id]) for session_id in segments}


def _rows(project: SupabaseProject, table: str, order: str) -> list[Row]:
    """All of a table; an answer has a thousand rows at the most."""
    rows: list[Row] = []
    while page := project.rows(table, order=order, limit=str(PAGE), offset=str(len(rows))):
        rows += page
    return rows


def _on_receipt(session: Row, tokens: list[Row]) -> int | None:
    """The tokens that were counted, those that came too late for it included."""
    if session["receipt"] is None:
        return None
    lines = session["receipt"]["lines"]
    counted: int = sum(line["units"] for line in lines if line["meter"] == "tokens")
    late: int = sum(
        row["raw_units"]
        for row in tokens
        if row["session_id"] == session["id"] and row["segment"] >= session["receipt_segments"]
    )
    return counted + late


def _log_row(log: Log) -> Sum:
    """What an answer is to be billed by the published rules; reckoned here once more, by hand."""
    started = log.entries[0]
    assert isinstance(started, Started)
    if not log.token_ids:
        return {}
    images, price = len(started.new_images), started.price
    tokens = log.tokens if images else max(log.tokens, price.minimum_tokens)
    boxes = sum(
        len(grounding.boxes)
        for entry in log.entries
        if isinstance(entry, Delta | Ended)
        for grounding in entry.grounding
    )
    cost = (
        tokens * price.token_micro_usd
        + images * price.image_micro_usd
        + boxes * price.detection_micro_usd
    )
    return {"tokens": tokens, "images": images, "detections": boxes, COST: cost}


def _unit_row(row: Row, units: int) -> Sum:
    return {row["meter"]: units, COST: row["cost_micro_usd"]}


def _invoice(stripe: StripeStandin) -> Sum:
    """The units that Stripe accepted, at the prices that it was told."""
    units = {meter: stripe.meters.accepted(event_name=name) for meter, name in EVENT_NAMES.items()}
    cost = sum(count * _price(stripe, meter) for meter, count in units.items() if count)
    return units | {COST: cost}


def _price(stripe: StripeStandin, meter: str) -> int:
    """In micro-dollars a unit, where one pays as one goes."""
    ids = {each["event_name"]: each["id"] for each in stripe.meters.meters.values()}
    (price,) = (
        each
        for each in stripe.catalog.prices.values()
        if each["recurring"]["meter"] == ids[f"kosmosx_{meter}"] and each["tiers_mode"] is None
    )
    return int(float(price["unit_amount_decimal"]) * MICRO_PER_CENT)


def _sum(rows: Iterable[Sum]) -> Sum:
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row)
    return {name: count for name, count in sorted(total.items()) if count}
