"""Answers that are held to a grammar go on in another vLLM than the one that began them.

vLLM takes what was answered so far for a part of the prompt, and would begin the grammar anew after
it. A grammar cannot be cut to what is left of it, so it is compiled whole and led through those
tokens first. vLLM has no hook for that; this wraps the one method that compiles grammars
(`StructuredOutputManager._create_grammar`, vLLM 0.32), in the engine's process.
"""

from typing import Any

ANSWERED = "kosmosx_answered"
"""In a request's `extra_args`: how many of the prompt's last tokens are the answer so far."""


class GrammarBroken(ValueError):
    """What was answered so far is nothing that the grammar allows."""


def install() -> None:
    """Wrap vLLM's method, once a process."""
    from vllm.v1.structured_output import StructuredOutputManager  # noqa: PLC0415

    compile_grammar = StructuredOutputManager._create_grammar  # noqa: SLF001
    if getattr(compile_grammar, "leads_on", False):
        return

    def _create_grammar(manager: Any, request: Any) -> Any:
        grammar = compile_grammar(manager, request)
        answered = (request.sampling_params.extra_args or {}).get(ANSWERED, 0)
        if answered and not grammar.accept_tokens(
            request.request_id, list(request.prompt_token_ids[-answered:])
        ):
            raise GrammarBroken(f"{answered} tokens do not keep to their grammar")
        return grammar

    _create_grammar.leads_on = True  # type: ignore[attr-defined]
    StructuredOutputManager._create_grammar = _create_grammar  # noqa: SLF001
