"""Access tokens: what signing in gives. Signed, short-lived, kept nowhere (RFC 7519)."""

from typing import Any

import jwt
import msgspec

from metering import keys
from metering.keys import ExpiredKey, InvalidKey

ALGORITHM = "HS256"
ISSUER = AUDIENCE = "kosmosx"
_PURPOSE = "kosmosx: access tokens are signed with this"
_CLAIMS = ["iss", "aud", "sub", "iat", "exp"]


class AccessToken(msgspec.Struct, frozen=True):
    """Whose it is, and until when it is good, in Unix seconds."""

    account_id: str
    expires_at: float


def is_access_token(token: str) -> bool:
    """Whether the token claims to be one: a JSON object in base64url comes first."""
    return token.startswith("eyJ")


class AccessTokens:
    """Signs tokens, and checks them. Servers with the same pepper take each other's."""

    def __init__(self, pepper: bytes, *, life_s: float) -> None:
        """`life_s`: how long a token is good."""
        self._secret = keys.mac(_PURPOSE, pepper)
        self._life_s = int(life_s)

    def sign(self, account_id: str, at: float) -> tuple[str, AccessToken]:
        """A token for the account, from now on."""
        made = AccessToken(account_id, int(at) + self._life_s)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": account_id,
            "iat": int(at),
            "exp": int(made.expires_at),
        }
        return jwt.encode(claims, self._secret, ALGORITHM), made

    def read(self, token: str) -> AccessToken:
        """Check a token's signature, claims and time.

        Raises:
            ExpiredKey: it was good until now.
            InvalidKey: it was not signed here, or not for this.
        """
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                # Named, so that the token itself has no say in how it is checked (RFC 8725, 3.1).
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": _CLAIMS},
            )
        except jwt.ExpiredSignatureError as error:
            raise ExpiredKey from error
        except jwt.InvalidTokenError as error:
            raise InvalidKey from error
        return AccessToken(claims["sub"], claims["exp"])
