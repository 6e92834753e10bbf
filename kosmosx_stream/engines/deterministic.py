"""An engine without a model, for tests of everything that is built on one.

The next token is a function of all tokens before it, and of the seed where chance is asked for. So
a continued answer must be the undisturbed one, and any lost, doubled or mixed-up token changes all
that follow. It starts at once and says words of the checkpoint's tokenizer, at any pace; where an
answer is held to a grammar it says what it allows, and closes what it has opened before long.
"""

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Self

import numpy as np
from tokenizers import Tokenizer

from conversation.entries import Sampling
from kosmosx_stream.engines.checkpoint import Checkpoint, decode
from kosmosx_stream.engines.guide import Guide, Guides, Mask
from kosmosx_stream.engines.port import (
    Deliver,
    Delta,
    EngineDead,
    Generate,
    deliver_all,
)
from kosmosx_stream.settings import Settings

# Knuth, The Art of Computer Programming 3.3.4: a multiplier for 64-bit linear congruences.
_MULTIPLIER, _MASK = 6364136223846793005, (1 << 64) - 1
_GREEDY_TOP_P = 0.01
_WORD = re.compile("[▁Ġ][A-Za-z]+")  # as SentencePiece and byte-level BPE write a blank
_CLOSING = ('"', "}", "]")
_CLOSE_ONE_IN = 4


class DeterministicEngine:
    """The `Engine` port without a model."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        words: Sequence[int],
        closing: Sequence[int],
        *,
        length: int,
        rate: float,
    ) -> None:
        """`words` are the ids to say, `length` the mean number of them, `rate` tokens a second.

        `closing` are the ids that close what was opened in JSON.
        """
        self._checkpoint = checkpoint
        self._words = words
        self._length = length
        self._guides = Guides(checkpoint)
        self._closing = closing
        self._pause_s = 1 / rate if rate else 0.0
        self._closed = False
        self.image_tokens = checkpoint.image_tokens
        self.max_model_len = checkpoint.max_model_len

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, settings: Settings) -> AsyncIterator[Self]:
        """Take the checkpoint's tokenizer; on leaving, live answers fail at their next token."""
        checkpoint = Checkpoint.read(settings.model, settings.max_model_len)
        tokenizer = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
        vocabulary = tokenizer.get_vocab(with_added_tokens=False)
        words = sorted(number for piece, number in vocabulary.items() if _WORD.fullmatch(piece))
        engine = cls(
            checkpoint,
            words,
            [vocabulary[sign] for sign in _CLOSING if sign in vocabulary],
            length=settings.deterministic_length,
            rate=settings.deterministic_rate,
        )
        try:
            yield engine
        finally:
            engine._closed = True

    def count(self, prompt_ids: tuple[int, ...], images: int) -> int:
        """Tokens of the expanded prompt."""
        return self._checkpoint.count(prompt_ids, images)

    async def ready(self) -> bool:
        """Until it is closed."""
        return not self._closed

    async def generate(self, request: Generate, deliver: Deliver) -> None:
        """Generate an answer, a token a delta; see the port."""
        await deliver_all(self._answer(request), deliver)

    async def _answer(self, request: Generate) -> AsyncGenerator[Delta, None]:
        self._checkpoint.check(request)
        for image in request.images:
            decode(image)
        state = _seed(request.sampling)
        for image in request.images:
            state = _fold(state, int(image.image_id, 16) & _MASK)
        for token in request.prompt_ids:
            state = _fold(state, token)
        guide = self._guides.guide(request)
        for left in reversed(range(self._checkpoint.budget(request))):
            await asyncio.sleep(self._pause_s)
            if self._closed:
                raise EngineDead("the engine was closed")
            token = self._next(state, guide)
            state = _fold(state, token)
            reason = self._checkpoint.finish_reason(token, left)
            yield Delta((token,), reason)
            if reason is not None:
                return

    def _next(self, state: int, guide: Guide | None) -> int:
        draw = state >> 16  # the low bits of a congruence are poor
        if draw % self._length == 0:
            token = self._checkpoint.ends[0]
        else:
            token = self._words[draw // self._length % len(self._words)]
        if guide is None:
            return token
        token = self._guided(token, draw, guide.allowed())
        guide.accept(token)
        return token

    def _guided(self, token: int, draw: int, allowed: Mask) -> int:
        """The token if it is allowed, or else some other."""
        if draw % _CLOSE_ONE_IN == 0 and not allowed[self._checkpoint.ends[0]]:
            for closing in self._closing:
                if allowed[closing]:
                    return closing
        if allowed[token]:
            return token
        others = np.flatnonzero(allowed)
        return int(others[draw % len(others)])


def _seed(sampling: Sampling) -> int:
    """0 where the likeliest token is asked for."""
    if not sampling.temperature or sampling.top_p < _GREEDY_TOP_P:
        return 0
    return secrets.randbits(64) if sampling.seed is None else 1 + sampling.seed


def _fold(state: int, token: int) -> int:
    """The state after one more token: a 64-bit hash of all tokens so far, in order."""
    mixed = (state ^ (state >> 29)) * _MULTIPLIER + 2 * token + 1
    return mixed & _MASK
