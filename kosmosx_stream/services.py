"""What the transports need of the server, put together in `app`."""

import contextlib

import msgspec

from conversation import ports
from conversation.ports import History, Lease, Reservation
from kosmosx_stream.access.attempts import Attempts
from kosmosx_stream.access.client_secrets import ClientSecrets
from kosmosx_stream.access.grant import Granted
from kosmosx_stream.account_deletion import AccountDeletion
from kosmosx_stream.admission.admission import Admission
from kosmosx_stream.admission.sealing import Seal
from kosmosx_stream.admission.unstored import UnstoredTurns
from kosmosx_stream.billing import Billing
from kosmosx_stream.engines.port import Engine
from kosmosx_stream.formats.chat_format import ChatFormat
from kosmosx_stream.ids import new_id
from kosmosx_stream.key_watch import KeyWatch
from kosmosx_stream.limits.connections import Connections
from kosmosx_stream.limits.plans import Plans
from kosmosx_stream.protocol.errors import ApiError, Unavailable, response_not_found
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


class Said(msgspec.Struct, frozen=True):
    """A response that has begun, now or before, and the session that it belongs to."""

    response_id: str
    session_id: str
    limits: tuple[RateLimit, ...] = ()
    """What the key may still take; nothing for one that was said before."""


class Services(msgspec.Struct, kw_only=True):
    """The running parts. Those that may be None are there once the model is loaded."""

    settings: Settings
    telemetry: Telemetry
    authenticator: Authenticator
    issuer: Issuer
    identities: Identities
    access_tokens: AccessTokens
    attempts: Attempts
    key_watch: KeyWatch
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
    model_created_at: int
    """When the checkpoint was written, in Unix seconds."""
    engine: Engine | None = None
    chat_format: ChatFormat | None = None
    admission: Admission | None = None

    async def ready(self) -> bool:
        """Whether a turn that is said now would be answered."""
        if self.engine is None or self.hub.draining or not self.redis_watch.well:
            return False
        return await self.engine.ready()

    def gate(self) -> Admission:
        """The gate for new turns.

        Raises:
            Unavailable: the model is still being loaded, the server is going down, or the store may
                lose what is said.
        """
        if self.admission is None or self.hub.draining:
            raise Unavailable("The server takes no turns at the moment.", code="server_unavailable")
        self.redis_watch.check()
        return self.admission

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
        if reservation is None:
            return await self.say_alone(principal, request, session_id)
        taken = await self.reservations.take(reservation)
        if isinstance(taken, str):
            return Said(taken, await self.responses.session_id(taken))
        try:
            return await self.say_alone(principal, request, session_id, taken)
        except BaseException:
            await self.reservations.free(reservation, taken)
            raise

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
        with self.telemetry.traces.span(names.SPAN_ADMISSION):
            started = await self.gate().admit(
                principal,
                request,
                session.id if session else new_id("sess"),
                unstored=session.unstored if session else UnstoredTurns(),
                response_id=reserved.response_id if reserved else None,
                single_turn=session is None,
            )
            limits = await self.plans.take(principal, started)
        if session is None:
            await self.plans.check_sessions(principal.account_id)
            session = await self.hub.sessions.open(started.session_id, principal, single_turn=True)
        try:
            await self.hub.say(session, started, reserved)
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

    def model_object(self) -> ModelObject:
        """The served model as `GET /v1/models` shows it."""
        words, fetches = self.chat_format, self.settings.image_urls
        return ModelObject(
            id=self.settings.model_name,
            created=self.model_created_at,
            context_window=self.engine.max_model_len if self.engine else None,
            capabilities=None
            if words is None
            else capabilities(sees=words.sees, grounds=words.grounds, fetches=fetches),
            prices=prices(self.price_book),
        )
