"""Signing in gives a token that nobody else can make, and that is good for a while."""

import base64
import json
import time
from typing import Any

import jwt
import pytest

from metering.access_tokens import AccessTokens, is_access_token
from metering.keys import ExpiredKey, InvalidKey

PEPPER = b"p" * 32
TOKENS = AccessTokens(PEPPER, life_s=60)
CLAIMS = {"iss": "kosmosx", "aud": "kosmosx", "sub": "acct_1", "iat": 1, "exp": 2**32}


def sign(secret: bytes = TOKENS._secret, algorithm: str = "HS256", **changes: Any) -> str:
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    return jwt.encode(claims, secret, algorithm)


def test_a_token_names_its_account() -> None:
    token, made = TOKENS.sign("acct_1", at := time.time())
    assert is_access_token(token)
    assert TOKENS.read(token) == made
    assert made.account_id == "acct_1"
    assert 59 < made.expires_at - at <= 60
    assert AccessTokens(PEPPER, life_s=1).read(token) == made
    assert TOKENS.read(sign()).account_id == "acct_1"


def test_a_token_expires() -> None:
    token, _ = TOKENS.sign("acct_1", time.time() - 61)
    with pytest.raises(ExpiredKey):
        TOKENS.read(token)


def part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def forged() -> dict[str, str]:
    good = sign()
    header, claims, signature = good.split(".")
    other = part(CLAIMS | {"sub": "acct_2"})
    return {
        "another secret": sign(b"q" * 32),
        "the pepper itself": sign(PEPPER),
        "another account": f"{header}.{other}.{signature}",
        "no signature": f"{header}.{claims}.",
        "no algorithm": f"{part({'alg': 'none', 'typ': 'JWT'})}.{claims}.",
        "no algorithm, in another spelling": f"{part({'alg': 'nOnE'})}.{claims}.",
        "another algorithm": sign(algorithm="HS512", secret=TOKENS._secret * 2),
        "a key in its header": f"{part({'alg': 'HS256', 'jwk': {}})}.{claims}.{signature}",
        "another audience": sign(aud="elsewhere"),
        "no audience": sign(aud=None),
        "another issuer": sign(iss="elsewhere"),
        "no issuer": sign(iss=None),
        "no expiry": sign(exp=None),
        "no account": sign(sub=None),
        "a number for an account": sign(sub=1),
        "not yet": sign(iat=2**32),
        "two parts": f"{header}.{claims}",
        "nothing": "eyJ",
        "not base64": "eyJ\xff.x.y",
    }


@pytest.mark.parametrize("token", forged().values(), ids=forged())
def test_a_forged_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidKey) as refusal:
        TOKENS.read(token)
    assert type(refusal.value) is InvalidKey
