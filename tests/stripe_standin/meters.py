"""Meters and their events, by Stripe's rules.

An identifier counts once in 24 hours, timestamps lie within the past 35 days and the next 5
minutes, summaries come late, and what is wrong with an event that was taken is told afterwards, by
a thin event.
"""

import threading
from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from tests.stripe_standin.objects import Account, Object, Refusal, missing, page, rfc3339

DAY_S = 86400
HOUR_S = 3600
AHEAD_S = 300
PAST_S = 35 * DAY_S
SESSION_S = 900


class Event(NamedTuple):
    """A meter event that was taken."""

    identifier: str
    event_name: str
    customer: str
    value: int
    timestamp: int
    received_at: float


class Meters:
    """The meters of an account, and what they count for its customers."""

    def __init__(self, account: Account, customers: Collection[str]) -> None:
        self._account = account
        self._customers = customers
        self.summary_delay_s = 0.0
        self.meters: dict[str, Object] = {}
        self.events: list[Event] = []
        self.reports: list[Object] = []
        """Thin events about meter events that were taken and turned out wrong."""
        self._arrived = threading.Condition()
        self._sessions: dict[str, float] = {}
        self._seen: dict[str, float] = {}

    def wait_for(self, units: int, timeout_s: float = 60) -> bool:
        """Wait until so many units will be billed, from another thread than the server's."""
        with self._arrived:
            return self._arrived.wait_for(lambda: self.accepted() >= units, timeout_s)

    def accepted(self, customer: str | None = None, event_name: str | None = None) -> int:
        """Units that will be billed."""
        return sum(
            event.value
            for event in self.events
            if self._counts(event)
            and customer in {None, event.customer}
            and event_name in {None, event.event_name}
        )

    def create_meter(self, asked: Object) -> Object:
        name = asked["event_name"]
        if any(meter["event_name"] == name for meter in self.meters.values()):
            raise Refusal(400, f"There is already an active meter with the event name {name}.")
        return self._account.keep(
            self.meters,
            "mtr",
            "billing.meter",
            {
                "customer_mapping": asked["customer_mapping"],
                "default_aggregation": asked["default_aggregation"],
                "display_name": asked["display_name"],
                "event_name": name,
                "event_time_window": None,
                "status": "active",
                "status_transitions": {"deactivated_at": None},
                "updated": int(self._account.now()),
                "value_settings": asked["value_settings"],
            },
        )

    def list_meters(self, asked: Object) -> Object:
        return page(self.meters.values(), asked, "/v1/billing/meters")

    def create_event(self, asked: Object) -> Object:
        if self._meter(asked["event_name"]) is None:
            raise Refusal(400, f"No active meter found for event name {asked['event_name']}.")
        timestamp = asked.get("timestamp", int(self._account.now()))
        self._check_time(timestamp)
        if self._is_again(asked["identifier"]):
            raise Refusal(400, f"An event already exists with identifier {asked['identifier']}.")
        self._take(asked, timestamp)
        return {
            "object": "billing.meter_event",
            "created": int(self._account.now()),
            "event_name": asked["event_name"],
            "identifier": asked["identifier"],
            "livemode": self._account.live,
            "payload": asked["payload"],
            "timestamp": timestamp,
        }

    def create_session(self) -> Object:
        number = next(self._account.numbers)
        token = f"token_{number}"
        self._sessions[token] = self._account.now() + SESSION_S
        return {
            "id": f"mes_{number}",
            "object": "v2.billing.meter_event_session",
            "authentication_token": token,
            "created": rfc3339(self._account.now()),
            "expires_at": rfc3339(self._account.now() + SESSION_S),
            "livemode": self._account.live,
        }

    def stream(self, token: str, asked: Object) -> Object:
        """Events in one go; whatever is wrong with one of them is told afterwards."""
        if self._sessions.get(token, 0.0) <= self._account.now():
            raise Refusal(
                400,
                "The session has expired.",
                type="temporary_session_expired",
                code="billing_meter_event_session_expired",
                doc_url="https://docs.stripe.com/error-codes",
            )
        if len(asked["events"]) > 100:
            raise Refusal(400, "At most 100 events.")
        for event in asked["events"]:
            timestamp = int(datetime.fromisoformat(event["timestamp"]).timestamp())
            try:
                self._check_time(timestamp)
            except Refusal as refusal:
                self._report(event["event_name"], str(refusal), event["identifier"])
            else:
                if not self._is_again(event["identifier"]):
                    self._take(event, timestamp)
        return {}

    def summaries(self, meter_id: str, asked: Object) -> Object:
        if meter_id not in self.meters:
            raise missing("billing.meter", meter_id)
        if asked["start_time"] % HOUR_S or asked["end_time"] % HOUR_S:
            raise Refusal(400, "Must be aligned with hour boundaries.", param="start_time")
        name = self.meters[meter_id]["event_name"]
        sums: dict[int, int] = {}
        for event in self.events:
            hour = event.timestamp // HOUR_S * HOUR_S
            visible = event.received_at + self.summary_delay_s <= self._account.now()
            if (
                visible
                and self._counts(event)
                and (event.customer, event.event_name) == (asked["customer"], name)
                and asked["start_time"] <= hour < asked["end_time"]
            ):
                sums[hour] = sums.get(hour, 0) + event.value
        listed = [
            {
                "id": f"mtrusg_{meter_id}_{hour}",
                "object": "billing.meter_event_summary",
                "aggregated_value": sums[hour],
                "end_time": hour + HOUR_S,
                "livemode": self._account.live,
                "meter": meter_id,
                "start_time": hour,
            }
            for hour in sorted(sums, reverse=True)
        ]
        return page(listed, asked, f"/v1/billing/meters/{meter_id}/event_summaries")

    def _take(self, asked: Object, timestamp: int) -> None:
        customer = asked["payload"].get("stripe_customer_id", "")
        value = int(asked["payload"]["value"])
        taken = Event(
            asked["identifier"],
            asked["event_name"],
            customer,
            value,
            timestamp,
            self._account.now(),
        )
        self._seen[taken.identifier] = self._account.now()
        with self._arrived:
            self.events.append(taken)
            self._arrived.notify_all()
        if not self._counts(taken):
            self._report(taken.event_name, "Customer not found.", taken.identifier)

    def _counts(self, event: Event) -> bool:
        return event.customer in self._customers and self._meter(event.event_name) is not None

    def _is_again(self, identifier: str) -> bool:
        seen = self._seen.get(identifier)
        return seen is not None and self._account.now() - seen < DAY_S

    def _check_time(self, timestamp: int) -> None:
        if timestamp < self._account.now() - PAST_S:
            raise Refusal(400, "The timestamp is more than 35 days ago.", param="timestamp")
        if timestamp > self._account.now() + AHEAD_S:
            raise Refusal(400, "The timestamp is more than 5 minutes ahead.", param="timestamp")

    def _meter(self, event_name: str) -> Object | None:
        found = (meter for meter in self.meters.values() if meter["event_name"] == event_name)
        return next(found, None)

    def _report(self, event_name: str, reason: str, identifier: str) -> None:
        meter = self._meter(event_name)
        kind = "no_meter_found" if meter is None else "error_report_triggered"
        sample = {
            "error_message": reason,
            "request": {"id": "", "idempotency_key": identifier, "identifier": identifier},
        }
        report = {
            "id": f"evt_{next(self._account.numbers)}",
            "object": "v2.core.event",
            "type": f"v1.billing.meter.{kind}",
            "created": rfc3339(self._account.now()),
            "livemode": self._account.live,
            "data": {
                "developer_message_summary": "There is 1 invalid event",
                "reason": {
                    "error_count": 1,
                    "error_types": [
                        {"code": "invalid", "error_count": 1, "sample_errors": [sample]}
                    ],
                },
            },
        }
        if meter is not None:
            report["related_object"] = {
                "id": meter["id"],
                "type": "billing.meter",
                "url": f"/v1/billing/meters/{meter['id']}",
            }
        self.reports.append(report)

    def event(self, event_id: str) -> Object:
        """A thin event with its data."""
        for report in self.reports:
            if report["id"] == event_id:
                return report
        raise missing("event", event_id)
