"""What the grammars let through, and what they refuse; schemas that cannot be used say why."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from llguidance import LLMatcher, LLTokenizer

from kosmosx_stream.formats import grammar
from kosmosx_stream.formats.call_reader import CALL, Arguments, CallBegins, CallReader, said_call

BYTES = LLTokenizer("byte")
MARK = 256  # The first id of that tokenizer that is no byte.

AT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "name": {"type": "string"}},
    "required": ["x"],
    "additionalProperties": False,
}
FUNCTIONS: dict[str, Any] = {"look": AT, "wait": {"type": "object"}}
ONE = said_call("look", '{"x":1}')


def of(**changes: Any) -> str:
    asked: dict[str, Any] = {"functions": FUNCTIONS, "required": False, "most": 9, "text": None}
    made = grammar.of_answer(**asked | changes)
    assert made is not None
    assert grammar.fault(made) is None
    return made


def takes(made: str, *answer: str | int) -> bool:
    """Whether this may be a whole answer."""
    ids = [i for part in answer for i in (part.encode() if isinstance(part, str) else [part])]
    matcher = LLMatcher(BYTES, made, log_level=0)
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


def test_plain_words_need_none() -> None:
    assert grammar.of_answer(functions={}, required=False, most=1, text=None) is None


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        ("", True),
        ("Hello <tool> <tool_calls>\n{}", True),
        (ONE, True),
        (f"Let me see.\n{ONE}{ONE}", True),
        (said_call("wait", "{}"), True),
        (said_call("wait", '{"any":[1,"<tool_call>"]}'), True),
        (CALL, False),
        (f"{ONE} and", False),
        (said_call("look", "{}"), False),
        (said_call("look", '{"x": 1}'), False),
        (said_call("jump", "{}"), False),
    ],
)
def test_words_or_calls(answer: str, taken: bool) -> None:  # noqa: FBT001
    assert takes(of(), answer) == taken


def test_calls_only_where_they_are_required() -> None:
    made = of(required=True)
    assert takes(made, ONE)
    assert takes(made, ONE, said_call("wait", "{}"))
    assert not takes(made, "")
    assert not takes(made, "Well. ", ONE)


def test_so_many_calls() -> None:
    assert not takes(of(most=1), ONE, ONE)
    assert takes(of(most=2), ONE, ONE)
    assert not takes(of(most=2), ONE, ONE, ONE)


def test_json_of_a_schema_and_calls_beside_it() -> None:
    text = of(functions={}, text=AT)
    assert takes(text, '{"x":1,"name":"a b"}')
    assert not takes(text, '{"x":1.5}')
    both = of(text=AT)
    assert takes(both, '{"x":1}')
    assert takes(both, ONE)
    assert not takes(both, "Hello")


def test_marks_stand_between_words() -> None:
    made = of(marks=(MARK, MARK + 1, MARK + 3))
    assert takes(made, "A ", MARK, "dog", MARK + 1, " is ", MARK + 3, "there.", ONE)
    assert not takes(made, "A ", MARK + 2)
    assert not takes(made, CALL, MARK)
    assert not takes(of(), "A ", MARK)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"not": {}}, 'Unimplemented keys: ["not"]'),
        ({"type": "strin"}, "Invalid type: strin"),
        ({"type": "string", "pattern": "(("}, "unclosed group"),
        ({"type": "string", "format": "colour"}, "Unknown format: colour"),
        ({"type": "integer", "minimum": 3, "maximum": 1}, "Unsatisfiable schema"),
        ({"$ref": "#"}, "nothing satisfies it"),
        ({"$ref": "#/$defs/none"}, "Pointer '/$defs/none' does not exist"),
        ({"$ref": "http://127.0.0.1:1/x.json"}, "not present"),
        ({"$ref": "file:///etc/passwd"}, "not present"),
    ],
)
def test_a_schema_that_cannot_be_used_says_why(schema: Any, why: str) -> None:
    assert why in str(grammar.schema_fault(schema))
    assert "\n" not in str(grammar.schema_fault(schema))


TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"below": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}


def test_a_schema_may_refer_to_itself() -> None:
    assert grammar.schema_fault(TREE) is None
    assert takes(of(functions={}, text=TREE), '{"below":[{"below":[]},{}]}')


PROPERTIES = st.dictionaries(
    st.text(min_size=1, max_size=6),
    st.sampled_from(
        [
            {"type": "boolean"},
            {"type": "integer", "minimum": -9, "maximum": 99},
            {"enum": ["a", "</tool_call>", 'q"', "é\\", None, 1.5]},
            {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
            {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 4}]},
        ]
    ),
    max_size=4,
)


@given(PROPERTIES, st.randoms(use_true_random=False))
def test_whatever_is_generated_keeps_to_its_schema(properties: Any, dice: Any) -> None:
    """A random walk through the grammar, read back as a call."""
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    made = of(functions={"f": schema}, required=True, most=1)
    matcher = LLMatcher(BYTES, made, log_level=0)
    said = bytearray()
    while not matcher.is_stopped():
        allowed = [i for i, bias in enumerate(matcher.compute_logit_bias()) if bias and i < MARK]
        said.append(dice.choice(allowed) if allowed else 0)
        assert matcher.consume_token(said[-1])
        if matcher.is_accepting():
            break
    pieces = list(CallReader().feed(said.decode()))
    assert pieces[0] == CallBegins("f")
    arguments = json.loads("".join(p.text for p in pieces if isinstance(p, Arguments)))
    Draft202012Validator(schema).validate(arguments)
