"""What a client secret allows: turns in one session, within the limits it was minted with. Pure."""

from collections.abc import Sequence

import msgspec

from conversation.items import Turn
from kosmosx_stream.protocol.errors import PermissionDenied
from kosmosx_stream.protocol.requests import CreateResponse
from metering.authenticator import Principal


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Made with the key `key_id`, or without one. `expires_at` is in Unix seconds.

    `conversation_id` is the one conversation that may be named, `max_output_tokens` the most that
    a response may ask for.
    """

    account_id: str
    key_id: str | None
    session_id: str
    origin: str
    expires_at: float
    conversation_id: str | None = None
    max_output_tokens: int | None = None

    def limit(self, request: CreateResponse) -> CreateResponse:
        """The request as far as it is allowed.

        Raises:
            PermissionDenied: it names another conversation.
        """
        if request.conversation not in {None, self.conversation_id}:
            raise PermissionDenied(
                "This client secret is not good for that conversation.",
                code="conversation_not_allowed",
                param="conversation",
            )
        if self.max_output_tokens is None:
            return request
        wanted = request.max_output_tokens or self.max_output_tokens
        most = min(wanted, self.max_output_tokens)
        return msgspec.structs.replace(request, max_output_tokens=most)

    def session(self, named: str | None) -> str:
        """The session to join, whether the request names it or not.

        Raises:
            PermissionDenied: it names another one.
        """
        if named not in {None, self.session_id}:
            raise PermissionDenied(
                "This client secret is not good for that session.",
                code="session_not_allowed",
                param="session",
            )
        return self.session_id

    def continues(self, turns: Sequence[Turn]) -> bool:
        """Whether the last of the turns was said in the session."""
        return bool(turns) and turns[-1].session_id == self.session_id


class Granted(Principal, frozen=True, kw_only=True):
    """Who calls with a client secret: the account of its key, with less rights."""

    grant: Grant


def holder(principal: Principal) -> str:
    """Whose rate limits hold: a page's secret takes from those of the key that minted it."""
    if isinstance(principal, Granted):
        return principal.grant.key_id or principal.account_id
    return principal.key_id or principal.account_id
