"""What the transports need of the server, put together in `app`."""

import contextlib
from typing import Literal

import msgspec

from conversation import ports
from conversation.entries import Started
from conversation.ports import History, Lease, Reservation
from kosmosx_stream.access.attempts import Attempts
from kosmosx_stream.access.client_secrets import ClientSecrets
from kosmosx_stream.access.grant import Granted
from kosmosx_stream.account_deletion import AccountDeletion
from kosmosx_stream.admission.admission import Admission
from kosmosx_stream.admission.sealing import Seal
from kosmosx_stream.admission.unstored import UnstoredTurns
from kosmosx_stream.billing import Billing
from kosmosx_stream.conversation_watch import ConversationWatch
from kosmosx_stream.engines.port import Engine
from kosmosx_stream.formats.chat_format import ChatFormat
from kosmosx_stream.ids import new_id
from kosmosx_stream.key_watch import KeyWatch
from kosmosx_stream.limits.connections import Connections
from kosmosx_stream.limits.plans import Plans
from kosmosx_stream.limits.spending import Cheaper
from kosmosx_stream.protocol.errors import (
    ApiError,
    Unavailable,
    model_not_found,
    response_not_found,
)
from kosmosx_stream.protocol.models import ModelObject, capabilities, prices
from kosmosx_stream.protocol.rate_limits import RateLimit
from kosmosx_stream.protocol.requests import CreateResponse
from kosmosx_stream.redis_watch import RedisWatch
from kosmosx_stream.settings import Settings
from kosmosx_stream.telemetry import names
from kosmosx_stream.telemetry.telemetry import Telemetry
from kosmosx_stream.turns.hub import Hub
from kosmosx_stream.turns.reservations import Reservations
from kosmosx_stream.turns.response_log import ResponseLog
from metering.access_tokens import AccessTokens
from metering.authenticator import Authenticator, Principal
from metering.identities import Identities
from metering.issuing import Issuer
from metering.prices import PriceBook
from metering.signing import ReceiptSigner
from metering.store import Store

Readiness = Literal["ready", "draining", "log_unavailable", "loading"]
"""`loading`: the engine is being loaded, or does not answer."""


class Said(msgspec.Struct, frozen=True):
    """A response that has begun, now or before, and the session that it belongs to."""

    response_id: str
    session_id: str
    limits: tuple[RateLimit, ...] = ()
    """What the key may still take; nothing for one that was said before."""


class ServedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is loaded, and its gate."""

    engine: Engine
    chat_format: ChatFormat
    admission: Admission


class Services(msgspec.Struct, kw_only=True):
    """The running parts."""

    settings: Settings
    telemetry: Telemetry
    authenticator: Authenticator
    issuer: Issuer
    identities: Identities
    access_tokens: AccessTokens
    attempts: Attempts
    key_watch: KeyWatch
    conversation_watch: ConversationWatch
    account_deletion: AccountDeletion
    client_secrets: ClientSecrets
    store: Store
    history: History
    responses: ResponseLog
    redis_watch: RedisWatch
    reservations: Reservations
    hub: Hub
    billing: Billing | None
    """The way to Stripe; None without a key for it."""
    price_book: PriceBook
    plans: Plans
    sockets: Connections
    requests: Connections
    seal: Seal
    signer: ReceiptSigner
    served: dict[str, ServedModel] = {}
    """The model, and then the cheaper one if there is one, by their names."""

    async def readiness(self) -> Readiness:
        """Whether a turn that is said now would be answered; if not, why."""
        if self.hub.draining:
            return "draining"
        if not self.redis_watch.well:
            return "log_unavailable"
        return "ready" if await self.engine_ready() else "loading"

    async def ready(self) -> bool:
        """Whether a turn that is said now would be answered."""
        return await self.readiness() == "ready"

    async def engine_ready(self) -> bool:
        """Whether the model is loaded, and its engine answers."""
        served = self.served.get(self.settings.model_name)
        return served is not None and await served.engine.ready()

    def gate(self, model: str | None = None) -> Admission:
        """The gate for new turns to a model; for what concerns no model, the first one's.

        Raises:
            Unavailable: the model is still being loaded, the server is going down, or the store may
                lose what is said.
            NotFound: there is no such model.
        """
        if not self.served or self.hub.draining:
            raise Unavailable("The server takes no turns at the moment.", code="server_unavailable")
        self.redis_watch.check()
        name = self.settings.model_name if model is None else model
        if name not in self.served:
            raise model_not_found(name, list(self.served))
        return self.served[name].admission

    def cheaper(
        self, principal: Principal, request: CreateResponse, unstored: UnstoredTurns
    ) -> Cheaper | None:
        """What admits this request for the cheaper model; None where there is none."""
        fallback = self.settings.fallback
        if fallback is None:
            return None

        async def admit(started: Started) -> Started:
            return await self.gate(fallback.model_name).admit(
                principal,
                msgspec.structs.replace(request, model=fallback.model_name),
                started.session_id,
                unstored=unstored,
                response_id=started.response_id,
                opens_session=started.opens_session,
                single_turn=started.single_turn,
            )

        return admit

    async def say_once(
        self,
        principal: Principal,
        request: CreateResponse,
        session_id: str | None,
        reservation: Reservation | None,
    ) -> Said:
        """`say_alone`; or, with a reservation, find what was said to it before.

        Raises:
            ApiError: it was refused; nothing was generated or billed.
        """
        async with self.reservations.held(reservation) as taken:
            if isinstance(taken, str):
                return Said(taken, await self.responses.session_id(taken))
            return await self.say_alone(principal, request, session_id, taken)

    async def say_alone(
        self,
        principal: Principal,
        request: CreateResponse,
        session_id: str | None,
        reserved: Lease | None = None,
    ) -> Said:
        """Begin a turn that comes by itself: in the session it names, or in one of its own.

        Raises:
            ApiError: it was refused; nothing was generated or billed.
        """
        if isinstance(principal, Granted):
            session_id = principal.grant.session(session_id)
        session = (
            await self.hub.sessions.join(session_id, principal) if session_id is not None else None
        )
        unstored = session.unstored if session else UnstoredTurns()
        with self.telemetry.traces.span(names.SPAN_ADMISSION):
            started = await self.gate(request.model).admit(
                principal,
                request,
                session.id if session else new_id("sess"),
                unstored=unstored,
                response_id=reserved.response_id if reserved else None,
                single_turn=session is None,
            )
            limits = await self.plans.take(principal, started)
        if session is None:
            await self.plans.check_sessions(principal.account_id)
            session = await self.hub.sessions.open(started.session_id, principal, single_turn=True)
        try:
            cheaper = self.cheaper(principal, request, unstored)
            await self.hub.say(session, started, reserved, cheaper)
            return Said(started.response_id, session.id, limits)
        except ApiError:
            if session.single_turn:
                await self.hub.sessions.close(session.id, principal)
            raise

    async def cancel(self, principal: Principal, response_id: str) -> bool:
        """Stop a response of this account, wherever it is live, and wait until it is settled.

        Returns False for one that had ended already.

        Raises:
            NotFound: there is none, or it is another account's.
            Unavailable: it is live elsewhere, and the log cannot be written.
        """
        await self._check_reach(principal, response_id)
        found = self.hub.live(response_id)
        if found is None or found[0].principal.account_id != principal.account_id:
            return await self.hub.ending.cancel(principal.account_id, response_id)
        self.hub.cancel(found[0], response_id)
        await self.hub.until_ended(response_id)
        return True

    async def delete(self, principal: Principal, response_id: str) -> None:
        """Take a response out of the history and the log; the bill stays.

        Raises:
            NotFound: there is none, or it is another account's.
        """
        await self.responses.stored(principal.account_id, response_id)
        await self.cancel(principal, response_id)
        with contextlib.suppress(ports.NotFound):  # A failed turn is in the log only.
            await self.history.delete_turn(principal.account_id, response_id)
        await self.responses.delete(response_id)

    async def require(self, principal: Principal, response_id: str) -> None:
        """Check that the account may read this response, stored or live.

        Raises:
            NotFound: there is none, or it is another account's.
        """
        await self._check_reach(principal, response_id)
        found = self.hub.live(response_id)
        if found is None or found[0].principal.account_id != principal.account_id:
            await self.responses.stored(principal.account_id, response_id)

    async def _check_reach(self, principal: Principal, response_id: str) -> None:
        """A client secret reaches the responses of its own session, and no others."""
        if not isinstance(principal, Granted):
            return
        if await self.responses.session_id(response_id) != principal.grant.session_id:
            raise response_not_found(response_id)

    def model_objects(self) -> tuple[ModelObject, ...]:
        """The served models as `GET /v1/models` shows them, the cheaper one last."""
        models = [self._model_object(self.settings, self.price_book)]
        cheaper, book = self.settings.fallback, self.price_book.of_fallback()
        if cheaper is not None and book is not None:
            models.append(self._model_object(cheaper, book))
        return tuple(models)

    def _model_object(self, settings: Settings, book: PriceBook) -> ModelObject:
        served = self.served.get(settings.model_name)
        return ModelObject(
            id=settings.model_name,
            created=int(settings.model.stat().st_mtime),
            context_window=served.engine.max_model_len if served else None,
            capabilities=None
            if served is None
            else capabilities(
                sees=served.chat_format.sees,
                grounds=served.chat_format.grounds,
                fetches=settings.image_urls,
            ),
            prices=prices(book),
        )
