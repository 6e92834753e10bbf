"""Stripe's API over HTTP, as far as it is called here, with the faults that a test asks for.

Every request and every answer is checked against Stripe's own description.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.stripe_standin import contract
from tests.stripe_standin.catalog import Catalog
from tests.stripe_standin.meters import DAY_S, Meters
from tests.stripe_standin.objects import Account, Object, Refusal

EVENTS = "/v1/billing/meter_events"
STREAM = "/v2/billing/meter_event_stream"


class Fault(Enum):
    """What happens to a meter event on its way."""

    LOST_REQUEST = "the connection breaks before Stripe has it"
    LOST_REPLY = "the connection breaks after Stripe has it"
    BROKEN = "500, and Stripe does not have it"
    BROKEN_AFTER = "500, though Stripe has it; every repetition gets the same answer"
    BUSY = "429, with Retry-After"
    UNAUTHORISED = "401"
    FORBIDDEN = "403"
    INVALID = "400"


class Broken(Response):
    """A reply that breaks off."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"100")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})


class Recorded(NamedTuple):
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    parameters: Any


class StripeStandin:
    """The account, the faults to come, and what came."""

    def __init__(self, now: Callable[[], float], *, key: str = "sk_test_1") -> None:
        self.key = key
        self.account = Account(now, live="_live_" in key)
        self.catalog = Catalog(self.account)
        self.meters = Meters(self.account, self.catalog.customers)
        self.faults: deque[Fault | None] = deque()
        """Of the meter events to come; without one, or with None, they arrive."""
        self.requests: list[Recorded] = []
        self.broken_contracts: list[str] = []
        self.gate: asyncio.Event | None = None
        """Meter events wait for it, if there is one."""
        self._answered: dict[str, tuple[float, Object, int, Any]] = {}
        self._under_way: set[tuple[str, str]] = set()

    def app(self) -> ASGIApp:
        paths = ["/v1/{rest:path}", "/v2/{rest:path}"]
        routes = [Route(path, self._endpoint, methods=["GET", "POST"]) for path in paths]
        return Starlette(routes=routes)

    def forget_answers(self) -> None:
        """As if a day had passed, for idempotency keys only."""
        self._answered.clear()

    async def _endpoint(self, request: Request) -> Response:
        body, path = await request.body(), request.url.path
        content_type = request.headers.get("content-type", "").partition(";")[0]
        try:
            asked = contract.read_request(
                request.method, path, request.url.query, content_type, body
            )
        except contract.ContractBroken as broken:
            self.broken_contracts.append(str(broken))
            return JSONResponse(_error(str(broken), 400), 400)
        self.requests.append(Recorded(request.method, path, dict(request.headers), asked))
        answered = await self._answer(request, path, asked)
        if answered is None:
            return Broken()
        status, answer, headers = answered
        try:
            contract.check_answer(request.method, path, status, answer)
        except contract.ContractBroken as broken:
            self.broken_contracts.append(str(broken))
            raise
        return JSONResponse(answer, status, headers)

    async def _answer(
        self, request: Request, path: str, asked: Object
    ) -> tuple[int, Any, dict[str, str]] | None:
        """Status, body and headers; None if the connection breaks."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        fault = self.faults.popleft() if path in {EVENTS, STREAM} and self.faults else None
        before = _REFUSALS.get(fault) if fault else None
        if fault is Fault.LOST_REQUEST:
            return None
        if before is not None:
            return before
        if path != STREAM and token != self.key:
            return 401, _error("Invalid API Key provided: sk_test_****", 401), {}
        try:
            with self._alone(path, asked):
                if self.gate is not None and path == EVENTS:
                    await self.gate.wait()
                status, answer = self._once(request, path, asked, token, fault)
        except Refusal as refusal:
            return refusal.status, {"error": refusal.error}, {}
        if fault is Fault.LOST_REPLY:
            return None
        return status, answer, {}

    @contextmanager
    def _alone(self, path: str, asked: Object) -> Iterator[None]:
        """One call at a time for each customer and meter."""
        if path != EVENTS:
            yield
            return
        mine = (asked["payload"].get("stripe_customer_id", ""), asked["event_name"])
        if mine in self._under_way:
            raise Refusal(429, "Too many concurrent calls.", code="lock_timeout")
        self._under_way.add(mine)
        try:
            yield
        finally:
            self._under_way.remove(mine)

    def _once(
        self, request: Request, path: str, asked: Object, token: str, fault: Fault | None
    ) -> tuple[int, Any]:
        """What was done under an idempotency key is answered again, as it was, for 24 hours."""
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        now = self.account.now()
        if key is None or path.startswith("/v2/"):
            return 200, self._do(request.method, path, asked, token)
        if key in self._answered:
            at, before, status, answer = self._answered[key]
            if now - at < DAY_S:
                if before != asked:
                    raise Refusal(
                        400, "Keys are for the same parameters.", type="idempotency_error"
                    )
                return status, answer
        answer, status = self._do(request.method, path, asked, token), 200
        if fault is Fault.BROKEN_AFTER:
            answer, status = _error("An unknown error occurred", 500), 500
        self._answered[key] = (now, asked, status, json.loads(json.dumps(answer)))
        return status, answer

    def _do(self, method: str, path: str, asked: Object, token: str) -> Any:
        if path == STREAM:
            return self.meters.stream(token, asked)
        if path == "/v2/billing/meter_event_session":
            return self.meters.create_session()
        if path.endswith("/event_summaries"):
            return self.meters.summaries(path.split("/")[4], asked)
        operations: dict[tuple[str, str], Callable[[Object], Object]] = {
            ("POST", EVENTS): self.meters.create_event,
            ("POST", "/v1/billing/meters"): self.meters.create_meter,
            ("GET", "/v1/billing/meters"): self.meters.list_meters,
            ("POST", "/v1/customers"): self.catalog.create_customer,
            ("POST", "/v1/products"): self.catalog.create_product,
            ("POST", "/v1/prices"): self.catalog.create_price,
            ("GET", "/v1/prices"): self.catalog.list_prices,
            ("POST", "/v1/subscriptions"): self.catalog.create_subscription,
            ("GET", "/v1/subscriptions"): self.catalog.list_subscriptions,
            ("POST", "/v1/invoiceitems"): self.catalog.create_invoice_item,
            ("GET", "/v1/invoiceitems"): self.catalog.list_invoice_items,
        }
        if (method, path) in operations:
            return operations[method, path](asked)
        shelf, _, name = path.rpartition("/")
        single: dict[str, Callable[[str], Object]] = {
            "/v1/customers": self.catalog.customer,
            "/v1/products": self.catalog.product,
            "/v2/core/events": self.meters.event,
        }
        return single[shelf](name)


def _error(message: str, status: int) -> Object:
    kind = "api_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "code": f"http_{status}"}}


_REFUSALS: dict[Fault, tuple[int, Object, dict[str, str]]] = {
    Fault.BROKEN: (500, _error("An unknown error occurred", 500), {}),
    Fault.BUSY: (429, _error("Request rate limit exceeded", 429), {"retry-after": "2"}),
    Fault.UNAUTHORISED: (401, _error("Invalid API Key provided: sk_test_****", 401), {}),
    Fault.FORBIDDEN: (403, _error("The key lacks the required permissions.", 403), {}),
    Fault.INVALID: (400, _error("Invalid payload.", 400), {}),
}
