"""Text to token ids that are never control tokens, whatever the text spells.

What users write is encoded here, by every chat format; control tokens are put in by id.
"""

import hashlib
import json
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from typing import Any

from tokenizers import Tokenizer


class ControlTokenError(Exception):
    """A control token came out of plain text. Never a user's fault: the guard below it failed."""


class PlainText:
    """Encodes text on its own: nothing is added around it, no control token is found in it."""

    def __init__(self, tokenizer: Tokenizer, controls: Collection[int]) -> None:
        """`controls` are the ids that no text may become."""
        self.controls = frozenset(controls)
        self._tokenizer = tokenizer

    def encode(self, text: str) -> tuple[int, ...]:
        """The text's ids.

        Raises:
            ControlTokenError: rather than a control token.
        """
        # JSON can carry half a surrogate pair, which no UTF-8 can.
        sound = text.encode("utf-8", "replace").decode("utf-8")
        ids = tuple(self._tokenizer.encode(sound, add_special_tokens=False).ids)
        if not self.controls.isdisjoint(ids):
            raise ControlTokenError("text was tokenised to a control token")
        return ids


def name_of(tokenizer: Tokenizer) -> str:
    """A name that this tokenizer shares with none that gives other ids."""
    return hashlib.sha256(tokenizer.to_str().encode()).hexdigest()[:16]


def plain_text_tokenizer(tokenizer: Tokenizer, kept: Collection[str] = ()) -> Tokenizer:
    """The same tokenizer without control tokens: their spellings are ordinary text to it.

    `Tokenizer.encode_special_tokens` is not enough. It spares only added tokens marked special,
    which Kosmos-2's tags are not, and a model that lists `</s>` among its pieces may find it there
    still. `kept` spells the added tokens that are text.
    """
    spec: dict[str, Any] = json.loads(tokenizer.to_str())
    added = {token["content"]: token for token in spec["added_tokens"]}
    model = spec["model"]
    _hide(model, added.keys() - set(kept))
    spec["added_tokens"] = []
    if isinstance(model["vocab"], dict):
        # Listed among the pieces, they keep their ids.
        spec["added_tokens"] = [added[each] for each in kept]
        model["vocab"] |= {each: added[each]["id"] for each in kept}
    # Templates, truncation and padding would put control tokens around the text.
    spec["post_processor"] = spec["truncation"] = spec["padding"] = None
    return Tokenizer.from_str(json.dumps(spec))


def _hide(model: dict[str, Any], controls: AbstractSet[str]) -> None:
    """Give pieces that spell a control token a name that no text has.

    Blanks have become something else before the model looks, or stand between its words.
    """

    def name(piece: str) -> str:
        return f" {piece}" if piece in controls else piece

    match model["type"]:
        case "Unigram":
            model["vocab"] = [[name(piece), score] for piece, score in model["vocab"]]
        case "BPE":
            model["merges"] = [
                pair for pair in model["merges"] if controls.isdisjoint((*pair, "".join(pair)))
            ]
            model["vocab"] = {name(piece): number for piece, number in model["vocab"].items()}
        case _:
            model["vocab"] = {name(piece): number for piece, number in model["vocab"].items()}
