"""Values that a schema of `body_schemas` allows: a Hypothesis strategy for the words it uses."""

from typing import Any

from hypothesis import strategies as st

from kosmosx_stream.protocol.schemas import Schema

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
ANYTHING = st.none() | st.booleans() | st.integers(-9, 9) | TEXT | st.lists(TEXT, max_size=2)
KNOWN = {
    "$ref", "type", "enum", "anyOf", "allOf", "properties", "required", "additionalProperties",
    "propertyNames", "maxProperties", "items", "minItems", "maxItems", "minimum", "maximum",
    "minLength", "maxLength", "pattern", "description", "default",
}  # fmt: skip


def values(schema: Schema, named: dict[str, Schema]) -> st.SearchStrategy[Any]:
    """Values of the schema; `named`: what it may refer to."""
    assert schema.keys() <= KNOWN, schema.keys() - KNOWN
    match schema:
        case {"$ref": str(ref)}:
            return st.deferred(lambda: values(named[ref.rpartition("/")[2]], named))
        case {"anyOf": list(choices)}:
            return st.one_of([values(choice, named) for choice in choices])
        case {"allOf": list(parts)}:
            drawn = st.tuples(*(values(part, named) for part in parts))
            return drawn.map(lambda objects: {k: v for each in objects for k, v in each.items()})
        case {"enum": list(words)}:
            return st.sampled_from(words)
        case {"type": list(kinds)}:
            return st.one_of([values(schema | {"type": kind}, named) for kind in kinds])
        case {"type": str(kind)}:
            return _typed(kind, schema, named)
        case _:
            return ANYTHING


def _typed(kind: str, schema: Schema, named: dict[str, Schema]) -> st.SearchStrategy[Any]:
    match kind:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case "number":
            return st.floats(schema.get("minimum"), schema.get("maximum")) | st.sampled_from([0, 1])
        case "string":
            if "pattern" in schema:
                return st.from_regex(schema["pattern"], fullmatch=True)
            return st.text(
                st.characters(codec="utf-8"),
                min_size=schema.get("minLength", 0),
                max_size=schema.get("maxLength", 20),
            )
        case "array":
            items = values(schema.get("items", {}), named)
            least = schema.get("minItems", 0)
            return st.lists(items, min_size=least, max_size=schema.get("maxItems", least + 2))
        case "object":
            return _objects(schema, named)
    raise AssertionError(kind)


def _objects(schema: Schema, named: dict[str, Schema]) -> st.SearchStrategy[Any]:
    fields = {name: values(each, named) for name, each in schema.get("properties", {}).items()}
    required = {name: fields.pop(name) for name in schema.get("required", ())}
    known = st.fixed_dictionaries(required, optional=fields)
    if schema.get("properties"):
        # What is not named is ignored, whatever it is.
        future = st.dictionaries(TEXT.map("future {}".format), ANYTHING, max_size=1)
        return st.builds(lambda others, named: others | named, future, known)
    longest = schema.get("propertyNames", {}).get("maxLength", 8)
    return st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=longest),
        values(schema.get("additionalProperties", {}), named),
        max_size=min(3, schema.get("maxProperties", 3)),
    )
