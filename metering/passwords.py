"""What emails and passwords have to be, and how passwords are kept.

Guessing and checking take long, on purpose: not for an event loop.
"""

import argon2
from email_validator import EmailNotValidError, validate_email
from zxcvbn import zxcvbn

SHORTEST, LONGEST = 10, 128
"""Characters of a password; the bound keeps guessing at it short."""
LONGEST_EMAIL = 254
STRONG = 3
"""zxcvbn's score of what takes more than 10^8 guesses."""
GUESSED = 64
"""Characters that are guessed at: with so many, none of the rest makes it weak."""


class InvalidEmail(ValueError):
    """Not an email address; the message says why."""


class WeakPassword(ValueError):
    """Too easy to guess; the message says why, and what helps."""


def normalize_email(email: str) -> str:
    """The address as it is compared: one spelling for each mailbox, as nearly as can be told.

    Raises:
        InvalidEmail: it is none.
    """
    try:
        found = validate_email(email.strip(), check_deliverability=False)
    except EmailNotValidError as error:
        raise InvalidEmail(str(error)) from error
    # No server in use tells addresses apart by case (RFC 5321, 2.4, discourages it).
    return found.normalized.lower()


def check_strength(password: str, email: str) -> None:
    """See that a password is not easily guessed, least of all by who knows the email.

    Raises:
        WeakPassword: it is.
    """
    if len(password) < SHORTEST:
        raise WeakPassword(f"Expected at least {SHORTEST} characters, but got {len(password)}.")
    guessed = zxcvbn(password[:GUESSED], user_inputs=[email, *email.split("@"), "kosmosx"])
    if guessed["score"] < STRONG:
        feedback = guessed["feedback"]
        hints = [feedback["warning"], *feedback["suggestions"]]
        raise WeakPassword(" ".join(["It is easily guessed.", *filter(None, hints)]))


class PasswordHasher:
    """Argon2id with the parameters of RFC 9106's second choice: 64 MiB, three passes."""

    def __init__(self) -> None:
        self._argon2 = argon2.PasswordHasher()
        self._nobody_s = self._argon2.hash("the password of nobody")

    def hash(self, password: str) -> str:
        """What is kept of a password."""
        return self._argon2.hash(password)

    def matches(self, password: str, kept: str | None) -> bool:
        """Whether this is the password; for nobody's (None) finding out takes as long."""
        try:
            self._argon2.verify(kept or self._nobody_s, password)
        except argon2.exceptions.VerifyMismatchError:
            return False
        return kept is not None

    def outdated(self, kept: str) -> bool:
        """Whether it should be hashed anew: the parameters are others by now."""
        return self._argon2.check_needs_rehash(kept)
