"""Which tokens may come next in an answer that is held to a grammar: for engines of our own.

vLLM has its own way of asking the same library.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLTokenizer

from kosmosx_stream.engines.checkpoint import Checkpoint
from kosmosx_stream.engines.guide_tokens import readable
from kosmosx_stream.engines.port import EngineRefused, Generate

Mask = npt.NDArray[np.bool_]


class Guide:
    """Follows one answer through its grammar."""

    def __init__(self, tokenizer: LLTokenizer, grammar: str, answered: Sequence[int]) -> None:
        """`answered`: what the answer consists of so far.

        Raises:
            EngineRefused: it cannot be followed.
        """
        self._matcher = LLMatcher(tokenizer, grammar, log_level=0)
        self._vocab_size = tokenizer.vocab_size
        self._ends = frozenset(tokenizer.eos_tokens)
        self.accept(*answered)

    def allowed(self) -> Mask:
        """Of the ids in the vocabulary, those that may come next; the end token among them."""
        words = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        return np.unpackbits(words, bitorder="little")[: self._vocab_size].astype(np.bool_)

    def accept(self, *token_ids: int) -> None:
        """Go on by these tokens; an end token is the last.

        Raises:
            EngineRefused: the grammar does not have them here, or grew too large.
        """
        self._matcher.consume_tokens([each for each in token_ids if each not in self._ends])
        if self._matcher.is_error():
            raise EngineRefused(f"the grammar: {self._matcher.get_error().splitlines()[0]}")


class Guides:
    """Makes guides for a checkpoint's tokens."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    @cached_property
    def _tokenizer(self) -> LLTokenizer:
        """Read when the first grammar comes: a model whose tokens it cannot read needs none."""
        checkpoint = self._checkpoint
        text = (checkpoint.folder / "tokenizer.json").read_text()
        try:
            return LLTokenizer(readable(text), checkpoint.vocab_size, list(checkpoint.ends))
        except ValueError as error:
            raise EngineRefused(
                f"this model's tokenizer takes no grammar, so tools and formats: {error}"
            ) from error

    def guide(self, request: Generate) -> Guide | None:
        """A guide where the request's answer is held to a grammar.

        Raises:
            EngineRefused: the grammar is faulty, the answer so far breaks it, or the model's
                tokens cannot be held to any.
        """
        if request.grammar is None:
            return None
        start = len(request.prompt_ids) - request.answered
        return Guide(self._tokenizer, request.grammar, request.prompt_ids[start:])
