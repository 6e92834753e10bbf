"""Tokenizer and chat template of a checkpoint folder, as transformers reads them.

Importing this imports transformers, which takes seconds.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from kosmosx_stream.formats.chat_template.blocks import Render, UnsupportedTemplateError


def read(folder: Path) -> tuple[Tokenizer, Render]:
    """The tokenizer, and what runs its template.

    Raises:
        UnsupportedTemplateError: there is no template, or no tokenizer that shows its parts.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise UnsupportedTemplateError(
            f"expected a tokenizer that transformers runs on the tokenizers library (tokenizer.json"
            f" or what converts to it), not {type(tokenizer).__name__}"
        )
    if not tokenizer.chat_template:
        raise UnsupportedTemplateError(
            "expected a chat model: the checkpoint has no chat template (chat_template.jinja, or "
            "'chat_template' in tokenizer_config.json)"
        )

    def render(messages: Sequence[Mapping[str, str]], answer: bool) -> str:  # noqa: FBT001
        try:
            return str(
                tokenizer.apply_chat_template(
                    list(messages), tokenize=False, add_generation_prompt=answer
                )
            )
        except jinja2.TemplateError as error:
            raise UnsupportedTemplateError(f"it refuses the roles: {error}") from error

    return backend, render
