"""What an answer is held to, as a grammar of its text: JSON of a schema, calls of functions. Pure.

Grammars are in llguidance's dialect of Lark (github.com/guidance-ai/llguidance, docs/syntax.md),
which every engine understands. JSON is written without blanks: a small model that may write blanks
may never stop. How a call is said is `call_reader`'s convention.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llguidance import LLMatcher, LLTokenizer

from kosmosx_stream.formats.call_reader import CALL, CALL_END

HEAD, TAIL = '{"name":', "}"
MAX_CALLS = 16
"""Calls in one answer: a model that likes calling must come to an end."""

Schema = Mapping[str, Any]


def of_answer(
    *,
    functions: Mapping[str, Schema],
    required: bool,
    most: int,
    text: Schema | None,
    marks: Sequence[int] = (),
) -> str | None:
    """The grammar of an answer; None if it may be anything.

    Args:
        functions: by name, the schemas of what may be called.
        required: the answer is calls, and no words.
        most: so many calls, but no more than `MAX_CALLS`.
        text: the schema of an answer that is not a call; None for words.
        marks: token ids that may stand between words though they are no text.
    """
    if not functions:
        return None if text is None else f"start: {_json(text)}\n"
    call, end = _quoted(CALL), _quoted(CALL_END)
    names = [f"{_quoted(_head(name))} arguments_{at}" for at, name in enumerate(functions)]
    more = min(most, MAX_CALLS) - 1
    rules = {
        "call": f"{_quoted(HEAD)} ({' | '.join(names)}) {_quoted(TAIL)} {end}",
        "calls": f"call ({call} call){{0,{more}}}" if more else "call",
    }
    rules |= {f"arguments_{at}": _json(each) for at, each in enumerate(functions.values())}
    if required:
        rules["start"] = f"{call} calls"
    elif text is not None:
        rules |= {"start": f"json | {call} calls", "json": _json(text)}
    else:
        rules |= _words_or_calls(marks)
    return "".join(f"{name}: {rule}\n" for name, rule in rules.items())


def fault(grammar: str) -> str | None:
    """Why no answer can be held to this grammar; None if one can. Takes milliseconds."""
    matcher = LLMatcher(_BYTES, grammar, log_level=0)
    if not matcher.is_error():
        matcher.compute_bitmask()  # Only here a schema without a finite value shows.
    message = matcher.get_error()
    return _told(message) if message else None


def schema_fault(schema: Schema) -> str | None:
    """Why no JSON can be held to this schema, keywords that are not supported among the reasons."""
    return fault(f"start: {_json(schema)}\n")


_BYTES = LLTokenizer("byte")
"""Whether a grammar is sound does not depend on the model's tokens."""


def _words_or_calls(marks: Sequence[int]) -> dict[str, str]:
    rules = {
        "start": "words (first calls)?",
        # Everything up to the first `<tool_call>`, after which nothing but calls may come.
        "first[lazy]": f"ANYTHING {_quoted(CALL)}",
        "ANYTHING": "/(?s:.*)/",
        "WORDS": f"/(?s:.+)/ & ~/(?s:.*{CALL}.*)/",
        "words": "WORDS?",
    }
    if marks:
        rules |= {"words": "(WORDS | mark)*", "mark": f"<[{_ranges(marks)}]>"}
    return rules


def _head(name: str) -> str:
    return f'"{name}","arguments":'


def _json(schema: Schema) -> str:
    return "%json " + json.dumps({**schema, "x-guidance": {"whitespace_flexible": False}})


def _quoted(text: str) -> str:
    return json.dumps(text)


def _ranges(ids: Sequence[int]) -> str:
    """Ids as `3-5,8`."""
    found: list[list[int]] = []
    for each in sorted(ids):
        if found and found[-1][1] == each - 1:
            found[-1][1] = each
        else:
            found.append([each, each])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in found)


def _told(message: str) -> str:
    """Llguidance's reason, without the place in a grammar that nobody wrote."""
    if message.startswith("panic"):
        return "it is too large"
    if message.startswith("NoExtension"):
        return "nothing satisfies it"
    lines = message.splitlines()
    regex_errors = (line.removeprefix("error: ") for line in lines if line.startswith("error: "))
    reason = lines[0].rpartition("JSON schema: ")[2]
    return next(regex_errors, reason.partition(". Enable")[0])
