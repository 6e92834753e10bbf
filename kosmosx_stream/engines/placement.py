"""Which of several engine servers reads a prompt: the one that has its beginning in the cache.

Rendezvous hashing: a prompt's beginning ranks the servers, and the first one that is not full
takes it. So the turns of a conversation meet on one server, whichever gateway they come through;
a server that is lost or added moves only the conversations that were or will be its own. Pure.
"""

import math
from array import array
from collections.abc import Mapping
from hashlib import blake2b

from kosmosx_stream.engines.port import Generate

BEGINNING = 256
"""Tokens that tell one conversation from another. While a prompt is shorter, its turns may move
between servers; reading so little again costs little."""
SLACK = 1.25
"""A server may have so many times its share of the live turns: a beginning that all conversations
have in common must not bring them all to one server."""
FREE = 8
"""So many live turns are never too many."""


def beginning(request: Generate) -> bytes:
    """What the turns of one conversation have in common, and other conversations mostly not.

    An image costs the most to send and to read, so the first one decides where there is one.
    """
    if request.images:
        said = request.images[0].image_id.encode()
    else:
        said = array("q", request.prompt_ids[:BEGINNING]).tobytes()
    return request.cache_salt.encode() + b"\0" + said


def place(beginning: bytes, live: Mapping[str, int]) -> str:
    """One of the servers, by name. `live` are the turns that each has at the moment; not empty."""
    share = (sum(live.values()) + 1) / len(live)
    limit = max(FREE, math.ceil(SLACK * share))
    ranked = sorted(live, key=lambda name: _score(beginning, name), reverse=True)
    return next(name for name in ranked if live[name] < limit)


def _score(beginning: bytes, name: str) -> bytes:
    return blake2b(beginning, key=blake2b(name.encode()).digest(), digest_size=8).digest()
