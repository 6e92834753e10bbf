"""A model's tokens as llguidance can read them, in our engines and inside vLLM.

llguidance learns what each token spells from a tokenizer's decoder, and which tokens spell a text
that is certain from the tokenizer itself. Those that write a blank as U+2581 by `Metaspace`, such
as the published Kosmos-2's (an XLM-R's) and nano's, mislead it: the decoder is not one that it
knows, and a blank before or after the text is dropped or made up, so that "a red" becomes "ared",
which the grammar then refuses.
"""

import copy
import json
from typing import Any


def readable(tokenizer_json: str) -> str:
    """The same tokens by steps that llguidance knows, and that keep every blank."""
    spec: dict[str, Any] = json.loads(tokenizer_json)
    metaspace = _metaspace(spec["decoder"]) or _metaspace(spec["pre_tokenizer"])
    if metaspace is None:
        return tokenizer_json
    mark = metaspace["replacement"]
    to_mark = {"type": "Replace", "pattern": {"String": " "}, "content": mark}
    if _metaspace(spec["decoder"]):
        blank = {"type": "Replace", "pattern": {"String": mark}, "content": " "}
        first = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
        steps = [blank, {"type": "ByteFallback"}, {"type": "Fuse"}, first]
        spec["decoder"] = {"type": "Sequence", "decoders": steps}
    return json.dumps(spec | {"normalizer": to_mark, "pre_tokenizer": None})


def _metaspace(step: dict[str, Any] | None) -> dict[str, Any] | None:
    """The `Metaspace` that a tokenizer's step is, or has among its own."""
    if step is None:
        return None
    if step["type"] == "Metaspace":
        return step
    parts = step.get("pretokenizers", step.get("decoders", ()))
    return next(filter(None, map(_metaspace, parts)), None)


def install() -> None:
    """Give vLLM's structured output every tokenizer as llguidance can read it, once a process.

    It hands its tokenizers to `llguidance.hf.from_tokenizer`, looked up for each (vLLM 0.32).
    """
    import llguidance.hf  # noqa: PLC0415
    from tokenizers import Tokenizer  # noqa: PLC0415

    build = llguidance.hf.from_tokenizer
    if getattr(build, "reads_metaspace", False):
        return

    def from_tokenizer(hf_tokenizer: Any, *arguments: Any, **options: Any) -> Any:
        backend = getattr(hf_tokenizer, "backend_tokenizer", None)
        if backend is not None:
            hf_tokenizer = copy.copy(hf_tokenizer)
            hf_tokenizer._tokenizer = Tokenizer.from_str(readable(backend.to_str()))  # noqa: SLF001
        return build(hf_tokenizer, *arguments, **options)

    from_tokenizer.reads_metaspace = True  # type: ignore[attr-defined]
    llguidance.hf.from_tokenizer = from_tokenizer
