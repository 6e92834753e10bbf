"""Text that clients keep for us: they can read it, but not change it, nor use another account's."""

import base64
import binascii
import hashlib
import hmac

_PURPOSE = b"kosmosx compaction"
_VERSION = b"\x01"
_MAC_BYTES = hashlib.sha256().digest_size


class BrokenSeal(Exception):
    """It was not sealed here, or for another account, or it was changed."""


class Seal:
    """Seals with a key of its own, derived from the server's secret."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, _PURPOSE, "sha256")

    def close(self, account_id: str, text: str) -> str:
        """The text with its seal, in URL-safe base64."""
        data = text.encode()
        mac = self._mac(account_id, data)
        return base64.urlsafe_b64encode(_VERSION + mac + data).decode()

    def open(self, account_id: str, sealed: str) -> str:
        """The text.

        Raises:
            BrokenSeal: as its docstring says.
        """
        try:
            opened = base64.b64decode(sealed.encode(), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise BrokenSeal from error
        version, mac, data = opened[:1], opened[1 : 1 + _MAC_BYTES], opened[1 + _MAC_BYTES :]
        if version != _VERSION or not hmac.compare_digest(mac, self._mac(account_id, data)):
            raise BrokenSeal
        return data.decode()

    def _mac(self, account_id: str, data: bytes) -> bytes:
        return hmac.digest(self._key, account_id.encode() + b"\0" + data, "sha256")
