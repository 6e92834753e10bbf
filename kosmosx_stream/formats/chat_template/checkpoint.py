"""Tokenizer and chat template of a checkpoint folder, as transformers reads them.

Importing this imports transformers, which takes seconds.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from kosmosx_stream.formats.chat_template.blocks import Render, UnsupportedTemplateError

_PROBE = "⟦q1⟧"


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
    template = _of_processor(folder) or tokenizer.chat_template
    if not template:
        raise UnsupportedTemplateError(
            "expected a chat model: the checkpoint has no chat template (chat_template.jinja, or "
            "'chat_template' in tokenizer_config.json)"
        )

    def render(messages: Sequence[Mapping[str, Any]], answer: bool) -> str:  # noqa: FBT001
        try:
            return str(
                tokenizer.apply_chat_template(
                    list(messages),
                    chat_template=template,
                    tokenize=False,
                    add_generation_prompt=answer,
                )
            )
        except (jinja2.TemplateError, TypeError) as error:
            raise UnsupportedTemplateError(f"it refuses the roles: {error}") from error

    return backend, render if _takes_text(render) else _in_parts(render)


def _of_processor(folder: Path) -> str | None:
    """The template that older models with pictures have beside their tokenizer's."""
    file = folder / "chat_template.json"
    template: str | None = json.loads(file.read_bytes())["chat_template"] if file.exists() else None
    return template


def _takes_text(render: Render) -> bool:
    """Whether a message's content may be its text; the templates of some models want parts."""
    try:
        return _PROBE in render([{"role": "user", "content": _PROBE}], True)
    except UnsupportedTemplateError:
        return False


def _in_parts(render: Render) -> Render:
    """The template, given parts where a message is text."""

    def rendered(messages: Sequence[Mapping[str, Any]], answer: bool) -> str:  # noqa: FBT001
        return render([{**each, "content": _parts(each["content"])} for each in messages], answer)

    return rendered


def _parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
