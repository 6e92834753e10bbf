"""What tokens say, in bytes: put together they are UTF-8, whatever stands beside them. Pure."""

import json
import re
from collections.abc import Callable, Collection
from typing import Any

from tokenizers import Tokenizer

# GPT-2 writes a byte as a letter: one that can be seen as itself, the others from U+0100 on
# (`bytes_to_unicode` of openai/gpt-2, src/encoder.py).
_SEEN = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_UNSEEN = (byte for byte in range(0x100) if byte not in _SEEN)
_BYTES = {chr(byte): byte for byte in _SEEN}
_BYTES |= {chr(letter): byte for letter, byte in enumerate(_UNSEEN, start=0x100)}
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def decoder_of(tokenizer: Tokenizer) -> Any:
    """What makes text of its tokens, as tokenizer.json has it; None if nothing does.

    The whole of that file takes a third of a second to write, with 130,000 tokens.
    """
    return tokenizer.decoder and json.loads(tokenizer.decoder.__getstate__())


def of_byte_level(token: str) -> bytes:
    """A token that has a letter for each byte."""
    try:
        return bytes(map(_BYTES.__getitem__, token))
    except KeyError:
        return token.encode()  # It was added as it is, without regard to bytes.


def of_byte_fallback(token: str) -> bytes:
    """A token that is text, or names a byte."""
    byte = _BYTE.fullmatch(token)
    return bytes.fromhex(byte[1]) if byte else token.encode()


class TokenBytes(dict[int, bytes]):
    """What each id says, in UTF-8 put together; kept from the first time that it is said."""

    def __init__(
        self, tokenizer: Tokenizer, bytes_of: Callable[[str], bytes], silent: Collection[str]
    ) -> None:
        """`silent`: tokens that say nothing."""
        super().__init__()
        self._token = tokenizer.id_to_token
        self._bytes_of = bytes_of
        self._silent = silent

    def __missing__(self, token_id: int) -> bytes:
        # An id without a token is a row that pads the embedding matrix.
        token = self._token(token_id) or ""
        return self.setdefault(token_id, self._bytes_of("" if token in self._silent else token))
